"""Limits in a Redis or Valkey that several gateways share.

The rules are those of `MemoryLimiter`, in three scripts (`lua/`): one admits a call under all of its limits
or none, one settles, one renews. The server's clock applies, so gateways with different clocks agree; only the
start and end of a day or month are computed here. All keys of a tenant share a hash tag, so that a script finds
them in one slot of a cluster, and all keys expire by themselves.

A call in progress holds leases. A gateway renews its own every third of a lease; those of a dead gateway expire.
"""

import asyncio
import contextlib
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, TypeVar

import structlog
from redis.exceptions import NoScriptError, RedisError

from gateway.contract import LimitConfig
from gateway.proxy.errors import unavailable
from gateway.proxy.limits import (
    CALENDAR_KINDS,
    LEAST,
    EstimatedUsage,
    LimitReached,
    Remaining,
    Reservation,
    rate_headers,
)
from gateway.proxy.metrics import Metrics
from gateway.proxy.redis_line import Line, NotConnected
from gateway.proxy.windows import NEVER, calendar_window

_log = structlog.get_logger()
_CLOSE_SECONDS = 0.8
# Values for each limit in the answer of admit.lua.
_FACTS = 5
# More than any call needs; keeps 64-bit sums from overflowing.
_LARGEST_AMOUNT = 2**53 - 1
_MOST_UNSETTLED = 10_000
_RENEWED_AT_ONCE = 200
_AWAY = (RedisError, OSError, asyncio.TimeoutError)

T = TypeVar("T")
_Argument = str | int


class _Script:
    """A script, called by its digest. Its text is sent if the server does not know it."""

    def __init__(self, name: str) -> None:
        self.text = (Path(__file__).parent / "lua" / f"{name}.lua").read_text()
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_ADMIT, _SETTLE, _RENEW = _Script("admit"), _Script("settle"), _Script("renew")


class _Away(Exception):
    """The server gave no answer. `may_have_run` is False only if the server certainly never got the request."""

    def __init__(self, *, may_have_run: bool) -> None:
        super().__init__()
        self.may_have_run = may_have_run


@dataclass(slots=True)
class _Hold:
    """What one call has reserved under one limit; `start` names the day or month in which it began."""

    limit: LimitConfig
    calls: str
    numbers: str
    amount: int
    start: str = ""

    @property
    def shape(self) -> str:
        if self.limit.kind in CALENDAR_KINDS:
            return "calendar"
        return "now" if self.limit.kind == "concurrent_calls" else "minute"


@dataclass(slots=True)
class SharedReservation(Reservation):
    """What one call has reserved in the server. `tokens` and `nano` are the actual usage once it is settled."""

    tenant_id: str = ""
    call: str = ""
    held: list[_Hold] = field(default_factory=list)
    tokens: int = 0
    nano: int = 0
    # No call uses it, so it must leave no trace.
    is_undone: bool = False
    may_have_settled: bool = False


class RedisLimiter:
    """Counts in a Redis or Valkey. `clock` replaces the server's clock, in seconds."""

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        *,
        fails_open: bool = False,
        lease_seconds: float = 30.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.problem = ""
        self.is_local = False
        self._metrics = metrics
        self._fails_open = fails_open
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._line = Line(url)
        self._names = (f"{secrets.token_hex(6)}-{number:x}" for number in itertools.count())
        # Reservations with leases to renew, by call.
        self._open: dict[str, SharedReservation] = {}
        self._unsettled: deque[SharedReservation] = deque(maxlen=_MOST_UNSETTLED)
        self._renewed = asyncio.Event()
        self._renewed.set()
        self._working: set[asyncio.Task[Any]] = set()

    async def look(self, limits: Sequence[LimitConfig], tenant_id: str) -> None:
        """As the protocol says."""
        reservation = self._reservation_for(limits, LEAST, tenant_id)
        try:
            await self._to_its_end(self._begin(self._ask_for(reservation, only_look=True)))
        except _Away:
            self._without_limits(limits, tenant_id)

    async def admit(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, tenant_id: str
    ) -> Reservation:
        """As the protocol says. Without the server, only calls without a hard limit pass."""
        if not limits:
            return Reservation()
        reservation = self._reservation_for(limits, estimate, tenant_id)
        asking = self._begin(self._ask_for(reservation))
        try:
            await self._to_its_end(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda _: self._undo(reservation))
            raise
        except _Away as away:
            if away.may_have_run:
                self._undo(reservation)
            return self._without_limits(limits, tenant_id)
        return reservation

    async def settle(self, reservation: Reservation, tokens: int, nano: int) -> None:
        """As the protocol says. Finishes even when cancelled; retries later if the server is away."""
        if reservation.is_settled:
            return
        reservation.is_settled = True
        if isinstance(reservation, SharedReservation):
            self._open.pop(reservation.call, None)
            reservation.tokens, reservation.nano = tokens, nano
            with contextlib.suppress(_Away):
                await self._to_its_end(self._begin(self._settle(reservation)))

    def forget_all_but(self, limit_ids: Container[str]) -> None:
        """Does nothing: unused counters expire in the server."""

    def forget(self, limit_ids: Iterable[str]) -> None:
        """Does nothing, for the same reason."""

    async def maintain(self) -> None:
        """Renew leases and retry failed settlements, three times per lease. Never returns."""
        while True:
            with contextlib.suppress(_Away):
                await self._renew()
                for _ in range(len(self._unsettled)):
                    await self._settle(self._unsettled.popleft())
            await asyncio.sleep(self._lease_seconds / 3)

    async def close(self) -> None:
        """Finish settlements in progress, and close all connections."""
        if self._working:
            await asyncio.wait(set(self._working), timeout=_CLOSE_SECONDS)
        await self._line.close()

    def _reservation_for(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, tenant_id: str
    ) -> SharedReservation:
        reservation = SharedReservation(tenant_id=tenant_id, call=next(self._names))
        for limit in limits:
            key = f"limits:{{{tenant_id}}}:{limit.id}:{limit.kind}"
            amount = min(estimate.of(limit), _LARGEST_AMOUNT)
            reservation.held.append(_Hold(limit, f"{key}:calls", f"{key}:numbers", amount))
        return reservation

    async def _ask_for(self, reservation: SharedReservation, *, only_look: bool = False) -> None:
        """Reserve all of `reservation`, or only check whether there is room for it.

        Raises LimitReached or _Away.
        """
        held, is_look = reservation.held, int(only_look)
        here = self._clock() if self._clock else time.time()
        answer = await self._run(_ADMIT, held, [is_look, *self._question(reservation, here)])
        # A new day or month has begun by the server's clock, but not by ours.
        while answer[0] == "window":
            here = answer[1] / 1e6
            answer = await self._run(_ADMIT, held, [is_look, *self._question(reservation, here)])
        refused: LimitReached | None = None
        longest = 0.0
        remaining = []
        for hold, facts in zip(reservation.held, _in_parts(answer[2:], _FACTS), strict=True):
            settled, reserved, wait, next_leaves, hold.start = facts
            used, wait_seconds = int(settled) + int(reserved), NEVER if wait < 0 else wait / 1e6
            if wait_seconds > 0 and not hold.limit.is_hard:
                reservation.soft_exceeded.append(hold.limit)
            elif wait_seconds > longest:
                longest = wait_seconds
                refused = LimitReached(hold.limit, wait_seconds, used, hold.amount)
            if hold.shape == "minute":
                remaining.append(Remaining(hold.limit, used, next_leaves / 1e6))
        if refused is not None:
            refused.headers.update(rate_headers(remaining))
            raise refused
        reservation.headers = rate_headers(remaining)
        if not only_look and any(hold.shape != "minute" for hold in reservation.held):
            self._open[reservation.call] = reservation

    def _question(self, reservation: SharedReservation, here: float) -> list[_Argument]:
        """The arguments of admit.lua, with the day and month of the time `here`."""
        arguments: list[_Argument] = [_microseconds(self._lease_seconds), self._now(), reservation.call]
        for hold in reservation.held:
            limit = hold.limit
            arguments += [hold.shape, int(limit.is_hard), hold.amount, limit.value]
            if hold.shape != "calendar":
                arguments += ["", "", "", ""]
                continue
            window = calendar_window(here, is_month=limit.kind != "tokens_per_day", time_zone=limit.time_zone)
            arguments += [_microseconds(moment) for moment in window]
            if limit.used is None or limit.used_as_of is None:
                arguments += ["", ""]
            else:
                arguments += [limit.used, _microseconds(limit.used_as_of)]
        return arguments

    def _undo(self, reservation: SharedReservation) -> None:
        """Schedule the release of everything that was or may have been reserved for a call that will not happen."""
        self._open.pop(reservation.call, None)
        reservation.is_settled = reservation.is_undone = True
        self._unsettled.append(reservation)

    async def _settle(self, reservation: SharedReservation) -> None:
        """Settle now, or retry later. Waits for any renewal, which must not bring back a settled lease."""
        await self._renewed.wait()
        holds: list[_Hold] = []
        arguments: list[_Argument] = [reservation.call]
        for hold in reservation.held:
            if reservation.is_undone:
                arguments += ["now", hold.amount, 0, ""]
            elif hold.limit.kind == "requests_per_minute":
                # A request counts as one, however it ended.
                continue
            else:
                truth = reservation.nano if hold.limit.kind == "money_per_month" else reservation.tokens
                arguments += [hold.shape, hold.amount, truth, hold.start]
            holds.append(hold)
        if not holds:
            return
        try:
            await self._run(_SETTLE, holds, arguments, may_have_run=reservation.may_have_settled)
        except _Away as away:
            reservation.may_have_settled = away.may_have_run
            self._unsettled.append(reservation)

    async def _renew(self) -> None:
        """Renew all leases; without any, only check that the server is there. Raises _Away."""
        self._renewed.clear()
        try:
            by_tenant: dict[str, list[tuple[str, _Hold]]] = {}
            for reservation in self._open.values():
                leases = by_tenant.setdefault(reservation.tenant_id, [])
                leases += [(reservation.call, hold) for hold in reservation.held if hold.shape != "minute"]
            if not by_tenant:
                await self._run(_RENEW, [], [0, 0])
            for leases in by_tenant.values():
                for some in _in_parts(leases, _RENEWED_AT_ONCE):
                    arguments: list[_Argument] = [_microseconds(self._lease_seconds), self._now()]
                    for call, hold in some:
                        arguments += [f"{call}:{hold.amount}", hold.amount, hold.start]
                    await self._run(_RENEW, [hold for _, hold in some], arguments)
        finally:
            self._renewed.set()

    async def _run(
        self,
        script: _Script,
        holds: Sequence[_Hold],
        arguments: Sequence[_Argument],
        *,
        may_have_run: bool = False,
    ) -> Any:
        """Run a script, with one retry, and pass it whether it may have run before. Raises _Away."""
        keys = [key for hold in holds for key in (hold.calls, hold.numbers)]
        failure: Exception | None = None
        for _ in range(2):
            rest = (len(keys), *keys, "again" if may_have_run else "once", *arguments)
            try:
                try:
                    answer = await self._line.ask("EVALSHA", script.digest, *rest)
                except NoScriptError:
                    answer = await self._line.ask("EVAL", script.text, *rest)
            except NotConnected as error:
                failure = error
            except _AWAY as error:
                failure, may_have_run = error, True
            else:
                self._is_there()
                return answer
        self._is_away(failure)
        raise _Away(may_have_run=may_have_run) from failure

    def _without_limits(self, limits: Sequence[LimitConfig], tenant_id: str) -> Reservation:
        """Let a call pass, or refuse it with 503, while the limits cannot be checked."""
        if any(limit.is_hard for limit in limits) and not self._fails_open:
            raise unavailable(
                "The gateway cannot check the limits of this key at the moment, so it refuses the call. "
                "Try again shortly.",
                "limits_unavailable",
            )
        self._metrics.without_limits.inc()
        _log.warning("call_without_limits", tenant=tenant_id)
        return Reservation()

    def _is_there(self) -> None:
        if self.problem:
            self.problem = ""
            self._metrics.limits_up.set(1)
            _log.info("limits_available")

    def _is_away(self, failure: BaseException | None) -> None:
        if not self.problem:
            self.problem = f"Limits cannot be checked: {failure}"
            self._metrics.limits_up.set(0)
            _log.error("limits_unavailable", reason=f"{type(failure).__name__}: {failure}")

    def _now(self) -> _Argument:
        """The time for scripts; if it is empty, the server uses its own."""
        return _microseconds(self._clock()) if self._clock else ""

    def _begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start a task that finishes even if its caller is cancelled."""
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _to_its_end(self, task: "asyncio.Task[T]") -> T:
        """Wait for a task that continues when the caller is cancelled.

        Raises _Away for any other failure: an error in here is not the caller's fault.
        """
        try:
            return await asyncio.shield(task)
        except (LimitReached, _Away):
            raise
        except asyncio.CancelledError:
            if not task.cancelled() or _is_cancelled():
                raise
            failure: BaseException = RuntimeError("the question was broken off")
        except Exception as error:
            _log.exception("limits_failed")
            failure = error
        self._is_away(failure)
        raise _Away(may_have_run=True) from failure

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._working.discard(task)
        if not task.cancelled():
            # The waiting caller saw it. If nobody waits anymore, it does not matter.
            task.exception()


def _is_cancelled() -> bool:
    """Whether the current task has been asked to end."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _in_parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[first : first + size] for first in range(0, len(whole), size))
