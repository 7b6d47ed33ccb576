"""Limits: the gateway checks all that apply to a call together, reserves its estimated usage, and settles it later."""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from gateway.contract import NANO, LimitConfig
from gateway.proxy.errors import Refusal, retry_after
from gateway.proxy.index import Key
from gateway.proxy.windows import NEVER, Calendar, Counter, LastMinute, Now, Reserved

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
# The headers for the limit itself, for what is left of it, and for when the next part of it is free.
_HEADERS = {
    kind: (f"x-ratelimit-limit-{noun}", f"x-ratelimit-remaining-{noun}", f"x-ratelimit-reset-{noun}")
    for kind, noun in (("requests_per_minute", "requests"), ("tokens_per_minute", "tokens"))
}
_SWEPT_AT_ONCE = 500  # counters: about 2 ms
# Sets of limits whose counters are remembered.
_MOST_BOUND = 4096
# Fast enough that a sweep ends before the number of counters doubles.
_SWEPT_FOR_EACH_NEW = 2
# What a limit counts: places in `EstimatedUsage.amounts`.
_CALLS, _TOKENS, _MONEY = range(3)
CALENDAR_KINDS = ("tokens_per_day", "tokens_per_month", "money_per_month")


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

    @property
    def amounts(self) -> tuple[int, int, int] | None:
        """How much to reserve of limits that count calls, tokens and money; None if it depends on the limit."""
        if not self.is_output_named:
            return None
        return 1, self.input_tokens + self.output_tokens, self.input_nano + self.output_nano

    def of(self, limit: LimitConfig) -> int:
        """How much of one limit to reserve."""
        measure = _measure_of(limit)
        if measure == _CALLS:
            return 1
        if measure == _MONEY:
            sure, unsure = self.input_nano, self.output_nano
        else:
            sure, unsure = self.input_tokens, self.output_tokens
        if self.is_output_named:
            return sure + unsure
        return max(sure, min(sure + unsure, limit.value))


def _measure_of(limit: LimitConfig) -> int:
    """What a limit counts."""
    if limit.kind in ("requests_per_minute", "concurrent_calls"):
        return _CALLS
    return _MONEY if limit.kind == "money_per_month" else _TOKENS


# The least that any call uses.
LEAST = EstimatedUsage(input_tokens=1, output_tokens=0, is_output_named=True, input_nano=1)


def limits_on_every(key: Key) -> list[LimitConfig]:
    """The hard limits that apply to every call of this key, whatever model it names."""
    found = key.found_limits.get("")
    if found is None:
        is_for_one = len(key.models) == 1
        found = [one for one in key.config.limits if one.is_hard and (one.model is None or is_for_one)]
        key.found_limits[""] = found
    return found


class Reservation(msgspec.Struct):
    """What one call has reserved. `headers` report how much is left of the tightest limits per minute.

    `holds` has the counters that learn what was used, and whether they count money; `requests` those that count calls
    of a minute.
    """

    holds: list[tuple[Counter, Reserved, bool]] = []
    requests: list[tuple[Counter, Reserved]] = []
    headers: dict[str, str] = {}
    soft_exceeded: list[LimitConfig] = []
    is_settled: bool = False


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


class Remaining(NamedTuple):
    """How much of one limit is used, and the seconds until its oldest call leaves the minute."""

    limit: LimitConfig
    used: int
    next_seconds: float


class _Bound(NamedTuple):
    """One limit of a set, and its counter. `clock` and `measure` are places in `_Times`
    and in `EstimatedUsage.amounts`."""

    limit: LimitConfig
    counter: Counter
    clock: int
    measure: int


# By the monotonic clock, and by that of the wall.
_Times = tuple[float, float]
# What to reserve at one counter, and when.
_Asked = tuple[_Bound, int, float]


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
        # By the identities of the limits, which live as long as what is bound to them.
        self._bound: dict[tuple[int, ...], list[_Bound]] = {}
        # Checks one counter per step.
        self._sweep: Iterator[None] = iter(())

    async def look(self, limits: Sequence[LimitConfig], tenant_id: str) -> None:
        times = self._monotonic(), self._wall()
        for limit, counter, clock, _ in self._bind(limits, times):
            # `LEAST` is 1 of everything.
            if counter.count >= limit.value or times[clock] >= counter.until:
                self._ask(limits, LEAST, Reservation())
                return

    async def admit(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, tenant_id: str
    ) -> Reservation:
        reservation = Reservation(holds=[], requests=[])
        remaining = []
        for (limit, counter, _, measure), amount, now in self._ask(limits, estimate, reservation):
            held = counter.hold(amount, now)
            # A request counts as one, however it ended.
            if limit.kind != "requests_per_minute":
                reservation.holds.append((counter, held, measure == _MONEY))
            else:
                reservation.requests.append((counter, held))
            if type(counter) is LastMinute:
                remaining.append(Remaining(limit, counter.count, counter.seconds_to_next(now)))
        reservation.headers = rate_headers(remaining)
        return reservation

    def _ask(
        self, limits: Sequence[LimitConfig], estimate: EstimatedUsage, reservation: Reservation
    ) -> list[_Asked]:
        """What to reserve, if all hard limits have room. Raises LimitReached; notes soft limits without room."""
        asked: list[_Asked] = []
        refused: LimitReached | None = None
        longest = 0.0
        times = self._monotonic(), self._wall()
        named = estimate.amounts
        for bound in self._bind(limits, times):
            limit, counter, clock, measure = bound
            now = times[clock]
            amount = estimate.of(limit) if named is None else named[measure]
            asked.append((bound, amount, now))
            if counter.count + amount <= limit.value and now < counter.until:
                continue
            _prepare(limit, counter, now)
            wait = counter.wait_seconds(amount, limit.value, now)
            if wait > 0 and not limit.is_hard:
                reservation.soft_exceeded.append(limit)
            # Report the limit with the longest wait, so that a retry at that time succeeds.
            elif wait > longest:
                longest = wait
                refused = LimitReached(limit, wait, counter.used(now), amount)
        if refused is not None:
            refused.headers.update(rate_headers(_remaining(asked)))
            raise refused
        return asked

    def _bind(self, limits: Sequence[LimitConfig], times: _Times) -> list[_Bound]:
        """The counters of a set of limits: found once, until one of any set is dropped."""
        name = tuple(map(id, limits))
        bound = self._bound.get(name)
        if bound is None:
            # First, because it drops counters.
            self._go_on(_SWEPT_FOR_EACH_NEW * sum((one.id, one.kind) not in self._counters for one in limits))
            bound = []
            for limit in limits:
                counter = self._counters.get((limit.id, limit.kind))
                if counter is None:
                    counter = self._counters[limit.id, limit.kind] = _new_counter(limit)
                clock = int(isinstance(counter, Calendar))
                _prepare(limit, counter, times[clock])
                bound.append(_Bound(limit, counter, clock, _measure_of(limit)))
            if len(self._bound) >= _MOST_BOUND:
                self._bound.clear()
            self._bound[name] = bound
        return bound

    async def settle(self, reservation: Reservation, tokens: int, nano: int) -> None:
        if reservation.is_settled:
            return
        reservation.is_settled = True
        for counter, held, is_money in reservation.holds:
            counter.settle(held, nano if is_money else tokens)

    async def undo(self, reservation: Reservation) -> None:
        if not reservation.is_settled:
            await self.settle(reservation, 0, 0)
            for counter, held in reservation.requests:
                counter.settle(held, 0)

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
            self._bound.clear()


def _prepare(limit: LimitConfig, counter: Counter, now: float) -> None:
    """Tell a counter of days or months what its limit says of them."""
    if isinstance(counter, Calendar):
        counter.time_zone = limit.time_zone
        if limit.used is not None and limit.used_as_of is not None:
            counter.seed(limit.used, limit.used_as_of, now)


def _remaining(asked: list[_Asked]) -> list[Remaining]:
    return [
        Remaining(bound.limit, bound.counter.used(now), bound.counter.seconds_to_next(now))
        for bound, _, now in asked
        if isinstance(bound.counter, LastMinute)
    ]


def rate_headers(remaining: Iterable[Remaining]) -> dict[str, str]:
    """OpenAI's x-ratelimit headers for the hard limits per minute with the least room."""
    tightest: dict[str, tuple[int, int, float]] = {}
    for limit, used, seconds in remaining:
        if limit.is_hard and (kind := limit.kind) in _HEADERS:
            room = limit.value - used
            left = (room if room > 0 else 0, limit.value, seconds)
            if kind not in tightest or left < tightest[kind]:
                tightest[kind] = left
    headers: dict[str, str] = {}
    for name, (room, value, seconds) in tightest.items():
        of_limit, of_room, of_reset = _HEADERS[name]
        headers[of_limit] = str(value)
        headers[of_room] = str(room)
        headers[of_reset] = f"{seconds:.3f}s"
    return headers


def _new_counter(limit: LimitConfig) -> Counter:
    if limit.kind in CALENDAR_KINDS:
        return Calendar(is_month=limit.kind != "tokens_per_day", time_zone=limit.time_zone)
    if limit.kind == "concurrent_calls":
        return Now()
    return LastMinute()


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
