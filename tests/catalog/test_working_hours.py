"""A review is due after working hours of its track's calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.models import Track, WorkingCalendar
from core.working_hours import WorkingHours

OFFICE = WorkingHours("UTC", time(9), time(17), {1, 2, 3, 4, 5})
FRIDAY = datetime(2026, 11, 20, tzinfo=UTC)


def at(hour, day=FRIDAY):
    return day + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("begins", "hours", "due"),
    [
        (at(9), 8, at(17)),
        (at(9), 8.5, at(3 * 24 + 9.5)),
        (at(15), 4, at(3 * 24 + 11)),
        # Before work begins, and after it ended.
        (at(3), 1, at(10)),
        (at(20), 1, at(3 * 24 + 10)),
        # On a Saturday.
        (at(24 + 12), 8, at(3 * 24 + 17)),
        (at(9), 40, at(6 * 24 + 17)),
    ],
)
def test_only_working_hours_count(begins, hours, due):
    assert OFFICE.after(begins, timedelta(hours=hours)) == due


def test_a_holiday_is_no_working_day():
    hours = WorkingHours("UTC", time(9), time(17), {1, 2, 3, 4, 5}, {date(2026, 11, 23)})
    assert hours.after(at(15), timedelta(hours=4)) == at(4 * 24 + 11)


def test_hours_are_those_of_the_calendars_place():
    tokyo = WorkingHours("Asia/Tokyo", time(9), time(17), {1, 2, 3, 4, 5})
    # 9 o'clock on Friday in Tokyo is midnight in UTC.
    assert tokyo.after(at(0), timedelta(hours=1)) == at(1)
    assert tokyo.after(at(8), timedelta(hours=1)) == at(3 * 24 + 1)


def test_a_day_on_which_the_clock_changes_is_as_long_as_it_is():
    night = WorkingHours("Europe/Berlin", time(0), time(8), {7})
    sunday = datetime(2026, 3, 28, 23, tzinfo=UTC)
    # Seven hours long; the eighth is a week later.
    assert night.after(sunday, timedelta(hours=7)) == sunday + timedelta(hours=7)
    assert night.after(sunday, timedelta(hours=8)) == datetime(2026, 4, 4, 23, tzinfo=UTC)


def test_a_calendar_without_working_hours_has_no_due_times():
    holidays = {date(2026, 11, 20) + timedelta(days=n) for n in range(5000)}
    with pytest.raises(ValueError, match="more than ten years"):
        WorkingHours("UTC", time(9), time(17), {1}, holidays).after(at(9), timedelta(hours=1))


@given(
    begins=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    first=st.integers(1, 3000),
    second=st.integers(1, 3000),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]),
)
def test_waiting_twice_is_waiting_for_the_sum(begins, first, second, zone):
    hours = WorkingHours(zone, time(8, 30), time(16, 45), {1, 2, 4, 6})
    one, two = timedelta(minutes=first), timedelta(minutes=second)
    assert hours.after(hours.after(begins, one), two) == hours.after(begins, one + two)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (8, "within 1 working day"),
        (24, "within 3 working days"),
        (4, "within 4 working hours"),
        (9, "within 9 working hours"),
    ],
)
def test_a_track_says_how_long_it_usually_takes(hours, words):
    assert Track(code="x", name="X", due_hours=hours, calendar=WorkingCalendar(name="C")).usual_time == words
