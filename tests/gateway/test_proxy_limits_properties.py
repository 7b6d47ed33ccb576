"""Whatever calls come in whatever order: a limiter agrees with a reference that simply remembers everything.

Every test that takes `limiters` runs twice: with limits in memory, and in a real Valkey.
"""

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.limits import EstimatedUsage, LimitReached
from tests.gateway.counted_limits import Clock, Counted, limit


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
def test_a_window_agrees_with_a_reference_that_remembers_everything(limiters, value, steps):
    clock, reference, limits = Clock(), ReferenceMinute(), [limit("tokens_per_minute", value)]
    limiter = Counted(limiters, clock)
    for seconds, amount, truth in steps:
        clock.now += seconds
        wait = reference.first_moment(amount, value, clock.now) - clock.now
        try:
            reservation = limiter.admit(limits, EstimatedUsage(amount, 0, True))
        except LimitReached as refused:
            headers, told = refused.headers, refused.headers.get("retry-after-ms")
            assert wait == (int(told) / 1000 if told else math.inf)
            room = value - reference.used(clock.now)
        else:
            headers = reservation.headers
            assert wait == 0
            limiter.settle(reservation, truth)
            room = value - reference.used(clock.now) - amount
            reference.calls.append((clock.now, truth))
        assert headers["x-ratelimit-remaining-tokens"] == str(max(0, room))


ACTIONS = st.one_of(
    st.tuples(st.just("call"), st.integers(1, 30), st.integers(0, 30)),
    st.tuples(st.just("end"), st.integers(0, 9), st.integers(0, 30)),
    st.tuples(st.just("wait"), st.integers(0, 50), st.just(0)),
)


@settings(max_examples=300, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=60), values=st.tuples(*[st.integers(1, 60)] * 4))
def test_no_hard_limit_is_ever_exceeded_by_what_is_reserved(limiters, actions, values):
    """Whatever comes in whatever order: as long as calls keep to what they reserved, no limit is exceeded."""
    clock = Clock(1_750_000_000.0)
    limiter = Counted(limiters, clock)
    kinds = ("requests_per_minute", "tokens_per_minute", "concurrent_calls", "tokens_per_day")
    limits = [limit(kind, value, kind) for kind, value in zip(kinds, values, strict=True)]
    admitted, open_calls = [], []  # [time, tokens]
    for action, first, second in actions:
        if action == "wait":
            clock.now += first
        elif action == "end" and open_calls:
            reservation, call, reserved = open_calls.pop(first % len(open_calls))
            call[1] = min(second, reserved)
            limiter.settle(reservation, tokens=call[1])
        elif action == "call":
            estimate = EstimatedUsage(first, second, True)
            recent = [call for call in admitted if clock.now - call[0] < 60]
            fits = (
                len(recent) + 1 <= values[0]
                and sum(tokens for _, tokens in recent) + first + second <= values[1]
                and len(open_calls) + 1 <= values[2]
                and sum(tokens for _, tokens in admitted) + first + second <= values[3]
            )
            try:
                reservation = limiter.admit(limits, estimate)
            except LimitReached:
                assert not fits
            else:
                assert fits
                call = [clock.now, first + second]
                admitted.append(call)
                open_calls.append((reservation, call, first + second))


def test_retry_after_is_never_too_early(limiters):
    clock = Clock(5000.25)
    limiter, one = Counted(limiters, clock), [limit("requests_per_minute", 1)]
    limiter.admit(one)
    clock.now += timedelta(milliseconds=1).total_seconds()
    with pytest.raises(LimitReached) as refused:
        limiter.admit(one)
    clock.now += int(refused.value.headers["retry-after-ms"]) / 1000
    limiter.admit(one)
