"""Tell the control plane which configuration is in force, what was refused, and why."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from gateway.contract import Ack, ContractError, ack_path, encode, v1_usage
from gateway.contract.usage import RefusedRevision
from gateway.proxy.control import Control, Patience
from gateway.proxy.http.errors import TransportError
from gateway.proxy.metrics import Metrics

_log = structlog.get_logger()
_ACK_SECONDS = 5.0
_PATIENCE = Patience(5.0)
# The way to the control plane is interrupted: no fault of a configuration.
_INTERRUPTIONS = (TransportError, TimeoutError, OSError)


def is_unforeseen(error: Exception) -> bool:
    """Whether it is a fault of the gateway, neither of what it got nor of the way."""
    return not isinstance(error, (ContractError, *_INTERRUPTIONS))


class ConfigReports:
    """The last problem with configuration, until a revision is in force again, and the reports about it."""

    def __init__(
        self,
        control: Control,
        gateway_id: str,
        describe: Callable[[str, RefusedRevision | None], Ack],
        metrics: Metrics,
    ) -> None:
        self._control = control
        self._gateway_id = gateway_id
        self._describe = describe
        self._metrics = metrics
        self.problem = ""
        self._refused: RefusedRevision | None = None
        self._changed = asyncio.Event()

    def note(self, problem: str, *, refused: int | None = None, trace: Exception | None = None) -> None:
        """Note a problem, the revision that was refused because of it, and for the log the error with its trace."""
        if problem != self.problem:
            self._metrics.config_problems.inc()
            _log.error("config_problem", reason=problem, exc_info=trace)
        self.problem = problem
        if refused is not None:
            self._refused = RefusedRevision(revision=refused, reason=problem)
        self._changed.set()

    def note_error(self, what: str, error: Exception, *, refused: int | None = None) -> None:
        """Note what went wrong, and why. Of an error that nobody foresaw only the log says more than its name."""
        if is_unforeseen(error):
            words = f"an unexpected {type(error).__name__}. The gateway's log says where."
            self.note(f"{what}: {words}", refused=refused, trace=error)
        else:
            self.note(f"{what}: {error}", refused=refused)

    def failed(self, error: Exception, *, refused: int | None = None) -> None:
        """Note why a configuration was not put in force, unless only the way to the control plane is interrupted."""
        if isinstance(error, ContractError):
            self.note(str(error), refused=refused)
        elif is_unforeseen(error):
            self.note_error("The configuration could not be read", error, refused=refused)

    def forget(self) -> None:
        """Note that a revision is in force, so that earlier problems are over."""
        self.problem, self._refused = "", None

    def send_soon(self) -> None:
        """Report at once, not only every few seconds."""
        self._changed.set()

    async def run(self) -> None:
        """Report at once after a change, and every few seconds, forever."""
        while True:
            # Before describing: a change meanwhile must wake us again.
            self._changed.clear()
            ack = self._describe(self.problem, self._refused)
            # Of nothing there is something to say only if it was refused.
            if ack.revision or self.problem:
                await self._send(ack)
            # Not `wait_for`, which loses a cancellation that comes together with a change.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ACK_SECONDS):
                    await self._changed.wait()

    async def _send(self, ack: Ack) -> None:
        body = encode(ack if ack.contract_version > 1 else v1_usage.ack_of(ack))
        try:
            async with self._control.post(
                ack_path(self._gateway_id), data=body, patience=_PATIENCE
            ) as answer:
                if answer.status not in (200, 204):
                    _log.warning("ack_refused", status=answer.status)
        except (TransportError, TimeoutError) as error:
            _log.debug("ack_not_delivered", reason=f"{type(error).__name__}: {error}")
