"""Counters for limits: over the last sixty seconds, over a calendar day or month, or for now.

Each counter has a `count`, reservations included, which a limiter raises itself when it admits a call. If `count` and
an amount fit under a limit, so does the call, without a further question. Else `wait_seconds` says how long it has to
wait: 0 if the amount fits after all, `NEVER` if it can never fit. The caller passes the limit's value each time, so
that a changed limit applies at once and keeps its count. Nothing here awaits: check and reservation are one step for
the event loop.
"""

import math
from collections import deque
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from core.local_days import day_window, month_window

NEVER = math.inf
MINUTE_SECONDS = 60.0


class Reserved(msgspec.Struct, gc=False):
    """The tokens that one call has reserved in a minute; `at` is negative once they have left it.

    A minute holds very many of them, which the garbage collector does not traverse.
    """

    at: float
    amount: int


class Counter(Protocol):
    """What all kinds of counters have in common. Times are in seconds of the clock for that kind.

    Never more than `count` is used, but it may still include what has left a minute since.
    """

    count: int

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        """Seconds until `amount` more fits under `value`."""

    def used(self, now: float) -> int:
        """The current count, including reservations."""

    def is_idle(self, now: float) -> bool:
        """Whether this counter can be dropped without any effect."""


class CallsOfMinute:
    """An exact sliding window of calls: the time of each call of the last sixty seconds, in the order of arrival.

    A call leaves the window sixty seconds after it came, to the microsecond.
    """

    __slots__ = ("_times", "count")

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.count = 0

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        if amount > value:
            return NEVER
        excess = self.used(now) + amount - value
        return 0.0 if excess <= 0 else self._times[excess - 1] + MINUTE_SECONDS - now

    def enter(self, now: float) -> None:
        """Remember a call that is counted already."""
        times = self._times
        times.append(now)
        # Here too, so that a minute with room for every call does not remember all of them.
        if now - times[0] >= MINUTE_SECONDS:
            self.used(now)

    def leave(self, at: float) -> None:
        """Forget a call that came at the time `at`, unless its minute is over."""
        for calls_since, other in enumerate(reversed(self._times), 1):
            if other == at:
                del self._times[-calls_since]
                self.count -= 1
            if other <= at:
                return

    def used(self, now: float) -> int:
        times = self._times
        while times and now - times[0] >= MINUTE_SECONDS:
            times.popleft()
            self.count -= 1
        return self.count

    def seconds_to_next(self, now: float) -> float:
        """Seconds until the oldest call leaves the window; 0 if it is empty. `now`: of the last `enter` or `used`."""
        return self._times[0] + MINUTE_SECONDS - now if self._times else 0.0

    def is_idle(self, now: float) -> bool:
        return self.used(now) == 0


class TokensOfMinute:
    """The same window of tokens. The usage of a call counts where the call *began*."""

    __slots__ = ("_entries", "count")

    def __init__(self) -> None:
        self._entries: deque[Reserved] = deque()
        self.count = 0

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        if amount > value:
            return NEVER
        excess = self.used(now) + amount - value
        if excess <= 0:
            return 0.0
        for entry in self._entries:
            excess -= entry.amount
            if excess <= 0:
                return entry.at + MINUTE_SECONDS - now
        raise AssertionError("the entries of a window add up to its total")

    def enter(self, amount: int, now: float) -> Reserved:
        """Remember an amount that is counted already."""
        entries = self._entries
        held = Reserved(now, amount)
        entries.append(held)
        # As for calls.
        if now - entries[0].at >= MINUTE_SECONDS:
            self.used(now)
        return held

    def settle(self, held: Reserved, truth: int) -> None:
        """Replace a reservation by the actual usage. Call this once for each."""
        # Otherwise the call has left the window meanwhile.
        if held.at >= 0:
            self.count += truth - held.amount
            held.amount = truth

    def used(self, now: float) -> int:
        entries = self._entries
        while entries and now - entries[0].at >= MINUTE_SECONDS:
            gone = entries.popleft()
            self.count -= gone.amount
            gone.at = -1.0
        return self.count

    def seconds_to_next(self, now: float) -> float:
        """Seconds until the oldest call leaves the window; 0 if it is empty. `now`: of the last `enter` or `used`."""
        return self._entries[0].at + MINUTE_SECONDS - now if self._entries else 0.0

    def is_idle(self, now: float) -> bool:
        self.used(now)
        return not self._entries


def calendar_window(now: float, *, is_month: bool, time_zone: str) -> tuple[float, float]:
    """The start and end of the day or month of `now` in a time zone, in seconds since 1970.

    `start <= now < end`. When daylight saving time changes, a day has 23 or 25 hours. An unknown zone counts as UTC.
    """
    moment = datetime.fromtimestamp(now, UTC)
    start, end = (month_window if is_month else day_window)(moment, time_zone)
    return start.timestamp(), end.timestamp()


class Calendar:
    """A day or month in a time zone. It lasts until its end, even if the clock jumps back or the zone changes.

    `count` is what was settled in it, and what calls that began in it have reserved.
    """

    __slots__ = ("_is_month", "_seeded_as_of", "count", "settled", "start", "time_zone", "until")

    def __init__(self, *, is_month: bool, time_zone: str) -> None:
        self._is_month = is_month
        self.time_zone = time_zone
        self.start = self.until = -1.0
        self.count = self.settled = 0
        self._seeded_as_of = -1

    def roll(self, now: float) -> bool:
        """Begin the day or month of `now` if the one before it is over. Returns whether it was."""
        if now < self.until:
            return False
        self.start, self.until = calendar_window(now, is_month=self._is_month, time_zone=self.time_zone)
        self.count = self.settled = 0
        return True

    def seed(self, used: int, as_of: int) -> None:
        """Start from the ledger's number, if it is for this window and newer than the last. Never lowers the count."""
        if as_of > self._seeded_as_of and self.start <= as_of < self.until:
            self._seeded_as_of = as_of
            if used > self.settled:
                self.count += used - self.settled
                self.settled = used

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        if amount > value:
            return NEVER
        return 0.0 if self.count + amount <= value else self.until - now

    def used(self, now: float) -> int:
        return self.count

    def is_idle(self, now: float) -> bool:
        return now >= self.until


class Now:
    """Calls in progress."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        if amount > value:
            return NEVER
        # The wait is unknown; one second is a reasonable guess.
        return 0.0 if self.count + amount <= value else 1.0

    def used(self, now: float) -> int:
        return self.count

    def is_idle(self, now: float) -> bool:
        return self.count == 0
