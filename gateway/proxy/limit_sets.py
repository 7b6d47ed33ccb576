"""The limits under which calls are admitted together, prepared for the memory of one process."""

from collections.abc import Sequence
from typing import Final

from gateway.contract import LimitConfig
from gateway.proxy.rates import Rate
from gateway.proxy.windows import NEVER, Calendar, CallsOfMinute, Counter, Now, TokensOfMinute

CALENDAR_KINDS: Final = ("tokens_per_day", "tokens_per_month", "money_per_month")

# What a limit counts, as a place in the amounts of a call: calls, tokens, nano-units, and requests to all models.
CALLS, TOKENS, MONEY, REQUESTS = range(4)

# A limit per minute is shown to clients if it is hard.
_Requests = tuple[CallsOfMinute, int]
_Tokens = tuple[TokensOfMinute, int]


# A day or month, its start, its measure, and the place of what a call reserved in it.
CalendarRow = tuple[Calendar, float, int, int]


class Calendars:
    """The days and months of a set, as long as none of them ends.

    The amounts that `rows` point to are those by measure; for `by_limit`, those of each limit in their order.
    """

    __slots__ = ("by_limit", "epoch", "rows", "until")

    def __init__(self, counters: Sequence[tuple[Calendar, int, int]], epoch: int) -> None:
        """Note where they are now. `counters` come with their measures and places; `epoch` counts what has begun."""
        self.rows: tuple[CalendarRow, ...] = tuple(
            (counter, counter.start, measure, measure) for counter, measure, _ in counters
        )
        self.by_limit: tuple[CalendarRow, ...] = tuple(
            (counter, counter.start, measure, at) for counter, measure, at in counters
        )
        self.until = min((counter.until for counter, _, _ in counters), default=NEVER)
        self.epoch = epoch


class LimitSet:
    """Limits in their order, and their counters by kind.

    `rows` has for each limit its counter, its value, and the measure that it counts.
    """

    __slots__ = (
        "calendars", "counted_days", "limits", "minutes_of_calls", "minutes_of_tokens", "rows", "shown_requests",
        "shown_tokens", "slots",
    )  # fmt: skip

    def __init__(self, limits: Sequence[LimitConfig], counters: Sequence[Counter]) -> None:
        """Prepare limits. `counters` has one for each; those of days and months have begun."""
        # Kept, because the limiter knows a set by the identity of this list.
        self.limits = limits
        measures = [measure_of(limit) for limit in limits]
        pairs = list(zip(limits, counters, strict=True))
        self.rows: tuple[tuple[Counter, int, int], ...] = tuple(
            (counter, limit.value, measure) for (limit, counter), measure in zip(pairs, measures, strict=True)
        )
        measured = list(zip(counters, measures, strict=True))
        self.counted_days = [
            (one, measure, at) for at, (one, measure) in enumerate(measured) if isinstance(one, Calendar)
        ]
        self.calendars = Calendars((), -1)
        self.slots = tuple(one for one in counters if isinstance(one, Now))
        self.minutes_of_calls = tuple(
            (one, measure) for one, measure in measured if isinstance(one, CallsOfMinute)
        )
        self.minutes_of_tokens = tuple(one for one in counters if isinstance(one, TokensOfMinute))
        self.shown_requests: tuple[_Requests, ...] = tuple(
            (one, limit.value) for limit, one in pairs if isinstance(one, CallsOfMinute) and limit.is_hard
        )
        self.shown_tokens: tuple[_Tokens, ...] = tuple(
            (one, limit.value) for limit, one in pairs if isinstance(one, TokensOfMinute) and limit.is_hard
        )


def measure_of(limit: LimitConfig) -> int:
    """What a limit counts."""
    if limit.kind == "requests_per_minute" and limit.model is None:
        return REQUESTS
    if limit.kind in ("requests_per_minute", "concurrent_calls"):
        return CALLS
    return MONEY if limit.kind == "money_per_month" else TOKENS


def new_counter(limit: LimitConfig) -> Counter:
    """A counter for limits of this kind."""
    if limit.kind in CALENDAR_KINDS:
        return Calendar(is_month=limit.kind != "tokens_per_day", time_zone=limit.time_zone)
    if limit.kind == "concurrent_calls":
        return Now()
    return CallsOfMinute() if limit.kind == "requests_per_minute" else TokensOfMinute()


def prepare(limit: LimitConfig, counter: Counter, wall: float) -> bool:
    """Tell a counter of days or months what its limit says of them. Returns whether a day or month has begun."""
    if not isinstance(counter, Calendar):
        return False
    counter.time_zone = limit.time_zone
    has_begun = counter.roll(wall)
    if limit.used is not None and limit.used_as_of is not None:
        counter.seed(limit.used, limit.used_as_of)
    return has_begun


def tightest(shown: tuple[_Requests, ...] | tuple[_Tokens, ...], now: float) -> Rate | None:
    """What is left of the tightest of these limits per minute, after `enter` or `used` at `now`."""
    least: Rate | None = None
    for counter, value in shown:
        room = value - counter.count
        rate = room if room > 0 else 0, value, counter.seconds_to_next(now)
        if least is None or rate < least:
            least = rate
    return least
