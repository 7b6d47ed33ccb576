"""The limiter: exact, all or nothing, and the same as a reference that simply remembers everything."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract import NANO, LimitConfig
from gateway.proxy.limits import Demand, LimitReached, MemoryLimiter
from gateway.proxy.windows import Calendar, LastMinute

ONE = Demand(input_tokens=1, output_tokens=0, is_output_named=True)


class Clock:
    """Both clocks of a limiter, moved by hand."""

    def __init__(self, now=1_750_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


def limit(kind, value, id="limit", **fields):
    return LimitConfig(**{"id": id, "scope": "key", "scope_id": "k", "kind": kind, "value": value, **fields})


def limiter_at(clock):
    return MemoryLimiter(monotonic=clock, wall=clock)


def admit(limiter, limits, demand=ONE):
    return asyncio.run(limiter.admit(limits, demand))


def settle(limiter, reservation, tokens=0, nano=0):
    asyncio.run(limiter.settle(reservation, tokens, nano))


def test_three_calls_pass_at_once_and_the_fourth_when_the_first_leaves_the_minute():
    clock = Clock(1000.0)
    limiter, three = limiter_at(clock), [limit("requests_per_minute", 3)]
    for seconds in (0.0, 10.0, 20.0):
        clock.now = 1000.0 + seconds
        admit(limiter, three)
    clock.now = 1030.5
    with pytest.raises(LimitReached) as refused:
        admit(limiter, three)
    assert refused.value.headers["retry-after-ms"] == "29500"
    assert refused.value.headers["retry-after"] == "30"
    clock.now = 1059.999
    with pytest.raises(LimitReached):
        admit(limiter, three)
    clock.now = 1060.0
    admit(limiter, three)
    with pytest.raises(LimitReached) as refused:
        admit(limiter, three)
    assert refused.value.headers["retry-after-ms"] == "10000"


def test_a_refused_call_takes_nothing_from_any_limit():
    clock = Clock()
    limiter = limiter_at(clock)
    wide, narrow = limit("requests_per_minute", 2, "wide"), limit("concurrent_calls", 1, "narrow")
    first = admit(limiter, [wide, narrow])
    for _ in range(5):
        with pytest.raises(LimitReached) as refused:
            admit(limiter, [wide, narrow])
        assert refused.value.limit is narrow
    settle(limiter, first)
    admit(limiter, [wide, narrow])


def test_of_several_refusals_the_longest_is_named():
    clock = Clock()
    limiter = limiter_at(clock)
    both = [limit("concurrent_calls", 1, "slots"), limit("tokens_per_month", 1, "month")]
    admit(limiter, both)
    with pytest.raises(LimitReached) as refused:
        admit(limiter, both)
    assert refused.value.limit.id == "month"
    assert refused.value.code == "insufficient_quota"


def test_a_reserve_is_given_back_when_the_truth_is_known():
    clock = Clock()
    limiter, limits = (
        limiter_at(clock),
        [limit("tokens_per_minute", 100), limit("tokens_per_day", 100, "day")],
    )
    much = Demand(input_tokens=10, output_tokens=90, is_output_named=True)
    first = admit(limiter, limits, much)
    with pytest.raises(LimitReached):
        admit(limiter, limits, ONE)
    settle(limiter, first, tokens=20)
    settle(limiter, first, tokens=20)  # repeated: changes nothing
    admit(limiter, limits, Demand(input_tokens=0, output_tokens=80, is_output_named=True))


def test_a_call_that_names_no_maximum_still_fits_a_small_limit_alone():
    limiter, small = limiter_at(Clock()), [limit("tokens_per_minute", 100)]
    unnamed = Demand(input_tokens=10, output_tokens=1024, is_output_named=False)
    first = admit(limiter, small, unnamed)
    with pytest.raises(LimitReached):
        admit(limiter, small, unnamed)
    settle(limiter, first, tokens=30)
    with pytest.raises(LimitReached, match="Try again"):
        admit(limiter, small, unnamed)


def test_a_limit_shared_by_two_keys_has_one_counter():
    limiter = limiter_at(Clock())
    shared = {"id": "tenant-limit", "scope": "tenant", "scope_id": "t"}
    admit(limiter, [limit("requests_per_minute", 2, **shared)])
    admit(limiter, [limit("requests_per_minute", 2, **shared)])
    with pytest.raises(LimitReached, match="tenant limit"):
        admit(limiter, [limit("requests_per_minute", 2, **shared)])


def test_a_changed_value_holds_at_once_and_keeps_what_was_counted():
    limiter = limiter_at(Clock())
    admit(limiter, [limit("requests_per_minute", 1)])
    admit(limiter, [limit("requests_per_minute", 2)])
    with pytest.raises(LimitReached):
        admit(limiter, [limit("requests_per_minute", 2)])


def test_money_is_told_in_units_of_the_currency():
    limiter = limiter_at(Clock())
    with pytest.raises(LimitReached, match=r"limit of 5\.000000 per month"):
        admit(
            limiter,
            [limit("money_per_month", 5 * NANO, used=5 * NANO, used_as_of=1_750_000_000)],
            Demand(input_tokens=1, output_tokens=0, is_output_named=True, input_nano=1),
        )


def test_a_day_begins_in_the_tenants_time_zone():
    clock = Clock(datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC).timestamp())
    limiter, daily = limiter_at(clock), [limit("tokens_per_day", 1, time_zone="Europe/Berlin")]
    settle(limiter, admit(limiter, daily), tokens=1)
    with pytest.raises(LimitReached) as refused:
        admit(limiter, daily)
    assert refused.value.headers["retry-after"] == "1"
    clock.now += 1  # midnight in Berlin, an hour before UTC's
    settle(limiter, admit(limiter, daily), tokens=1)
    with pytest.raises(LimitReached) as refused:
        admit(limiter, daily)
    assert refused.value.headers["retry-after"] == str(23 * 3600)  # the day on which summer time begins


def test_a_call_across_midnight_counts_in_the_day_in_which_it_began():
    clock = Clock(datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC).timestamp())
    limiter, daily = limiter_at(clock), [limit("tokens_per_day", 10)]
    late = admit(limiter, daily, Demand(input_tokens=10, output_tokens=0, is_output_named=True))
    clock.now += 2
    admit(limiter, daily, Demand(input_tokens=10, output_tokens=0, is_output_named=True))
    settle(limiter, late, tokens=10)
    with pytest.raises(LimitReached):
        admit(limiter, daily)


def test_a_clock_that_jumps_back_reopens_no_window():
    counter = Calendar(is_month=True, time_zone="UTC")
    february = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    counter.hold(5, february)
    assert counter.wait_seconds(1, 5, february - 3600) == pytest.approx(28 * 86400 + 3600)


def test_the_ledgers_numbers_are_where_a_new_process_begins():
    clock = Clock(datetime(2026, 5, 10, tzinfo=UTC).timestamp())
    limiter = limiter_at(clock)
    known = {"used": 90, "used_as_of": int(clock.now) - 60}
    monthly = [limit("tokens_per_month", 100, **known)]
    settle(limiter, admit(limiter, monthly, Demand(10, 0, True)), tokens=10)
    with pytest.raises(LimitReached):
        admit(limiter, monthly)
    stale = [limit("tokens_per_month", 100, "other", used=90, used_as_of=int(clock.now) - 30 * 86400)]
    admit(limiter, stale, Demand(100, 0, True))  # what was used in April does not count in May


def test_newer_numbers_of_the_ledger_raise_and_never_lower():
    counter = Calendar(is_month=True, time_zone="UTC")
    now = datetime(2026, 5, 10, tzinfo=UTC).timestamp()
    for used, as_of, expected in ((50, now - 10, 50), (70, now - 20, 50), (40, now - 5, 50), (80, now, 80)):
        counter.seed(used, int(as_of), now)
        assert counter.used(now) == expected


def test_counters_of_limits_that_are_gone_are_forgotten_when_nothing_is_in_them():
    clock = Clock()
    limiter = limiter_at(clock)
    held = admit(limiter, [limit("concurrent_calls", 1, "slots"), limit("requests_per_minute", 5, "minute")])
    limiter.forget_all_but(frozenset())
    assert len(limiter._counters) == 2
    settle(limiter, held)
    clock.now += 60
    limiter.forget_all_but(frozenset())
    assert limiter._counters == {}


class ReferenceMinute:
    """A window that remembers every call for ever and adds up those of the last sixty seconds."""

    def __init__(self):
        self.calls = []

    def used(self, now):
        return sum(amount for at, amount in self.calls if now - at < 60)

    def first_moment(self, amount, value, now):
        """The first moment from `now` on at which `amount` fits: only ever when some call leaves."""
        if amount > value:
            return math.inf
        moments = [now, *sorted(at + 60 for at, _ in self.calls if at + 60 > now)]
        return next(moment for moment in moments if self.used(moment) + amount <= value)


@settings(max_examples=300, deadline=None)
@given(
    value=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.integers(0, 14)), max_size=40),
)
def test_a_window_agrees_with_a_reference_that_remembers_everything(value, steps):
    now, window, reference = 0.0, LastMinute(), ReferenceMinute()
    for seconds, amount, truth in steps:
        now += seconds
        wait = window.wait_seconds(amount, value, now)
        assert wait == reference.first_moment(amount, value, now) - now
        assert window.used(now) == reference.used(now)
        if wait == 0:
            held = window.hold(amount, now)
            window.settle(held, truth)
            reference.calls.append((now, truth))


ACTIONS = st.one_of(
    st.tuples(st.just("call"), st.integers(1, 30), st.integers(0, 30)),
    st.tuples(st.just("end"), st.integers(0, 9), st.integers(0, 30)),
    st.tuples(st.just("wait"), st.integers(0, 50), st.just(0)),
)


@settings(max_examples=300, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=60), values=st.tuples(*[st.integers(1, 60)] * 4))
def test_no_hard_limit_is_ever_exceeded_by_what_is_reserved(actions, values):
    """Whatever comes in whatever order: as long as calls keep to what they reserved, no limit is exceeded."""
    clock = Clock(1_750_000_000.0)
    limiter = limiter_at(clock)
    kinds = ("requests_per_minute", "tokens_per_minute", "concurrent_calls", "tokens_per_day")
    limits = [limit(kind, value, kind) for kind, value in zip(kinds, values, strict=True)]
    admitted, open_calls = [], []  # [time, tokens]
    for action, first, second in actions:
        if action == "wait":
            clock.now += first
        elif action == "end" and open_calls:
            reservation, call, reserved = open_calls.pop(first % len(open_calls))
            call[1] = min(second, reserved)
            settle(limiter, reservation, tokens=call[1])
        elif action == "call":
            demand = Demand(first, second, True)
            recent = [call for call in admitted if clock.now - call[0] < 60]
            fits = (
                len(recent) + 1 <= values[0]
                and sum(tokens for _, tokens in recent) + first + second <= values[1]
                and len(open_calls) + 1 <= values[2]
                and sum(tokens for _, tokens in admitted) + first + second <= values[3]
            )
            try:
                reservation = admit(limiter, limits, demand)
            except LimitReached:
                assert not fits
            else:
                assert fits
                call = [clock.now, first + second]
                admitted.append(call)
                open_calls.append((reservation, call, first + second))


def test_retry_after_is_never_too_early():
    clock = Clock(5000.25)
    limiter, one = limiter_at(clock), [limit("requests_per_minute", 1)]
    admit(limiter, one)
    clock.now += timedelta(milliseconds=1).total_seconds()
    with pytest.raises(LimitReached) as refused:
        admit(limiter, one)
    clock.now += int(refused.value.headers["retry-after-ms"]) / 1000
    admit(limiter, one)
