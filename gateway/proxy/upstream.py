"""Send calls to backends until one answers, with errors that reveal nothing about them."""

import asyncio
import email.utils
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson

from gateway.contract import SettingsConfig
from gateway.proxy.account_trouble import account_trouble
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.backend_errors import (
    LARGEST_ERROR,
    BackendError,
    error_shown,
    read_error,
    refusal_for,
)
from gateway.proxy.connections import Connections
from gateway.proxy.errors import BROKE_OFF, Refusal, broke_off, error_event, retry_after, unavailable
from gateway.proxy.http.backend import Answer
from gateway.proxy.http.errors import ConnectError, TransportError
from gateway.proxy.index import Backend, Route
from gateway.proxy.outgoing import outgoing
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.routing import Router
from gateway.proxy.scrub import scrubber_of
from gateway.proxy.separation import Apart
from gateway.proxy.vault import NoCredential, Vault

# With these statuses the client did nothing wrong: our route or account is at fault.
_OURS = (401, 402, 403, 404, 405, 407, 408, 425)
# The last is Anthropic's for an overload.
_DOWN = (502, 503, 504, 529)
# How long the body of an error may take.
_ERROR_SECONDS = 5.0
# How many backends may time out for one call.
_MOST_SILENT = 2
# Statuses from a running server: its own problem, or a problem of this call only.
_FROM_A_WORKING_BACKEND = (500, 501, *_OURS)


@dataclass
class Attempts:
    """How far a call got; filled during the attempts, read after a failure."""

    # The last backend that got the call.
    reached: Backend | None = None
    # What we added to the call for that backend. No client may see it, even if the backend repeats it.
    secrets: tuple[str, ...] = ()


class BackendFault(Exception):
    """A backend failed before any part of its answer was sent on.

    `status` is the one it sent, or should have sent; `refusal` is for the client, if no other backend succeeds.
    """

    def __init__(
        self,
        status: int,
        refusal: Refusal,
        *,
        reason: str = "",
        is_down: bool = False,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.refusal = refusal
        self.reason = reason or str(status)
        # True if apparently no server runs at the address.
        self.is_down = is_down
        self.retry_after_seconds = retry_after_seconds


class _Trouble:
    """The failures of backends that did not answer one call."""

    def __init__(self, router: Router, route: Route) -> None:
        self._router = router
        self._route = route
        self._doubtful: list[tuple[Backend, BackendFault]] = []
        self._limited: Refusal | None = None
        self._other: Refusal | None = None
        self._unfit: Refusal | None = None
        self._is_all_reached = True
        self._silent = 0

    def unreachable(self, backend: Backend) -> None:
        """The gateway cannot connect to the backend."""
        self._router.failed(backend, "connect")
        self._is_all_reached = False

    def unfit(self, refusal: Refusal) -> None:
        """The call cannot be said in the backend's dialect; another one may take it."""
        self._unfit = refusal

    def disconnected(self, backend: Backend) -> None:
        """The connection broke before there was an answer."""
        self._router.failed(backend, "disconnect")
        self._other = _backend_failed()

    def silent(self, backend: Backend) -> None:
        """The backend got the call and did not begin to answer in time. Raises the refusal for the second one."""
        self._router.failed(backend, "timeout", is_reachable=True)
        self._other = Refusal(
            504, "backend_timeout", "The model did not answer in time. Try again.", kind="server_error"
        )
        self._silent += 1
        if self._silent >= _MOST_SILENT:
            raise self._other

    def fault(self, backend: Backend, fault: BackendFault) -> None:
        """The backend answered with an error. Raises the refusal at once if the call itself is at fault."""
        if fault.status == 429:
            self._router.limited(backend, fault.retry_after_seconds)
            self._limited = _sooner(self._limited, fault.refusal)
        elif fault.status in _FROM_A_WORKING_BACKEND:
            self._doubtful.append((backend, fault))
            self._other = fault.refusal
        elif fault.status // 100 == 4:
            self._router.answered(backend)
            raise fault.refusal
        else:
            self._router.failed(backend, fault.reason, is_reachable=not fault.is_down)
            self._other = fault.refusal

    def another_answered(self) -> None:
        """Another backend answered, so the call is valid, and the backends that refused it are at fault."""
        for backend, fault in self._doubtful:
            if fault.status == 404:
                self._router.lacks(backend, self._route.config.model)
            else:
                self._router.failed(backend, fault.reason, is_reachable=True)
        self._doubtful.clear()

    def nobody_answered(self) -> Refusal:
        """The refusal for the client: 429 only if all backends answered 429."""
        for backend, fault in self._doubtful:
            self._router.doubted(backend, fault.reason)
        if self._other is not None:
            return self._other
        if self._unfit is not None and self._limited is None and self._is_all_reached:
            return self._unfit
        if (
            self._limited is not None
            and self._is_all_reached
            and not self._router.is_any_ejected(self._route)
        ):
            return self._limited
        return unavailable(
            "No backend of this model can be reached at the moment. Try again shortly.",
            "no_backend_available",
            self._router.seconds_until_probe(self._route),
        )


async def ask(
    connections: Connections,
    router: Router,
    route: Route,
    parsed: ParsedRequest,
    headers: dict[str, str],
    settings: SettingsConfig,
    attempts: Attempts,
    apart: Apart,
    vault: Vault,
    take: Callable[[Backend, Answer], Awaitable[None]],
) -> None:
    """Send a call to one backend after another until one answers; `take` passes a 2xx answer on.

    The gateway tries the next backend if one refuses the connection, hangs up before its first byte, times out
    (two at most), answers 429, 5xx or a status that only its own problem explains (401, 404 …), or if `take` raises
    BackendFault: the answer failed and nothing was sent on yet. After `take` has returned or raised anything else,
    the connection is closed.

    Args:
        connections: connections to backends.
        router: chooses backends and learns from their answers.
        route: the route of the model.
        parsed: the call.
        headers: headers for the backend.
        settings: settings of the configuration.
        attempts: collects what was tried.
        apart: keeps tenants apart at backends.
        vault: the credentials of providers.
        take: reads and passes on the answer.

    Raises Refusal: 503 if no backend could be reached, 502 or 504 if those reached failed, 429 if all answered
    429, other 4xx as the backend sent it.
    """
    trouble = _Trouble(router, route)
    for backend in router.candidates(route):
        try:
            call = outgoing(backend, parsed, headers, settings, apart, vault)
        except Refusal as refusal:
            trouble.unfit(refusal)
            continue
        except NoCredential as error:
            router.alarms.no_credential(backend.id, route.config.model, str(error))
            trouble.unreachable(backend)
            continue
        before, attempts.reached = attempts.reached, backend
        attempts.secrets = (*call.secrets, *apart.secrets)
        try:
            answer = await connections.post(
                call.url,
                data=call.payload,
                headers=call.headers,
                connect_seconds=call.connect_seconds,
                response_seconds=call.response_seconds,
                trust=call.trust,
            )
            # Free the payload now: it may be large, and the answer may take long.
            del call
        except ConnectError:
            attempts.reached = before
            trouble.unreachable(backend)
            continue
        except TimeoutError:
            trouble.silent(backend)
            continue
        except TransportError:
            trouble.disconnected(backend)
            continue
        try:
            if answer.status // 100 != 2:
                raise await _read_fault(answer, backend, route, router, attempts.secrets)
            await take(backend, answer)
        except BackendFault as fault:
            trouble.fault(backend, fault)
            continue
        finally:
            answer.close()
        router.answered(backend)
        router.succeeded(backend, route.config.model)
        trouble.another_answered()
        return
    raise trouble.nobody_answered()


def _backend_failed() -> Refusal:
    return Refusal(
        502,
        "backend_failed",
        "The model failed to answer. Try again. If the error persists, send this x-request-id to the "
        "operators.",
        kind="server_error",
        headers=retry_after(1.0),
    )


def _sooner(one: Refusal | None, other: Refusal) -> Refusal:
    """The one of two 429s that permits the earlier retry."""
    waits = [_seconds(refusal.headers.get("retry-after")) for refusal in (one, other) if refusal is not None]
    return other if one is None or waits[1] < waits[0] else one


def _seconds(header: str | None) -> float:
    """A `Retry-After`, given as seconds or as a date, in seconds; 0 if it is missing or invalid."""
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


async def _read_fault(
    answer: Answer, backend: Backend, route: Route, router: Router, secrets: tuple[str, ...]
) -> BackendFault:
    """The error in a backend's answer with a status other than 2xx."""
    until = asyncio.get_running_loop().time() + _ERROR_SECONDS
    said = await answer.read_up_to(LARGEST_ERROR, until)
    error = read_error(said) if said else BackendError()
    status = answer.status if answer.status >= 400 else 500
    wait = answer.headers.get("retry-after")
    fault = fault_of(status, error, backend, route, router, wait=wait, secrets=secrets)
    fault.is_down = status in _DOWN
    return fault


def fault_of(
    status: int,
    error: BackendError,
    backend: Backend,
    route: Route,
    router: Router,
    *,
    wait: str | None = None,
    secrets: tuple[str, ...] = (),
) -> BackendFault:
    """A backend's error as our own: with its sentence if the client is at fault, else with ours.

    `wait` is its `Retry-After`.

    Args:
        status: HTTP status of the backend's answer.
        error: the error in its answer.
        backend: the backend.
        route: the route of the model.
        router: learns that the backend failed.
        wait: its `Retry-After` header.
        secrets: further texts to remove.
    """
    if is_account_trouble(status, error, backend, route, router):
        return BackendFault(status if status in _FROM_A_WORKING_BACKEND else 403, _backend_failed())
    if status >= 500 or status in _OURS:
        return BackendFault(status, _backend_failed())
    seconds = _seconds(wait)
    if wait is not None and not wait.isdigit():
        wait = str(math.ceil(seconds)) if seconds else None
    scrubber = scrubber_of(backend, route.config.model)
    refusal = refusal_for(status, error, scrubber, retry_after=wait, secrets=secrets)
    return BackendFault(status, refusal, retry_after_seconds=seconds)


def fault_of_answer(
    error: Exception, backend: Backend, route: Route, router: Router, secrets: tuple[str, ...]
) -> BackendFault:
    """A failed answer, of which nothing was sent on, as a failure of its backend.

    Args:
        error: the error in the answer.
        backend: the backend.
        route: the route of the model.
        router: learns that the backend failed.
        secrets: further texts to remove.
    """
    if isinstance(error, FailedAnswer):
        fault = fault_of(error.status, read_error(error.said), backend, route, router, secrets=secrets)
        # The call itself may be at fault.
        if fault.status <= 500:
            return fault
    return BackendFault(502, broke_off(), reason="broken_answer")


def last_event(
    error: FailedAnswer | None,
    backend: Backend | None,
    route: Route,
    router: Router,
    secrets: tuple[str, ...],
) -> bytes:
    """The last event of a stream that broke off: with the backend's own sentence, if it is fit for the caller.

    Args:
        error: the error in the stream; None: it just ended.
        backend: the backend; None: none answered.
        route: the route of the model.
        router: learns that the backend failed.
        secrets: further texts to remove.
    """
    if error is None or error.said is None or backend is None:
        return error_event(BROKE_OFF, "backend_failed")
    said = read_error(error.said)
    if is_account_trouble(error.status, said, backend, route, router):
        return error_event(BROKE_OFF, "backend_failed")
    shown = error_shown(said, scrubber_of(backend, route.config.model), secrets)
    return b"data: " + orjson.dumps({"error": shown}) + b"\n\n"


def is_account_trouble(
    status: int, error: BackendError, backend: Backend, route: Route, router: Router
) -> bool:
    """Whether a backend refuses our own account. Only operators learn of this, not callers.

    Args:
        status: HTTP status of the backend's answer.
        error: the error in its answer.
        backend: the backend.
        route: the route of the model.
        router: raises the alarm.
    """
    trouble = account_trouble(status, error)
    if trouble is not None:
        router.alarms.account_refused(backend.id, route.config.model, status, trouble)
    return trouble is not None
