"""When a review is due: working hours of a calendar, counted from a moment. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from core.local_days import zone_named

# Calendars may have next to no working hours; the search ends here.
LONGEST_SEARCH: Final = timedelta(days=4000)


@dataclass(frozen=True)
class WorkingHours:
    """The hours in which people work: on these days of the week, from `opens` to `closes`, but not on holidays."""

    # An IANA name; see core.local_days.
    time_zone: str
    opens: time
    # After `opens`, on the same day.
    closes: time
    # Monday is 1, Sunday 7 (ISO 8601).
    weekdays: Collection[int]
    holidays: Collection[date] = ()

    @property
    def per_day(self) -> timedelta:
        """How long a working day is by the clock on the wall."""
        return datetime.combine(date.min, self.closes) - datetime.combine(date.min, self.opens)

    def after(self, begins: datetime, working: timedelta) -> datetime:
        """The moment at which `working` time has passed since `begins`, in UTC.

        Time outside working hours does not count. On a day when the clock changes within them, the day is as long as
        it really is. Raises ValueError if it would be in more than ten years.
        """
        zone = zone_named(self.time_zone)
        moment, left = begins.astimezone(UTC), working
        day = begins.astimezone(zone).date()
        last = day + LONGEST_SEARCH
        while day <= last:
            if day.isoweekday() in self.weekdays and day not in self.holidays:
                opens, closes = self._span(day, zone)
                moment = max(moment, opens)
                if moment < closes:
                    if left <= closes - moment:
                        return moment + left
                    left -= closes - moment
            day += timedelta(days=1)
        raise ValueError("That is in more than ten years, by this calendar.")

    def between(self, begins: datetime, ends: datetime) -> timedelta:
        """The working time from one moment to another; none if that is not later. At most ten years count."""
        zone = zone_named(self.time_zone)
        day, last = begins.astimezone(zone).date(), ends.astimezone(zone).date()
        last = min(last, day + LONGEST_SEARCH)
        worked = timedelta()
        while day <= last:
            if day.isoweekday() in self.weekdays and day not in self.holidays:
                opens, closes = self._span(day, zone)
                worked += max(min(closes, ends) - max(opens, begins), timedelta())
            day += timedelta(days=1)
        return worked

    def _span(self, day: date, zone: tzinfo) -> tuple[datetime, datetime]:
        opens, closes = (datetime.combine(day, at, zone).astimezone(UTC) for at in (self.opens, self.closes))
        return opens, max(opens, closes)
