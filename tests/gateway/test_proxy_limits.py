"""The limiters: exact, and all or nothing.

Every test that takes `limiters` runs twice: with limits in memory, and in a real Valkey.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.contract import NANO
from gateway.proxy import limits as limits_module
from gateway.proxy.limits import EstimatedUsage, LimitReached, MemoryLimiter
from gateway.proxy.so_far import counted
from tests.gateway.counted_limits import ONE, Clock, Counted, limit


def test_what_did_not_happen_is_given_back_whole_and_once(limiters):
    clock = Clock()
    limiter = Counted(limiters, clock)
    limits = [
        limit(kind, 1, kind)
        for kind in ("requests_per_minute", "tokens_per_minute", "concurrent_calls", "tokens_per_day")
    ]
    for _ in range(3):
        given_back = limiter.admit(limits)
        clock.now += 1
        limiter.undo(given_back)
        limiter.undo(given_back)
    happened = limiter.admit(limits)
    limiter.settle(happened, tokens=1)
    limiter.undo(happened)
    for one in limits:
        if one.kind != "concurrent_calls":
            with pytest.raises(LimitReached):
                limiter.admit([one])


def test_three_calls_pass_at_once_and_the_fourth_when_the_first_leaves_the_minute(limiters):
    clock = Clock(1000.0)
    limiter, three = Counted(limiters, clock), [limit("requests_per_minute", 3)]
    for seconds in (0.0, 10.0, 20.0):
        clock.now = 1000.0 + seconds
        limiter.admit(three)
    clock.now = 1030.5
    with pytest.raises(LimitReached) as refused:
        limiter.admit(three)
    assert refused.value.headers["retry-after-ms"] == "29500"
    assert refused.value.headers["retry-after"] == "30"
    clock.now = 1059.999
    with pytest.raises(LimitReached):
        limiter.admit(three)
    clock.now = 1060.0
    limiter.admit(three)
    with pytest.raises(LimitReached) as refused:
        limiter.admit(three)
    assert refused.value.headers["retry-after-ms"] == "10000"


def test_a_refused_call_takes_nothing_from_any_limit(limiters):
    clock = Clock()
    limiter = Counted(limiters, clock)
    wide, narrow = limit("requests_per_minute", 2, "wide"), limit("concurrent_calls", 1, "narrow")
    first = limiter.admit([wide, narrow])
    for _ in range(5):
        with pytest.raises(LimitReached) as refused:
            limiter.admit([wide, narrow])
        assert refused.value.limit is narrow
    limiter.settle(first)
    limiter.admit([wide, narrow])


def test_of_several_refusals_the_longest_is_named(limiters):
    clock = Clock()
    limiter = Counted(limiters, clock)
    both = [limit("concurrent_calls", 1, "slots"), limit("tokens_per_month", 1, "month")]
    limiter.admit(both)
    with pytest.raises(LimitReached) as refused:
        limiter.admit(both)
    assert refused.value.limit.id == "month"
    assert refused.value.code == "insufficient_quota"


def test_a_reserve_is_given_back_when_the_truth_is_known(limiters):
    clock = Clock()
    limiter, limits = (
        Counted(limiters, clock),
        [limit("tokens_per_minute", 100), limit("tokens_per_day", 100, "day")],
    )
    much = EstimatedUsage(input_tokens=10, output_tokens=90, is_output_named=True)
    first = limiter.admit(limits, much)
    with pytest.raises(LimitReached):
        limiter.admit(limits, ONE)
    limiter.settle(first, tokens=20)
    limiter.settle(first, tokens=20)  # repeated: changes nothing
    limiter.admit(limits, EstimatedUsage(input_tokens=0, output_tokens=80, is_output_named=True))


def test_a_call_that_names_no_maximum_still_fits_a_small_limit_alone(limiters):
    limiter, small = Counted(limiters, Clock()), [limit("tokens_per_minute", 100)]
    unnamed = EstimatedUsage(input_tokens=10, output_tokens=1024, is_output_named=False)
    first = limiter.admit(small, unnamed)
    with pytest.raises(LimitReached):
        limiter.admit(small, unnamed)
    limiter.settle(first, tokens=30)
    with pytest.raises(LimitReached, match="Try again"):
        limiter.admit(small, unnamed)


def test_a_limit_shared_by_two_keys_has_one_counter(limiters):
    limiter = Counted(limiters, Clock())
    shared = {"id": "tenant-limit", "scope": "tenant", "scope_id": "t"}
    limiter.admit([limit("requests_per_minute", 2, **shared)])
    limiter.admit([limit("requests_per_minute", 2, **shared)])
    with pytest.raises(LimitReached, match="tenant limit"):
        limiter.admit([limit("requests_per_minute", 2, **shared)])


def test_a_changed_value_holds_at_once_and_keeps_what_was_counted(limiters):
    limiter = Counted(limiters, Clock())
    limiter.admit([limit("requests_per_minute", 1)])
    limiter.admit([limit("requests_per_minute", 2)])
    with pytest.raises(LimitReached):
        limiter.admit([limit("requests_per_minute", 2)])


def test_money_is_told_in_units_of_the_currency(limiters):
    limiter = Counted(limiters, Clock())
    with pytest.raises(LimitReached, match=r"limit of 5\.000000 per month"):
        limiter.admit(
            [limit("money_per_month", 5 * NANO, used=5 * NANO, used_as_of=1_750_000_000)],
            EstimatedUsage(input_tokens=1, output_tokens=0, is_output_named=True, input_nano=1),
        )


def test_a_day_begins_in_the_tenants_time_zone(limiters):
    clock = Clock(datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC).timestamp())
    limiter, daily = Counted(limiters, clock), [limit("tokens_per_day", 1, time_zone="Europe/Berlin")]
    limiter.settle(limiter.admit(daily), tokens=1)
    with pytest.raises(LimitReached) as refused:
        limiter.admit(daily)
    assert refused.value.headers["retry-after"] == "1"
    # Midnight in Berlin, an hour before UTC's.
    clock.now += 1
    limiter.settle(limiter.admit(daily), tokens=1)
    with pytest.raises(LimitReached) as refused:
        limiter.admit(daily)
    # The day on which summer time begins.
    assert refused.value.headers["retry-after"] == str(23 * 3600)


def test_a_call_across_midnight_counts_in_the_day_in_which_it_began(limiters):
    clock = Clock(datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC).timestamp())
    limiter, daily = Counted(limiters, clock), [limit("tokens_per_day", 10)]
    late = limiter.admit(daily, EstimatedUsage(input_tokens=10, output_tokens=0, is_output_named=True))
    clock.now += 2
    limiter.admit(daily, EstimatedUsage(input_tokens=10, output_tokens=0, is_output_named=True))
    limiter.settle(late, tokens=10)
    with pytest.raises(LimitReached):
        limiter.admit(daily)


def test_a_clock_that_jumps_back_reopens_no_window(limiters):
    clock = Clock(datetime(2026, 2, 1, tzinfo=UTC).timestamp())
    limiter, monthly = Counted(limiters, clock), [limit("tokens_per_month", 5)]
    limiter.admit(monthly, EstimatedUsage(5, 0, True))
    clock.now -= 3600
    with pytest.raises(LimitReached) as refused:
        limiter.admit(monthly)
    assert refused.value.headers["retry-after"] == str(28 * 86400 + 3600)


def test_a_day_that_another_key_began_is_the_same_when_the_clock_jumps_back(limiters):
    clock = Clock(datetime(2026, 2, 1, 23, 59, 58, tzinfo=UTC).timestamp())
    limiter = Counted(limiters, clock)
    mine, theirs = [limit("tokens_per_day", 100)], [limit("tokens_per_day", 100)]
    limiter.settle(limiter.admit(mine), tokens=1)
    clock.now += 4
    limiter.settle(limiter.admit(theirs), tokens=1)
    clock.now -= 3
    reserved = limiter.admit(mine, EstimatedUsage(90, 0, True))
    limiter.settle(reserved, tokens=9)
    limiter.admit(theirs, EstimatedUsage(90, 0, True))
    with pytest.raises(LimitReached, match=r"\(100 used"):
        limiter.admit(mine)


@pytest.mark.parametrize("is_named", [True, False])
def test_a_call_that_is_counted_already_is_no_further_request_to_all_models(limiters, is_named):
    limiter = Counted(limiters, Clock())
    to_all, to_one = limit("requests_per_minute", 2), limit("requests_per_minute", 2, "of-model", model="m")
    one = EstimatedUsage(1, 0, is_named)
    limiter.admit([to_all, to_one], one)
    assert limiter.admit([to_all], counted(one)).headers["x-ratelimit-remaining-requests"] == "1"
    limiter.admit([to_all, to_one], one)
    limiter.admit([to_all], counted(one))
    with pytest.raises(LimitReached) as refused:
        limiter.admit([to_all, to_one], counted(one))
    assert refused.value.limit.id == "of-model"


def test_sets_of_limits_that_are_kept_prepared_are_bounded(monkeypatch):
    monkeypatch.setattr(limits_module, "_MOST_SETS", 3)
    limiter = MemoryLimiter()
    sets = [[limit("concurrent_calls", 10), limit("tokens_per_day", 10)] for _ in range(10)]
    for one in sets:
        asyncio.run(limiter.admit(one, ONE, "t"))
    assert 0 < len(limiter._sets) <= 3
    with pytest.raises(LimitReached):
        asyncio.run(limiter.look(sets[0], "t"))


def test_the_ledgers_numbers_are_where_a_new_process_begins(limiters):
    clock = Clock(datetime(2026, 5, 10, tzinfo=UTC).timestamp())
    limiter = Counted(limiters, clock)
    known = {"used": 90, "used_as_of": int(clock.now) - 60}
    monthly = [limit("tokens_per_month", 100, **known)]
    limiter.settle(limiter.admit(monthly, EstimatedUsage(10, 0, True)), tokens=10)
    with pytest.raises(LimitReached):
        limiter.admit(monthly)
    stale = [limit("tokens_per_month", 100, "other", used=90, used_as_of=int(clock.now) - 30 * 86400)]
    # What was used in April does not count in May.
    limiter.admit(stale, EstimatedUsage(100, 0, True))


def test_newer_numbers_of_the_ledger_raise_and_never_lower(limiters):
    clock = Clock(datetime(2026, 5, 10, tzinfo=UTC).timestamp())
    limiter = Counted(limiters, clock)
    for used, seconds_ago, expected in ((50, 10, 50), (70, 20, 50), (40, 5, 50), (80, 0, 80)):
        known = limit("tokens_per_month", 1000, used=used, used_as_of=int(clock.now) - seconds_ago)
        with pytest.raises(LimitReached, match=rf"\({expected} used"):
            limiter.admit([known], EstimatedUsage(1000, 0, True))


def test_counters_of_limits_that_are_gone_are_forgotten_when_nothing_is_in_them():
    clock = Clock()
    limiter = MemoryLimiter(monotonic=clock, wall=clock)
    both = [limit("concurrent_calls", 1, "slots"), limit("requests_per_minute", 5, "minute")]
    held = asyncio.run(limiter.admit(both, ONE, "t"))
    limiter.forget_all_but(frozenset())
    assert len(limiter._counters) == 2
    asyncio.run(limiter.settle(held, 0, 0))
    clock.now += 60
    limiter.forget_all_but(frozenset())
    assert limiter._counters == {}


def test_of_many_counters_a_change_looks_only_at_those_that_it_names():
    clock = Clock()
    limiter = MemoryLimiter(monotonic=clock, wall=clock)
    many = [limit("requests_per_minute", 5, str(number)) for number in range(3000)]
    for one in many:
        asyncio.run(limiter.admit([one], ONE, "t"))
    clock.now += 60
    looked_at = set()

    class Set(frozenset):
        def __contains__(self, limit_id):
            looked_at.add(limit_id)
            return super().__contains__(limit_id)

    limiter.forget(["1", "2"])
    assert len(limiter._counters) == 2998
    limiter.forget_all_but(Set({"5"}))
    assert 0 < len(looked_at) < 1000, "one step stops all calls for as long as it takes"
    for number in range(3000, 4500):
        asyncio.run(limiter.admit([limit("requests_per_minute", 5, str(number))], ONE, "t"))
    assert {name for name, _ in limiter._counters} == {"5", *map(str, range(3000, 4500))}


def test_a_day_that_is_over_is_followed_by_one_in_the_time_zone_of_now(limiters):
    clock = Clock(datetime(2026, 5, 10, 12, tzinfo=UTC).timestamp())
    limiter = Counted(limiters, clock)

    def admit(zone):
        reservation = limiter.admit(
            [limit("tokens_per_day", 10, time_zone=zone)], EstimatedUsage(10, 0, True)
        )
        limiter.settle(reservation, 10)

    admit("UTC")
    clock.now = datetime(2026, 5, 11, 1, tzinfo=UTC).timestamp()
    # There it is nine in the evening of the tenth.
    admit("America/New_York")
    clock.now += timedelta(hours=2).total_seconds()
    with pytest.raises(LimitReached):
        admit("America/New_York")
    clock.now += timedelta(hours=1).total_seconds()
    admit("America/New_York")
