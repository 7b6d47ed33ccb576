"""Send calls to backends until one answers, with errors that reveal nothing about them."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import msgspec
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
from gateway.proxy.errors import BROKE_OFF, Refusal, broke_off, error_event
from gateway.proxy.gates import first_place
from gateway.proxy.http.answer import Answer
from gateway.proxy.http.errors import ConnectError, NoRoom, TransportError
from gateway.proxy.index import Backend, Route
from gateway.proxy.limits import Limiter, Reservation
from gateway.proxy.outgoing import Sent, outgoing
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.quota_reservations import reserve_quota
from gateway.proxy.retries import Retries, may_repeat
from gateway.proxy.routing import Router
from gateway.proxy.scrub import scrubber_of
from gateway.proxy.separation import Apart
from gateway.proxy.trouble import (
    FROM_A_WORKING_BACKEND,
    OURS,
    BackendFault,
    Trouble,
    backend_failed,
    seconds_of,
)
from gateway.proxy.vault import NoCredential, Vault

# The last is Anthropic's for an overload.
_DOWN = (502, 503, 504, 529)
# How long the body of an error may take.
_ERROR_SECONDS = 5.0
# How long a call waits while all connections to all of its backends are in use.
_QUEUE_SECONDS = 1.0


class Attempts(msgspec.Struct):
    """How far a call got; filled during the attempts, read after a failure."""

    # Keeps calls of one session together; empty: none.
    session: bytes = b""
    # The last backend that got the call.
    reached: Backend | None = None
    # What we added to the call for that backend. No client may see it, even if the backend repeats it.
    secrets: tuple[str, ...] = ()
    # Of the quota of its provider.
    quota: Reservation | None = None
    # Those of the model that was asked before.
    retries: Retries | None = None


async def ask(
    connections: Connections,
    router: Router,
    route: Route,
    parsed: ParsedRequest,
    sent: Sent,
    settings: SettingsConfig,
    attempts: Attempts,
    apart: Apart,
    vault: Vault,
    limiter: Limiter,
    take: Callable[[Backend, Answer], Awaitable[None]],
) -> None:
    """Send a call to one backend after another until one answers; `take` passes a 2xx answer on.

    The gateway tries the next backend if one refuses the connection, hangs up before its first byte, times out
    (two at most), answers 429, 5xx or a status that only its own problem explains (401, 404 …), or if `take` raises
    BackendFault: the answer failed and nothing was sent on yet. After `take` has returned or raised anything else,
    the connection is closed. `gateway.proxy.retries` bounds all of this.

    A backend whose connections are all in use is passed over. If no other one is left, the call waits for a second.
    A backend whose provider's quota is used up is passed over too.

    Args:
        connections: connections to backends.
        router: chooses backends and learns from their answers.
        route: the route of the model.
        parsed: the call.
        sent: headers for every backend.
        settings: settings of the configuration.
        attempts: collects what was tried.
        apart: keeps tenants apart at backends.
        vault: the credentials of providers.
        limiter: counts the quotas of providers.
        take: reads and passes on the answer.

    Raises Refusal: 503 if no backend could be reached or has a free connection, 502 or 504 if those reached failed,
    429 if all answered 429 or have their quota used up, other 4xx as the backend sent it.
    """
    trouble = Trouble(router, route)
    before = attempts.retries
    retries = before.on(route.config.handling) if before else router.retries(route, parsed.mode)
    attempts.retries = retries

    async def is_answered_by(backend: Backend) -> bool:
        try:
            call = outgoing(backend, parsed, sent, settings, apart, vault)
        except Refusal as refusal:
            trouble.unfit(refusal)
            return False
        except NoCredential as error:
            router.alarms.no_credential(backend.id, route.config.model, str(error))
            trouble.unreachable(backend)
            return False
        if backend.quota is not None or attempts.quota is not None:
            attempts.quota, wait_seconds = await reserve_quota(
                limiter, backend.quota, attempts.quota, parsed, route, settings
            )
            if wait_seconds:
                trouble.over_quota(backend, wait_seconds)
                return False
        before, attempts.reached = attempts.reached, backend
        attempts.secrets = call.secrets + apart.secrets + parsed.secrets
        try:
            answer = await connections.post(
                call.url,
                data=call.payload,
                lines=call.lines,
                connect_seconds=call.connect_seconds,
                response_seconds=call.response_seconds,
                trust=call.trust,
                may_repeat=may_repeat(parsed.mode),
            )
            # Free the payload now: it may be large, and the answer may take long.
            del call
        except ConnectError as error:
            attempts.reached = before
            if attempts.quota is not None and not error.may_be_sent:
                await limiter.undo(attempts.quota)
            if isinstance(error, NoRoom):
                trouble.busy()
            else:
                trouble.unreachable(backend)
            return False
        except TimeoutError:
            retries.was_sent()
            trouble.silent(backend)
            return False
        except TransportError:
            retries.was_sent()
            trouble.disconnected(backend)
            return False
        try:
            if answer.status // 100 != 2:
                raise await _read_fault(answer, backend, route, router, attempts.secrets)
            await take(backend, answer)
        except BackendFault as fault:
            retries.was_sent(answer.status)
            trouble.fault(backend, fault)
            return False
        finally:
            answer.close()
        router.succeeded(backend, route.config.model)
        trouble.another_answered()
        return True

    full: list[Backend] = []
    for backend in router.candidates(route, attempts.session):
        gate = router.gate(backend)
        if not gate.take():
            full.append(backend)
            continue
        try:
            if not retries.may_begin():
                raise trouble.nobody_answered(may_be_done=retries.may_be_done)
            if await is_answered_by(backend):
                return
        finally:
            gate.leave()
    if full:
        router.busy(full)
        trouble.busy()
        gates = [router.gate(backend) for backend in full]
        free = await first_place(gates, _QUEUE_SECONDS)
        if free is not None:
            try:
                if retries.may_begin() and await is_answered_by(full[gates.index(free)]):
                    return
            finally:
                free.leave()
    raise trouble.nobody_answered(may_be_done=retries.may_be_done)


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
        return BackendFault(status if status in FROM_A_WORKING_BACKEND else 403, backend_failed())
    if status >= 500 or status in OURS:
        return BackendFault(status, backend_failed())
    seconds = seconds_of(wait)
    if wait is not None and not (wait.isascii() and wait.isdigit()):
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
