"""Counters for limits: over the last sixty seconds, over a calendar day or month, or for now.

Each counter answers `wait_seconds` (0 if the amount fits, `NEVER` if it can never fit), takes a reservation,
and later replaces it by the actual usage. The caller passes the limit's value each time, so that a changed
limit applies at once and keeps its count. Nothing here awaits: check and reservation are one step for the
event loop.
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
    """The amount that one call has reserved in one counter; `amount` is zero once the counter has forgotten it.

    A minute holds very many of them, which the garbage collector does not traverse.
    """

    at: float
    amount: int


class Counter(Protocol):
    """The interface of all three kinds of counters. Times are in seconds of the clock for that kind.

    While `now < until`, no more than `count` is used, reservations included: if `count` and an amount fit under a
    limit, so does the call, without a further step.
    """

    count: int
    until: float

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        """Seconds until `amount` more fits under `value`."""

    def hold(self, amount: int, now: float) -> Reserved:
        """Count `amount` from now on."""

    def settle(self, held: Reserved, truth: int) -> None:
        """Replace a reservation by the actual usage. Call this once for each."""

    def used(self, now: float) -> int:
        """The current count, including reservations."""

    def is_idle(self, now: float) -> bool:
        """Whether this counter can be dropped without any effect."""


class LastMinute:
    """An exact sliding window: remembers each call of the last sixty seconds, in the order of arrival.

    A call leaves the window sixty seconds after it came, to the microsecond; its usage counts where it
    *began*.
    """

    __slots__ = ("_entries", "count")
    until = NEVER

    def __init__(self) -> None:
        self._entries: deque[Reserved] = deque()
        self.count = 0

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        if amount > value:
            return NEVER
        self._forget_old(now)
        excess = self.count + amount - value
        if excess <= 0:
            return 0.0
        for entry in self._entries:
            excess -= entry.amount
            if excess <= 0:
                return entry.at + MINUTE_SECONDS - now
        raise AssertionError("the entries of a window add up to its total")

    def hold(self, amount: int, now: float) -> Reserved:
        entries = self._entries
        # Here too, so that a minute with room for every call does not remember all of them.
        if entries and now - entries[0].at >= MINUTE_SECONDS:
            self._forget_old(now)
        held = Reserved(now, amount)
        entries.append(held)
        self.count += amount
        return held

    def settle(self, held: Reserved, truth: int) -> None:
        # The call has left the window meanwhile.
        if held.at < 0:
            return
        self.count += truth - held.amount
        held.amount = truth

    def used(self, now: float) -> int:
        self._forget_old(now)
        return self.count

    def seconds_to_next(self, now: float) -> float:
        """Seconds until the oldest call leaves the window; 0 if it is empty. `now`: as at the last `hold` or `used`."""
        return self._entries[0].at + MINUTE_SECONDS - now if self._entries else 0.0

    def is_idle(self, now: float) -> bool:
        self._forget_old(now)
        return not self._entries

    def _forget_old(self, now: float) -> None:
        entries = self._entries
        while entries and now - entries[0].at >= MINUTE_SECONDS:
            gone = entries.popleft()
            self.count -= gone.amount
            gone.at = -1.0


def calendar_window(now: float, *, is_month: bool, time_zone: str) -> tuple[float, float]:
    """The start and end of the day or month of `now` in a time zone, in seconds since 1970.

    `start <= now < end`. When daylight saving time changes, a day has 23 or 25 hours. An unknown zone counts as UTC.
    """
    moment = datetime.fromtimestamp(now, UTC)
    start, end = (month_window if is_month else day_window)(moment, time_zone)
    return start.timestamp(), end.timestamp()


class Calendar:
    """A day or month in a time zone. It lasts until its end, even if the clock jumps back or the zone changes."""

    __slots__ = ("_is_month", "_reserved", "_seeded_as_of", "_start", "count", "time_zone", "until")

    def __init__(self, *, is_month: bool, time_zone: str) -> None:
        self._is_month = is_month
        self.time_zone = time_zone
        self._start = self.until = -1.0
        # Settled or reserved.
        self.count = 0
        self._reserved = 0
        self._seeded_as_of = -1

    def seed(self, used: int, as_of: int, now: float) -> None:
        """Start from the ledger's number, if it is for this window and newer than the last. Never lowers the count."""
        self._roll(now)
        if as_of > self._seeded_as_of and self._start <= as_of < self.until:
            self._seeded_as_of = as_of
            self.count = max(self.count, used + self._reserved)

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        if amount > value:
            return NEVER
        self._roll(now)
        return 0.0 if self.count + amount <= value else self.until - now

    def hold(self, amount: int, now: float) -> Reserved:
        self._roll(now)
        self._reserved += amount
        self.count += amount
        return Reserved(self._start, amount)

    def settle(self, held: Reserved, truth: int) -> None:
        # Otherwise the window of the call's start is over.
        if held.at == self._start:
            self._reserved -= held.amount
            self.count += truth - held.amount

    def used(self, now: float) -> int:
        self._roll(now)
        return self.count

    def is_idle(self, now: float) -> bool:
        return now >= self.until

    def _roll(self, now: float) -> None:
        if now < self.until:
            return
        self._start, self.until = calendar_window(now, is_month=self._is_month, time_zone=self.time_zone)
        self.count = self._reserved = 0


class Now:
    """Calls in progress."""

    __slots__ = ("count",)
    until = NEVER

    def __init__(self) -> None:
        self.count = 0

    def wait_seconds(self, amount: int, value: int, now: float) -> float:
        if amount > value:
            return NEVER
        # The wait is unknown; one second is a reasonable guess.
        return 0.0 if self.count + amount <= value else 1.0

    def hold(self, amount: int, now: float) -> Reserved:
        self.count += amount
        return Reserved(now, amount)

    def settle(self, held: Reserved, truth: int) -> None:
        self.count -= held.amount
        held.amount = 0

    def used(self, now: float) -> int:
        return self.count

    def is_idle(self, now: float) -> bool:
        return self.count == 0
