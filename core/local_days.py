"""The beginning of days and months in a time zone. Needs no Django, because gateways and the ledger must agree.

A day begins at its first instant. If the clock goes back across midnight and midnight comes twice, that is the first
one; if the clock goes forward across midnight, it is when the clock first shows the new day. A day lasts until the
next day begins, even if the clock shows the old day once more. So days neither overlap nor leave a gap, and each
instant is in exactly one. A day that a place skipped is empty.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

ONE_DAY = timedelta(days=1)
ONE_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=4096)
def zone_named(name: str) -> tzinfo:
    """The time zone of that IANA name; UTC if this machine does not know it, so that nothing fails."""
    try:
        return ZoneInfo(name)
    # OSError: the name is a directory of zones.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def zones_to_choose() -> set[str]:
    """The time zones that a tenant may choose: names that mean the same on every machine."""
    return available_timezones() - {"localtime", "Factory"}


def is_known(name: str) -> bool:
    """Whether this machine has the rules of that time zone."""
    return isinstance(zone_named(name), ZoneInfo)


@lru_cache(maxsize=65536)
def start_of_day(day: date, zone: str) -> datetime:
    """The first instant of `day` in that time zone, in UTC."""
    where = zone_named(zone)
    # fold=0: the first midnight if there are two.
    midnight = datetime.combine(day, time.min, where)
    start = midnight.astimezone(UTC)
    if start.astimezone(where).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return start
    # Midnight was skipped. Reading it by the offset after and before the change brackets the change itself.
    before, since = midnight.replace(fold=1).astimezone(UTC), start
    while since - before > ONE_SECOND:
        middle = before + (since - before) // 2
        if middle.astimezone(where).date() >= day:
            since = middle
        else:
            before = middle
    return since.replace(microsecond=0)


def day_at(moment: datetime, zone: str) -> date:
    """The day that `moment` belongs to in that time zone."""
    day = moment.astimezone(zone_named(zone)).date() + ONE_DAY
    while start_of_day(day, zone) > moment:
        day -= ONE_DAY
    return day


def day_window(moment: datetime, zone: str) -> tuple[datetime, datetime]:
    """The beginnings of the day of `moment` and of the next day, in UTC."""
    day = day_at(moment, zone)
    return start_of_day(day, zone), start_of_day(day + ONE_DAY, zone)


def month_window(moment: datetime, zone: str) -> tuple[datetime, datetime]:
    """The beginnings of the month of `moment` and of the next month, in UTC."""
    first = day_at(moment, zone).replace(day=1)
    return start_of_day(first, zone), start_of_day(end_of_month(first) + ONE_DAY, zone)


def read_month(text: str) -> date:
    """The first day of a month written as 2026-10. Raises ValueError for anything else."""
    if len(text) != 7:
        raise ValueError("write a month as 2026-10")
    return date.fromisoformat(f"{text}-01")


def end_of_month(day: date) -> date:
    """The last day of the month that `day` is in."""
    return (day.replace(day=1) + 32 * ONE_DAY).replace(day=1) - ONE_DAY
