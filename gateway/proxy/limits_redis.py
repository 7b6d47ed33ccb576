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
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import structlog

from gateway.contract import LimitConfig
from gateway.proxy.errors import unavailable
from gateway.proxy.limits import LEAST, EstimatedUsage, LimitReached, Reservation
from gateway.proxy.metrics import Metrics
from gateway.proxy.packed_limits import PackedLimits, Script, microseconds
from gateway.proxy.rates import Rate, rate_headers
from gateway.proxy.redis_address import read_url
from gateway.proxy.redis_line import Word
from gateway.proxy.redis_nodes import Away, Nodes, Pack
from gateway.proxy.windows import NEVER

_log = structlog.get_logger()
_CLOSE_SECONDS = 0.8
# Values for each limit in the answer of admit.lua, after two others.
_FACTS = 5
# More than any call needs; keeps 64-bit sums from overflowing.
_LARGEST_AMOUNT = 2**53 - 1
_MOST_UNSETTLED = 10_000
_RENEWED_AT_ONCE = 200
# Sets of limits whose requests are kept packed, with 3 kB each.
_MOST_PACKED = 2048
_RENEW = Script("renew")

T = TypeVar("T")


class SharedReservation(Reservation):
    """What one call has reserved in the server. `used` is the actual usage, in tokens and nano-units, once settled."""

    limits: PackedLimits | None = None
    call: str = ""
    amounts: list[int] = []
    # Of the day or month in which the call began, for each limit.
    starts: Sequence[Word] = ()
    used: tuple[int, int] = (0, 0)
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
        self._nodes = Nodes(*read_url(url))
        own = secrets.token_hex(6)
        self._names = (f"{own}-{number:x}" for number in itertools.count())
        # By the identities of the limits, which are not reused while they are here.
        self._packed: dict[tuple[int, ...], PackedLimits] = {}
        # Reservations with leases to renew, by call.
        self._open: dict[str, SharedReservation] = {}
        self._unsettled: deque[SharedReservation] = deque(maxlen=_MOST_UNSETTLED)
        self._renewed = asyncio.Event()
        self._renewed.set()
        self._settling = 0

    async def look(self, limits: Sequence[LimitConfig], tenant_id: str) -> None:
        """As the protocol says."""
        if limits:
            try:
                await self._ask_for(self._reservation_for(limits, LEAST, tenant_id), is_look=True)
            except Away:
                self._without_limits(limits, tenant_id)

    async def admit(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, tenant_id: str
    ) -> Reservation:
        """As the protocol says. Without the server, only calls without a hard limit pass."""
        if not limits:
            return Reservation()
        reservation = self._reservation_for(limits, estimate, tenant_id)
        try:
            await self._ask_for(reservation)
        except asyncio.CancelledError:
            self._undo(reservation)
            raise
        except Away as away:
            if away.may_have_run:
                self._undo(reservation)
            return self._without_limits(limits, tenant_id)
        return reservation

    async def settle(self, reservation: Reservation, tokens: int, nano: int) -> None:
        """As the protocol says. Happens even when cancelled; retries later if the server is away."""
        if reservation.is_settled:
            return
        reservation.is_settled = True
        if isinstance(reservation, SharedReservation):
            self._open.pop(reservation.call, None)
            reservation.used = tokens, nano
            await self._settle(reservation)

    async def undo(self, reservation: Reservation) -> None:
        """As the protocol says. Happens even when cancelled; retries later if the server is away."""
        if isinstance(reservation, SharedReservation) and not reservation.is_settled:
            self._open.pop(reservation.call, None)
            reservation.is_settled = reservation.is_undone = True
            await self._settle(reservation)

    def forget_all_but(self, limit_ids: Container[str]) -> None:
        """Does nothing: unused counters expire in the server."""

    def forget(self, limit_ids: Iterable[str]) -> None:
        """Does nothing, for the same reason."""

    async def maintain(self) -> None:
        """Renew leases and retry failed settlements, three times per lease. Never returns."""
        while True:
            await self._maintain_once()
            await asyncio.sleep(self._lease_seconds / 3)

    async def _maintain_once(self) -> None:
        with contextlib.suppress(Away):
            await self._renew()
            for _ in range(len(self._unsettled)):
                await self._settle(self._unsettled.popleft())

    async def close(self) -> None:
        """Finish settlements in progress, and close all connections."""
        until = time.monotonic() + _CLOSE_SECONDS
        while self._settling and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await self._nodes.close()

    def _reservation_for(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, tenant_id: str
    ) -> SharedReservation:
        return SharedReservation(
            limits=self._packed_limits(limits, tenant_id),
            call=next(self._names),
            amounts=[min(estimate.of(limit), _LARGEST_AMOUNT) for limit in limits],
        )

    def _packed_limits(self, limits: Sequence[LimitConfig], tenant_id: str) -> PackedLimits:
        name = tuple(map(id, limits))
        packed = self._packed.get(name)
        if packed is None or packed.tenant_id != tenant_id:
            if len(self._packed) >= _MOST_PACKED:
                self._packed.clear()
            packed = PackedLimits(limits, tenant_id, microseconds(self._lease_seconds))
            self._packed[name] = packed
        return packed

    async def _ask_for(self, reservation: SharedReservation, *, is_look: bool = False) -> None:
        """Reserve all of `reservation`, or only check whether there is room for it.

        Raises LimitReached or Away.
        """
        asked, call, amounts = reservation.limits, reservation.call, reservation.amounts
        assert asked is not None
        here = self._clock() if self._clock else time.time()
        tag, now = asked.tenant_id, self._now()
        answer = await self._run(tag, asked.admit(call, amounts, now, here, is_look=is_look))
        # A new day or month has begun by the server's clock, but not by ours.
        while answer[0] == b"window":
            request = asked.admit(call, amounts, self._now(), answer[1] / 1e6, is_look=is_look)
            answer = await self._run(tag, request)
        reservation.starts = answer[6::_FACTS]
        requests, tokens = asked.shown
        reservation.headers = rate_headers(_tightest(requests, answer), _tightest(tokens, answer))
        if any(answer[4::_FACTS]):
            self._note_excess(reservation, answer[2:])
        if asked.leased and not is_look:
            self._open[call] = reservation

    @staticmethod
    def _note_excess(reservation: SharedReservation, facts: Sequence[Any]) -> None:
        """Note the soft limits without room. Raises LimitReached if there is a hard one."""
        soft_exceeded = []
        refused: LimitReached | None = None
        longest = 0.0
        assert reservation.limits is not None
        each = zip(reservation.limits.limits, reservation.amounts, _in_parts(facts, _FACTS), strict=True)
        for limit, amount, (settled, reserved, wait, _, _) in each:
            wait_seconds = NEVER if wait < 0 else wait / 1e6
            if wait_seconds > 0 and not limit.is_hard:
                soft_exceeded.append(limit)
            elif wait_seconds > longest:
                longest = wait_seconds
                refused = LimitReached(limit, wait_seconds, int(settled) + int(reserved), amount)
        if refused is not None:
            refused.headers.update(reservation.headers)
            raise refused
        reservation.soft_exceeded = soft_exceeded

    def _undo(self, reservation: SharedReservation) -> None:
        """Schedule the release of everything that was or may have been reserved for a call that will not happen."""
        self._open.pop(reservation.call, None)
        reservation.is_settled = reservation.is_undone = True
        self._unsettled.append(reservation)

    async def _settle(self, reservation: SharedReservation) -> None:
        """Settle now, or retry later. Waits for any renewal, which must not bring back a settled lease."""
        asked, call, amounts = reservation.limits, reservation.call, reservation.amounts
        assert asked is not None
        if not reservation.is_undone and not asked.kept:
            return
        self._settling += 1
        try:
            if not self._renewed.is_set():
                await self._renewed.wait()
            may_have_run, reservation.may_have_settled = reservation.may_have_settled, True
            if reservation.is_undone:
                request = asked.undo(call, amounts)
            else:
                request = asked.settle(call, amounts, reservation.starts, reservation.used)
            await self._run(asked.tenant_id, request, may_have_run=may_have_run)
        except Away as away:
            reservation.may_have_settled = away.may_have_run
            self._unsettled.append(reservation)
        except asyncio.CancelledError:
            # It was sent if the renewal was over. Settled again, it counts once.
            self._unsettled.append(reservation)
            raise
        finally:
            self._settling -= 1

    async def _renew(self) -> None:
        """Renew all leases; without any, only check that the server is there. Raises Away."""
        self._renewed.clear()
        try:
            leases: dict[str, list[tuple[tuple[str, str], str, int, Word]]] = {}
            for reservation in self._open.values():
                asked = reservation.limits
                assert asked is not None
                leases.setdefault(asked.tenant_id, []).extend(
                    (asked.keys[at], reservation.call, reservation.amounts[at], reservation.starts[at])
                    for at in asked.leased
                )
            if not leases:
                await self._run("", _RENEW.pack([], [0, 0]))
            for tenant_id, theirs in leases.items():
                for some in _in_parts(theirs, _RENEWED_AT_ONCE):
                    words: list[Word] = [microseconds(self._lease_seconds), self._now()]
                    for _, call, amount, start in some:
                        words += [f"{call}:{amount}", amount, start]
                    await self._run(tenant_id, _RENEW.pack([key for keys, *_ in some for key in keys], words))
        finally:
            self._renewed.set()

    async def _run(self, tag: str, request: Pack, *, may_have_run: bool = False) -> Any:
        """The server's answer. Raises Away, also for any failure in here, which is not the caller's fault."""
        try:
            answer = await self._nodes.ask(tag, request, may_have_run=may_have_run)
        except Away as away:
            self._is_away(away.__cause__)
            raise
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            failure: BaseException = error
        except Exception as error:
            _log.exception("limits_failed")
            failure = error
        else:
            if self.problem:
                self._is_there()
            return answer
        self._is_away(failure)
        raise Away(may_have_run=True) from failure

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
        self.problem = ""
        self._metrics.limits_up.set(1)
        _log.info("limits_available")

    def _is_away(self, failure: BaseException | None) -> None:
        if not self.problem:
            self.problem = f"Limits cannot be checked: {failure}"
            self._metrics.limits_up.set(0)
            _log.error("limits_unavailable", reason=f"{type(failure).__name__}: {failure}")

    def _now(self) -> Word:
        """The time for scripts; if it is empty, the server uses its own."""
        return microseconds(self._clock()) if self._clock else ""


def _tightest(shown: Iterable[tuple[int, int]], answer: Sequence[Any]) -> Rate | None:
    """What is left of the tightest of these limits, by what admit.lua answered."""
    least: Rate | None = None
    for at, value in shown:
        settled, reserved, _, next_leaves = answer[2 + at * _FACTS : 6 + at * _FACTS]
        rate = max(value - int(settled) - int(reserved), 0), value, next_leaves / 1e6
        if least is None or rate < least:
            least = rate
    return least


def _is_cancelled() -> bool:
    """Whether the current task has been asked to end."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _in_parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[first : first + size] for first in range(0, len(whole), size))
