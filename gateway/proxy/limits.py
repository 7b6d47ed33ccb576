"""Limits: the gateway checks all that apply to a call together, reserves its estimated usage, and settles it later."""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from gateway.contract import NANO, LimitConfig
from gateway.proxy.errors import Refusal, retry_after
from gateway.proxy.index import Key
from gateway.proxy.limit_sets import (
    CALENDAR_KINDS,
    CALLS,
    MONEY,
    REQUESTS,
    CalendarRow,
    Calendars,
    LimitSet,
    measure_of,
    new_counter,
    prepare,
    tightest,
)
from gateway.proxy.rates import rate_headers
from gateway.proxy.windows import NEVER, Calendar, CallsOfMinute, Counter, Now, Reserved, TokensOfMinute

_UNITS = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "concurrent_calls": "calls at the same time",
    "tokens_per_day": "tokens per day",
    "tokens_per_month": "tokens per month",
    "money_per_month": "per month",
}
_ERROR_TYPES = {
    "requests_per_minute": "requests",
    "tokens_per_minute": "tokens",
    "concurrent_calls": "requests",
}
_SWEPT_AT_ONCE = 500  # counters: about 2 ms
# Sets of limits that are kept prepared.
_MOST_SETS = 4096
# Fast enough that a sweep ends before the number of counters doubles.
_SWEPT_FOR_EACH_NEW = 2


class EstimatedUsage(msgspec.Struct, frozen=True, gc=False):
    """The most that a call may use. Money is in nano-units, 0 if no money limit applies.

    If the client named no maximum for the answer, `output_tokens` is only a guess. Then no limit reserves
    more than its own value, so that a small limit still admits one call.
    """

    input_tokens: int
    output_tokens: int
    is_output_named: bool
    input_nano: int = 0
    output_nano: int = 0
    # Limits on requests to all models have counted the call already.
    is_counted: bool = False

    def of(self, limit: LimitConfig) -> int:
        """How much of one limit to reserve."""
        measure = measure_of(limit)
        if measure == CALLS:
            return 1
        if measure == REQUESTS:
            return int(not self.is_counted)
        if measure == MONEY:
            sure, unsure = self.input_nano, self.output_nano
        else:
            sure, unsure = self.input_tokens, self.output_tokens
        if self.is_output_named:
            return sure + unsure
        return max(sure, min(sure + unsure, limit.value))


# The least that any call uses.
LEAST = EstimatedUsage(input_tokens=1, output_tokens=0, is_output_named=True, input_nano=1)


def limits_on_every(key: Key, *, is_small: bool) -> list[LimitConfig]:
    """The hard limits that apply to every call of this key, whatever model it names.

    Of a call with a small body, only those on all models. The list is made once for each key, because limiters know
    lists by their identity.
    """
    # No model has such a name.
    name = "\0" if is_small else ""
    found = key.found_limits.get(name)
    if found is None:
        is_for_one = len(key.models) == 1 and not is_small
        found = [one for one in key.config.limits if one.is_hard and (one.model is None or is_for_one)]
        key.found_limits[name] = found
    return found


class Reservation(msgspec.Struct):
    """What one call has reserved. `headers` report how much is left of the tightest limits per minute."""

    headers: dict[str, str] = {}
    soft_exceeded: list[LimitConfig] = []
    is_settled: bool = False


class _Held(Reservation):
    """What one call has reserved in this process."""

    # By measure; then perhaps more, to which `calendars` point.
    amounts: Sequence[int] = ()
    slots: Sequence[Now] = ()
    calendars: Sequence[CalendarRow] = ()
    entries: Sequence[tuple[TokensOfMinute, Reserved]] = ()
    # When the call came, for the minutes that count it, each with its measure.
    at: float = 0.0
    requests: Sequence[tuple[CallsOfMinute, int]] = ()


class LimitReached(Refusal):
    """429: a hard limit has no room for this call."""

    def __init__(self, limit: LimitConfig, wait_seconds: float, used: int, estimate: int) -> None:
        self.limit = limit
        self.wait_seconds = wait_seconds
        is_quota = limit.kind in CALENDAR_KINDS
        headers = retry_after(wait_seconds) if wait_seconds < NEVER else {"x-should-retry": "false"}
        headers["x-ratelimit-refused-by"] = limit.id
        super().__init__(
            429,
            "insufficient_quota" if is_quota else "rate_limit_exceeded",
            _explain(limit, wait_seconds, used, estimate),
            kind=_ERROR_TYPES.get(limit.kind, "insufficient_quota"),
            headers=headers,
        )


class Limiter(Protocol):
    """Counts limits in the memory of this process, or in a Redis that several gateways share."""

    @property
    def problem(self) -> str:
        """What an operator should know; empty while all is well."""

    # True if a check costs next to nothing.
    is_local: bool

    async def look(self, limits: Sequence[LimitConfig], tenant_id: str) -> None:
        """Raise what `admit` would raise for the smallest possible call. Reserves nothing."""

    async def admit(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, tenant_id: str
    ) -> Reservation:
        """Reserve `estimate` under all of `limits`, or under none. All of them belong to one tenant.

        Raises LimitReached, and Refusal (503) if the limits cannot be checked.
        """

    async def settle(self, reservation: Reservation, tokens: int, nano: int) -> None:
        """Release the reservation and count the actual usage. Raises nothing; safe to repeat."""

    async def undo(self, reservation: Reservation) -> None:
        """Release all that was reserved for a call that did not happen, the request too.

        Raises nothing; safe to repeat.
        """

    def forget_all_but(self, limit_ids: Container[str]) -> None:
        """Drop, over time, the counters of limits that no longer exist and whose window is over."""

    def forget(self, limit_ids: Iterable[str]) -> None:
        """Drop the counters of these deleted limits if their window is over."""


class MemoryLimiter:
    """Counts in this process. One event loop and no `await` between check and reservation make it atomic."""

    problem = ""
    is_local = True

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._counters: dict[tuple[str, str], Counter] = {}
        # By the identity of the list of limits, which lives as long as its set.
        self._sets: dict[int, LimitSet] = {}
        # Days and months that have begun.
        self._epoch = 0
        # Checks one counter per step.
        self._sweep: Iterator[None] = iter(())

    async def look(self, limits: Sequence[LimitConfig], tenant_id: str) -> None:
        asked = self._set_of(limits)
        for counter, value, _ in asked.rows:
            # `LEAST` is 1 of everything.
            if counter.count >= value:
                self._ask(asked, LEAST, self._monotonic())
                return

    async def admit(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, tenant_id: str
    ) -> Reservation:
        asked = self._set_of(limits)
        now = self._monotonic()
        tokens = estimate.input_tokens + estimate.output_tokens
        amounts = 1, tokens, estimate.input_nano + estimate.output_nano, 0 if estimate.is_counted else 1
        # In one pass, because nearly every call fits.
        for row in asked.rows:
            counter, value, measure = row
            counter.count = count = counter.count + amounts[measure]
            if count > value:
                return self._admit_slowly(asked, row, amounts, estimate, now)
        entries = [(minute, minute.enter(tokens, now)) for minute in asked.minutes_of_tokens]
        return self._held(asked, amounts, entries, now)

    def _held(
        self,
        asked: LimitSet,
        amounts: Sequence[int],
        entries: Sequence[tuple[TokensOfMinute, Reserved]],
        now: float,
    ) -> _Held:
        """The reservation of a call whose `amounts` are counted."""
        for minute, measure in asked.minutes_of_calls:
            if amounts[measure]:
                minute.enter(now)
        headers = rate_headers(tightest(asked.shown_requests, now), tightest(asked.shown_tokens, now))
        rows, requests = asked.calendars.rows, asked.minutes_of_calls
        return _Held(headers, [], False, amounts, asked.slots, rows, entries, now, requests)

    def _admit_slowly(
        self,
        asked: LimitSet,
        last: tuple[Counter, int, int],
        amounts: Sequence[int],
        estimate: EstimatedUsage,
        now: float,
    ) -> _Held:
        """Admit a call that may not fit: see `Limiter.admit`. Its amounts are counted up to the row `last`."""
        for row in asked.rows:
            counter, _, measure = row
            counter.count -= amounts[measure]
            if row is last:
                break
        each, soft_exceeded = self._ask(asked, estimate, now)
        entries = []
        for (counter, _, _), amount in zip(asked.rows, each, strict=True):
            counter.count += amount
            if isinstance(counter, TokensOfMinute):
                entries.append((counter, counter.enter(amount, now)))
        held = self._held(asked, (*amounts, *each), entries, now)
        held.soft_exceeded = soft_exceeded
        first = len(amounts)
        held.calendars = [
            (calendar, start, measure, first + at)
            for calendar, start, measure, at in asked.calendars.by_limit
        ]
        return held

    def _ask(
        self, asked: LimitSet, estimate: EstimatedUsage, now: float
    ) -> tuple[list[int], list[LimitConfig]]:
        """What to reserve under each limit, and soft limits without room, if all hard ones have room.

        Raises LimitReached.
        """
        amounts, soft_exceeded = [], []
        refused: LimitReached | None = None
        longest = 0.0
        wall = self._wall()
        for limit, (counter, value, _) in zip(asked.limits, asked.rows, strict=True):
            amount = estimate.of(limit)
            amounts.append(amount)
            time_of_kind = wall if isinstance(counter, Calendar) else now
            wait = counter.wait_seconds(amount, value, time_of_kind)
            if wait > 0 and not limit.is_hard:
                soft_exceeded.append(limit)
            # Report the limit with the longest wait, so that a retry at that time succeeds.
            elif wait > longest:
                longest = wait
                refused = LimitReached(limit, wait, counter.used(time_of_kind), amount)
        if refused is not None:
            for counter, _, _ in asked.rows:
                counter.used(now)
            headers = rate_headers(tightest(asked.shown_requests, now), tightest(asked.shown_tokens, now))
            refused.headers.update(headers)
            raise refused
        return amounts, soft_exceeded

    def _set_of(self, limits: Sequence[LimitConfig]) -> LimitSet:
        """The prepared set of these limits, in the days and months of now."""
        found = self._sets.get(id(limits)) or self._new_set(limits)
        calendars = found.calendars
        if calendars.epoch != self._epoch or self._wall() >= calendars.until:
            self._begin(found)
        return found

    def _new_set(self, limits: Sequence[LimitConfig]) -> LimitSet:
        # First, because it drops counters.
        self._go_on(_SWEPT_FOR_EACH_NEW * sum((one.id, one.kind) not in self._counters for one in limits))
        counters = []
        for limit in limits:
            counter = self._counters.get((limit.id, limit.kind))
            if counter is None:
                counter = self._counters[limit.id, limit.kind] = new_counter(limit)
            counters.append(counter)
        if len(self._sets) >= _MOST_SETS:
            self._sets.clear()
        made = self._sets[id(limits)] = LimitSet(limits, counters)
        return made

    def _begin(self, asked: LimitSet) -> None:
        """Begin the days and months of a set whose time has come; another set may have begun some of them."""
        wall = self._wall()
        for limit, (counter, _, _) in zip(asked.limits, asked.rows, strict=True):
            self._epoch += prepare(limit, counter, wall)
        asked.calendars = Calendars(asked.counted_days, self._epoch)

    async def settle(self, reservation: Reservation, tokens: int, nano: int) -> None:
        if reservation.is_settled:
            return
        reservation.is_settled = True
        if not isinstance(reservation, _Held):
            return
        for slot in reservation.slots:
            slot.count -= 1
        amounts = reservation.amounts
        used = 1, tokens, nano
        for calendar, start, measure, place in reservation.calendars:
            # Otherwise the day or month of the call's start is over.
            if calendar.start == start:
                calendar.settled += used[measure]
                calendar.count += used[measure] - amounts[place]
        for minute, entry in reservation.entries:
            minute.settle(entry, tokens)

    async def undo(self, reservation: Reservation) -> None:
        if isinstance(reservation, _Held) and not reservation.is_settled:
            await self.settle(reservation, 0, 0)
            for minute, measure in reservation.requests:
                if reservation.amounts[measure]:
                    minute.leave(reservation.at)

    def forget_all_but(self, limit_ids: Container[str]) -> None:
        """As in `Limiter`: some now, and two per new counter. Checking 400,000 at once would stop every call."""
        self._sweep = self._sweeping(limit_ids)
        self._go_on(_SWEPT_AT_ONCE)

    def forget(self, limit_ids: Iterable[str]) -> None:
        for limit_id in limit_ids:
            for kind in _UNITS:
                self._drop_idle((limit_id, kind))

    def _sweeping(self, limit_ids: Container[str]) -> Iterator[None]:
        for name in list(self._counters):
            if name[0] not in limit_ids:
                self._drop_idle(name)
            yield

    def _go_on(self, steps: int) -> None:
        for _ in islice(self._sweep, steps):
            pass

    def _drop_idle(self, name: tuple[str, str]) -> None:
        counter = self._counters.get(name)
        now = self._wall if name[1] in CALENDAR_KINDS else self._monotonic
        if counter is not None and counter.is_idle(now()):
            del self._counters[name]
            # One of them may have it.
            self._sets.clear()


def _explain(limit: LimitConfig, wait_seconds: float, used: int, estimate: int) -> str:
    """The limit that is reached, and what to do."""
    value: str = f"{limit.value:,}"
    if limit.kind == "money_per_month":
        value, used_text, estimate_text = (f"{n / NANO:.6f}" for n in (limit.value, used, estimate))
    else:
        used_text, estimate_text = f"{used:,}", f"{estimate:,}"
    where = f" for {limit.model}" if limit.model else ""
    name = f"the {limit.scope} limit of {value} {_UNITS[limit.kind]}{where}"
    if wait_seconds == NEVER:
        if limit.value == 0:
            return f"{name[0].upper()}{name[1:]} allows no calls. Ask to raise it."
        return (
            f"This call may use up to {estimate_text}, which is more than {name}. Lower max_tokens, "
            "shorten the prompt, or ask to raise the limit."
        )
    remaining = f"{used_text} used or reserved, this call may need {estimate_text}"
    reached = f"{name[0].upper()}{name[1:]} is reached ({remaining})."
    if limit.kind == "concurrent_calls":
        return f"{reached} Wait for a call to finish, or ask to raise the limit."
    seconds = retry_after(wait_seconds)["retry-after"]
    return f"{reached} Try again in {seconds} s, or ask to raise the limit."
