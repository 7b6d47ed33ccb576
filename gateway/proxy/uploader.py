"""Send spooled usage to the control plane: within half a second, with retries until it is confirmed."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import orjson
import structlog

from gateway.contract import (
    MAX_BATCH,
    USAGE_PATH,
    USAGE_VERSION,
    ContractError,
    UsageEventReport,
    UsageReceipt,
    batch_of,
    decode,
    encode,
    v1_usage,
)
from gateway.contract.versions import VERSION_HEADER
from gateway.proxy.backoff import Backoff
from gateway.proxy.control import Control, Patience
from gateway.proxy.http.errors import TransportError
from gateway.proxy.metrics import Metrics
from gateway.proxy.segments import read_bodies, read_checked_bodies
from gateway.proxy.spool import Spool, SpoolError, sync_directory

_log = structlog.get_logger()
# A wait, so that calls that end at about the same time are sent together.
_GATHER_SECONDS = 0.25
# With these statuses a batch can never succeed; with any other it may succeed later.
_POISONED = (400, 409, 413, 422)
_PROBLEM = (
    # Errors of the control plane itself have this type; any other comes from an intermediary.
    "application/problem+json"
)
_VERSION = {VERSION_HEADER: str(USAGE_VERSION)}
_PATIENCE = Patience(30.0)


class _Name(msgspec.Struct):
    call_id: str


_read_name = msgspec.json.Decoder(_Name).decode


class Poisoned(Exception):
    """The control plane will never accept this batch. The message is its own reason."""


class Uploader:
    """Sends segments one by one, oldest first."""

    def __init__(
        self,
        spool: Spool,
        control: Control,
        rejected: Path,
        metrics: Metrics,
        spoken: Callable[[], int] = lambda: USAGE_VERSION,
    ) -> None:
        """Send what is in a spool.

        Args:
            spool: where usage waits.
            control: the control plane.
            rejected: the folder for usage that the control plane never accepts.
            metrics: counts that usage.
            spoken: the version of the contract that the control plane speaks now.
        """
        self._spoken = spoken
        self._spool = spool
        self._control = control
        self._rejected = rejected
        self._metrics = metrics

    async def run(self) -> None:
        """Send usage as it arrives, forever."""
        while True:
            await self._spool.arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            try:
                await self.send_all()
            except (OSError, SpoolError):
                # The rest must not wait for another call.
                self._spool.arrived.set()
                raise

    async def send_all(self) -> None:
        """Send everything in the spool now, waiting for the control plane as long as necessary."""
        self._spool.arrived.clear()
        await self._spool.checkpoint()
        while (path := self._spool.oldest()) is not None:
            await self._send(path)

    async def _send(self, path: Path) -> None:
        is_as_written = self._spoken() > 1 and not self._spool.is_found(path)
        segment = await asyncio.to_thread(read_bodies if is_as_written else read_checked_bodies, path)
        if segment.corrupt:
            self._set_aside(
                f"{path.stem}.corrupt", b"\n".join(segment.corrupt), len(segment.corrupt), "checksum"
            )
        for start in range(0, len(segment.events), MAX_BATCH):
            await self._deliver(segment.events[start : start + MAX_BATCH])
        await self._spool.leave(path)
        self._spool.confirm(path, len(segment.events))

    async def _deliver(self, events: Sequence[bytes]) -> None:
        """Send a batch of events in JSON. If it is poisoned, halve it until the bad event is isolated."""
        try:
            await self._post(events)
        except Poisoned as reason:
            if len(events) == 1:
                body = orjson.dumps({"reason": str(reason), "event": orjson.Fragment(events[0])})
                call_id = _read_name(events[0]).call_id
                self._set_aside(f"{call_id}.json", body, 1, str(reason))
                return
            middle = len(events) // 2
            await self._deliver(events[:middle])
            await self._deliver(events[middle:])

    async def _post(self, events: Sequence[bytes]) -> None:
        """Send until there is a definite answer. Raises Poisoned."""
        backoff = Backoff()
        while True:
            try:
                body, version = self._message(events)
                async with self._control.post(
                    USAGE_PATH, data=body, headers=version, patience=_PATIENCE
                ) as answer:
                    content = await answer.read()
                    if answer.status == 200:
                        receipt = decode(UsageReceipt, content)
                        if receipt.quarantined:
                            _log.warning("usage_quarantined", events=receipt.quarantined)
                        return
                    is_theirs = answer.content_type == _PROBLEM
                    if answer.status in _POISONED and (
                        is_theirs or (answer.status == 413 and len(events) > 1)
                    ):
                        raise Poisoned(f"{answer.status}: {content[:500].decode(errors='replace')}")
                    problem = f"status {answer.status}"
            except (TransportError, TimeoutError, ContractError) as error:
                problem = f"{type(error).__name__}: {error}"
            wait = backoff.next_wait()
            _log.warning(
                "usage_not_delivered", events=len(events), reason=problem, again_in_seconds=round(wait, 1)
            )
            await asyncio.sleep(wait)

    def _message(self, events: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
        """A batch and its header, in the version that the control plane speaks.

        Raises ContractError if that version lacks a kind that was used; the usage waits until the console is upgraded.
        """
        if self._spoken() > 1:
            return batch_of(events), _VERSION
        old = [v1_usage.as_version_1(decode(UsageEventReport, event)) for event in events]
        known = [event for event in old if event is not None]
        if len(known) < len(old):
            raise ContractError(
                "The control plane speaks version 1, which does not know a kind of this usage."
            )
        return encode(v1_usage.UsageBatch(events=known)), {}

    def _set_aside(self, name: str, body: bytes, events: int, reason: str) -> None:
        """Save undeliverable usage where an operator can find it, and raise the alarm."""
        self._rejected.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._rejected / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self._rejected)
        self._metrics.usage_rejected.inc(events)
        _log.error("usage_rejected", file=name, events=events, reason=reason)
