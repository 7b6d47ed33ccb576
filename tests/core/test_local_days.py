"""Days and months begin at the first midnight, for limits, for the ledger and for what is asked by days."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.costs import today_of
from billing.ingest import record_usage
from billing.models import RollupDay
from billing.suspended import count_stakes
from core.ids import uuid7
from core.local_days import ONE_DAY, day_at, day_window, end_of_month, month_window, start_of_day
from gateway.compile import compile_snapshot
from gateway.proxy.windows import calendar_window
from tenants.actions import set_limits
from tenants.models import Tenant
from tests.factories import CatalogModelFactory
from tests.gateway.granted import key_for
from tests.usage_records import usage_record

MINUTE = timedelta(minutes=1)
ODD = [
    "Atlantic/Azores",
    "America/Havana",
    "America/Santiago",
    "Africa/Cairo",
    "Europe/Berlin",
    "Asia/Kathmandu",
]
ODD += ["Australia/Lord_Howe", "Pacific/Apia", "Asia/Beirut", "Antarctica/Troll", "America/St_Johns", "UTC"]
ZONES = sorted(available_timezones())


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "moment", "start", "end"),
    [
        # The clock goes from 01:00 back to 00:00: midnight comes twice, the day begins at the first one.
        ("Atlantic/Azores", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-26T01:00"),
        ("Atlantic/Azores", "2026-10-25T01:30", "2026-10-25T00:00", "2026-10-26T01:00"),
        ("America/Havana", "2026-11-01T04:30", "2026-11-01T04:00", "2026-11-02T05:00"),
        ("America/Havana", "2026-11-01T05:30", "2026-11-01T04:00", "2026-11-02T05:00"),
        # From 24:00 back to 23:00: the old day has 25 hours.
        ("America/Santiago", "2026-04-05T03:30", "2026-04-04T03:00", "2026-04-05T04:00"),
        ("Africa/Cairo", "2026-10-29T21:30", "2026-10-28T21:00", "2026-10-29T22:00"),
        # Midnight is skipped: the day begins at 01:00.
        ("America/Santiago", "2026-09-06T04:00", "2026-09-06T04:00", "2026-09-07T03:00"),
        ("Africa/Cairo", "2026-04-23T22:30", "2026-04-23T22:00", "2026-04-24T21:00"),
        ("Asia/Beirut", "2026-03-28T22:00", "2026-03-28T22:00", "2026-03-29T21:00"),
        # The gap begins half an hour before midnight, and the new day at half past midnight.
        ("America/Toronto", "1919-03-31T05:00", "1919-03-31T04:30", "1919-04-01T04:00"),
        # One minute past midnight back to 23:01: the old date shows once more and is not counted twice.
        ("America/St_Johns", "2010-11-07T02:45", "2010-11-07T02:30", "2010-11-08T03:30"),
        # Samoa never had 30 December 2011.
        ("Pacific/Apia", "2011-12-30T09:59", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"),
        ("Asia/Kathmandu", "2026-10-25T00:30", "2026-10-24T18:15", "2026-10-25T18:15"),
        ("Mars/Olympus", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-26T00:00"),
        ("America", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-26T00:00"),  # a directory of zones
    ],
)
def test_a_day_of_a_limit_begins_at_the_first_midnight(zone, moment, start, end):
    window = calendar_window(utc(moment).timestamp(), is_month=False, time_zone=zone)
    assert window == (utc(start).timestamp(), utc(end).timestamp())


@pytest.mark.parametrize(
    "moment", ["2026-11-01T04:00", "2026-11-01T04:30", "2026-11-01T05:30", "2026-12-01T04:59"]
)
def test_a_month_of_a_limit_begins_at_the_first_midnight(moment):
    window = calendar_window(utc(moment).timestamp(), is_month=True, time_zone="America/Havana")
    assert window == (utc("2026-11-01T04:00").timestamp(), utc("2026-12-01T05:00").timestamp())


@cache
def changes(zone):
    """The instants between 1975 and 2037 at which the offset of `zone` changes, found by halving."""
    where, found = ZoneInfo(zone), []
    at, end = datetime(1975, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
    while at < end:
        low, high = at, at + timedelta(days=5)
        if low.astimezone(where).utcoffset() != high.astimezone(where).utcoffset():
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                is_old = middle.astimezone(where).utcoffset() == at.astimezone(where).utcoffset()
                low, high = (middle, high) if is_old else (low, middle)
            found.append(high.replace(microsecond=0))
        at += timedelta(days=5)
    return found


def first_shown(day, zone):
    """The first minute at which the clock shows `day` or a later one: by looking at every minute."""
    where = ZoneInfo(zone)
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=27)
    while moment.astimezone(where).date() < day:
        moment += MINUTE
    return moment


def check(moment, zone):
    for window, is_month in ((day_window, False), (month_window, True)):
        start, end = window(moment, zone)
        assert start <= moment < end
        assert window(start, zone) == window(end - timedelta(microseconds=1), zone) == (start, end)
        assert window(end, zone)[0] == end
        assert window(start - timedelta(microseconds=1), zone)[1] == start
        at = moment.timestamp()
        assert calendar_window(at, is_month=is_month, time_zone=zone) == (start.timestamp(), end.timestamp())
    assert today_of(Tenant(timezone=zone), moment) == day_at(moment, zone)


@settings(max_examples=400, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    moment=st.datetimes(datetime(1975, 1, 1), datetime(2037, 12, 1), timezones=st.just(UTC)),
)
def test_windows_hold_their_instant_and_neither_overlap_nor_leave_a_gap(zone, moment):
    check(moment, zone)


@settings(max_examples=300, deadline=None)
@given(
    zone=st.sampled_from(ODD * 20 + ZONES),
    which=st.integers(0, 10_000),
    beside=st.timedeltas(timedelta(hours=-26), timedelta(hours=26)),
)
@example("America/Havana", 10_000, timedelta(minutes=-30))
def test_so_they_do_beside_every_change_of_the_clock(zone, which, beside):
    if found := changes(zone):
        moment = found[which % len(found)] + beside
        check(moment, zone)
        day = day_at(moment, zone)
        for one in (day, day + ONE_DAY):
            assert start_of_day(one, zone) == first_shown(one, zone)


def test_in_every_zone_the_days_of_a_year_follow_each_other():
    for zone in ZONES:
        moment = start_of_day(date(2026, 1, 1), zone)
        for _ in range(365):
            start, end = day_window(moment, zone)
            assert start == moment < end <= start + timedelta(hours=27), (zone, moment)
            moment = end
        assert moment == start_of_day(date(2027, 1, 1), zone)


# In the first and in the second of the two hours.
@pytest.mark.parametrize("minutes", [30, 90])
def test_the_ledger_counts_a_call_on_the_day_of_the_limit(project, minutes):
    project.tenant.timezone = "America/Havana"
    project.tenant.save()
    model = CatalogModelFactory(name="llama-4")
    key = key_for(project, model)
    at = utc("2026-11-01T04:00") + timedelta(minutes=minutes)
    record = usage_record(
        event_id=uuid7(), key_id=key.pk, model=model.name, occurred_at=at, input=1, output=1
    )
    record_usage("test", [record])
    window = calendar_window(at.timestamp(), is_month=False, time_zone="America/Havana")
    day = RollupDay.objects.in_tenant(project.tenant).get().day
    assert start_of_day(day, "America/Havana").timestamp() == window[0]


def test_what_a_gateway_begins_with_is_of_its_own_day(project, monkeypatch):
    """A gateway that starts in the second of the two hours is told what was used in the first."""
    project.tenant.timezone = "America/Havana"
    project.tenant.save()
    model = CatalogModelFactory(name="llama-4")
    key = key_for(project, model)
    set_limits(project.tenant, {"tokens_per_day": Decimal(9)}, by=None)
    first, second = utc("2026-11-01T04:30"), utc("2026-11-01T05:30")
    record = usage_record(
        event_id=uuid7(), key_id=key.pk, model=model.name, occurred_at=first, input=40, output=2
    )
    record_usage("test", [record])
    monkeypatch.setattr("gateway.used.now", lambda: second)
    [limit] = compile_snapshot().keys[0].limits
    start, end = calendar_window(second.timestamp(), is_month=False, time_zone=limit.time_zone)
    assert (limit.used, start <= limit.used_as_of < end) == (42, True)


def test_what_suspending_stops_counts_calls_of_a_month_that_utc_has_not_reached(project, monkeypatch):
    project.tenant.timezone = "Pacific/Kiritimati"
    project.tenant.save()
    model = CatalogModelFactory(name="llama-4")
    at = utc("2026-10-31T10:30")  # 1 November there
    record = usage_record(
        event_id=uuid7(), key_id=key_for(project, model).pk, model=model.name, occurred_at=at, input=1
    )
    record_usage("test", [record])
    monkeypatch.setattr("billing.suspended.now", lambda: at + 10 * MINUTE)
    calls, _reports = count_stakes(None, tenant=project.tenant)
    assert calls.value == 1


@pytest.mark.parametrize("day", [date(2026, 11, 1), date(2026, 11, 15), date(2026, 11, 30)])
def test_the_month_of_any_day_ends_with_its_own_last_day(day: date) -> None:
    assert end_of_month(day) == date(2026, 11, 30)


def test_february_and_december_end_too() -> None:
    assert end_of_month(date(2028, 2, 29)) == date(2028, 2, 29)
    assert end_of_month(date(2026, 12, 31)) == date(2026, 12, 31)
