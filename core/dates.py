"""Dates and times on pages and in mails, as people of each language write them.

A pattern is a sentence of the catalogs, in the letters of Django's `date` filter. Times are in the current time zone. A
missing time is a dash.
"""

from __future__ import annotations

from datetime import date, datetime

from django.utils import timezone
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

DASH = "—"
# Letters of Django's date filter and what D3 writes for the same.
_LETTERS_OF_D3 = {"j": "%-d", "n": "%-m", "M": "%b", "Y": "%Y"}


def ago(value: datetime | None, now: datetime | None = None) -> str:
    """A past time: relative within the hour, the clock for today, else the date. In the current time zone."""
    if not value:
        return _("never")
    now = now or timezone.now()
    seconds = int((now - value).total_seconds())
    if 0 <= seconds < 60:
        return _("just now")
    if 0 <= seconds < 3600:
        minutes = seconds // 60
        return ngettext("%(minutes)d min ago", "%(minutes)d min ago", minutes) % {"minutes": minutes}
    local, today = timezone.localtime(value), timezone.localtime(now)
    return date_format(local, "H:i") if local.date() == today.date() else day(local, today)


def day(value: date | None, today: date | None = None) -> str:
    """A date: "18 Nov", with the year if it is not the current one."""
    if not value:
        return DASH
    local = _local(value)
    this_year = (today or timezone.localdate()).year
    return day_of_year(local) if local.year == this_year else day_and_year(local)


def day_of_year(value: date) -> str:
    """A date without its year: "18 Nov"."""
    # Translators: how to write a day, in the letters of Django's date filter: 18 Nov
    return date_format(_local(value), pgettext("date", "j M"))


def day_and_year(value: date) -> str:
    """A date with its year: "18 Nov 2026"."""
    # Translators: how to write a day with its year: 18 Nov 2026
    return date_format(_local(value), pgettext("date", "j M Y"))


def month_label(month: date) -> str:
    """A month, given by one of its days: "October 2026"."""
    # Translators: how to write a month: October 2026
    return date_format(month, pgettext("date", "F Y"))


def month_name(month: date, *, with_year: bool = False) -> str:
    """A month on the axis of a chart: "Oct", "Jan 2027"."""
    # Translators: how to write a month where there is little room: Oct 2026, Oct
    return date_format(month, pgettext("date", "M Y") if with_year else pgettext("date", "M"))


def days_label(first: date, last: date) -> str:
    """Days of one month: "1–18 November 2026", "1 November 2026"."""
    if first == last:
        # Translators: how to write a day in full: 1 November 2026
        return date_format(last, pgettext("date", "j F Y"))
    words = {"first": first.day, "last": last.day, "month": month_label(last)}
    # Translators: days of one month: 1–18 November 2026
    return pgettext("date", "%(first)s–%(last)s %(month)s") % words


def weekday(value: date | None) -> str:
    """A date for planning: "Wed 25 Nov"."""
    if not value:
        return DASH
    words = {"weekday": date_format(_local(value), "D"), "day": day(value)}
    # Translators: Wed 25 Nov
    return pgettext("date", "%(weekday)s %(day)s") % words


def chart_day_format() -> str:
    """How the axis of a chart writes a day, in the letters of D3: "%a %-d %b" is "Wed 18 Nov"."""
    words = {"weekday": "%a", "day": _in_letters_of_d3(pgettext("date", "j M"))}
    return pgettext("date", "%(weekday)s %(day)s") % words


def chart_month_format() -> str:
    """How the axis of a chart writes a month, in the letters of D3: "%b %Y" is "Nov 2026"."""
    return _in_letters_of_d3(pgettext("date", "M Y"))


def chart_words() -> dict[str, list[str]]:
    """The names behind those formats, as plotly.js takes them; its weeks begin on Sunday."""
    days = [str(WEEKDAYS_ABBR[number]) for number in (6, 0, 1, 2, 3, 4, 5)]
    return {
        "shortDays": days,
        "shortMonths": [date_format(date(2000, month, 1), "M") for month in range(1, 13)],
    }


def _in_letters_of_d3(pattern: str) -> str:
    return "".join(_LETTERS_OF_D3.get(letter, letter) for letter in pattern)


def clock(value: datetime | None) -> str:
    """A time of today with its zone, "09:40 UTC"; with the date if it is not today."""
    if not value:
        return DASH
    local = timezone.localtime(value)
    text = f"{date_format(local, 'H:i')} {local.tzname()}"
    return text if local.date() == timezone.localdate() else _day_and_time(day(value), text)


def moment(value: datetime | None) -> str:
    """A point in time in full: "18 Nov, 14:06", with the year if it is not the current one."""
    if not value:
        return DASH
    return _day_and_time(day(value), date_format(timezone.localtime(value), "H:i"))


def exactly(value: datetime) -> str:
    """A point in time with seconds and zone: "18 Nov 2026, 14:06:31 UTC"."""
    local = timezone.localtime(value)
    return f"{_day_and_time(day_and_year(local), date_format(local, 'H:i:s'))} {local.tzname()}"


def _day_and_time(day: str, time: str) -> str:
    # Translators: 18 Nov, 14:06
    return pgettext("date", "%(day)s, %(time)s") % {"day": day, "time": time}


def _local(value: date) -> date:
    return timezone.localtime(value) if isinstance(value, datetime) else value
