"""A call that goes on to another model stays one call: for limits on requests, and for the budget of retries."""

import time

import pytest

from gateway.contract import DegradingConfig, HandlingConfig, PriceConfig, RouteConfig
from gateway.proxy.limits import EstimatedUsage
from gateway.proxy.so_far import counted
from tests.gateway.proxy_fixtures import limit
from tests.gateway.scripted_backend import ScriptedBackend, plain
from tests.gateway.test_failover import call

MODEL, SMALL = "aurora-large", "aurora-less"
BOTH = {"models": [MODEL, SMALL], "data_classes": {MODEL: "internal", SMALL: "internal"}, "may_degrade": True}
HANDLED = HandlingConfig()
NO_RETRIES = HandlingConfig(retry_percent=0, retries_per_second=0)


class Pair:
    """Two models with one backend each."""

    def __init__(self, rig):
        self.rig = rig
        self.own, self.other = ScriptedBackend("own"), ScriptedBackend("other")

    def serve(self, *, first=(), of_other=HANDLED, **fields):
        """Serve both models. `fields` are those of the first one's route; `of_other` handles calls of the second,
        whose targets in `first` are asked first.
        """
        others = [*first, self.other.backend(priority=1)]
        self.withdraw()
        self.rig.routes += [
            RouteConfig(model=MODEL, modes=["chat"], targets=[self.own.backend()], **fields),
            RouteConfig(model=SMALL, modes=["chat"], targets=others, handling=of_other),
        ]

    def withdraw(self):
        self.rig.routes = [one for one in self.rig.routes if one.model not in (MODEL, SMALL)]

    def retries(self, reason=""):
        name = f'llm_gateway_retries_refused_total{{model="{MODEL}",reason="{reason}"}}'
        return self.rig.gateway.metric(name if reason else f'llm_gateway_retries_total{{model="{MODEL}"}}')


@pytest.fixture
def pair(limited_rig):
    """Limits in memory, then in a Valkey; the first backend fails."""
    before = limited_rig.prices
    made = Pair(limited_rig)
    made.own.says({"error": {"message": "x"}}, status=500)
    made.serve(fallbacks=[SMALL])
    yield made
    made.withdraw()
    limited_rig.prices = before
    limited_rig.publish()
    made.own.close()
    made.other.close()


def test_limits_on_requests_to_all_models_count_it_once(pair):
    key = pair.rig.new_key(**BOTH, limits=[limit("requests_per_minute", 3)])
    for left in ("2", "1", "0"):
        answer = call(pair.rig, key, MODEL)
        assert (answer.status_code, answer.headers["x-model-served"]) == (200, SMALL)
        assert answer.headers["x-ratelimit-remaining-requests"] == left
    refused = call(pair.rig, key, MODEL)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert len(pair.own.asked) == len(pair.other.asked) == 3


def test_a_call_that_no_model_answers_counts_once_too(pair):
    pair.other.says({"error": {"message": "x"}}, status=500)
    key = pair.rig.new_key(**BOTH, limits=[limit("requests_per_minute", 2)])
    assert [call(pair.rig, key, MODEL).status_code for _ in range(3)] == [502, 502, 429]


def test_a_limit_of_the_fallback_counts_when_the_fallback_is_asked(pair):
    key = pair.rig.new_key(**BOTH, limits=[limit("requests_per_minute", 2, model=SMALL)])
    pair.own.says({"error": {"message": "x"}}, status=400)
    assert call(pair.rig, key, MODEL).status_code == 400, "the call's own fault: nobody else is asked"
    pair.own.says({"error": {"message": "x"}}, status=500)
    assert [call(pair.rig, key, MODEL).status_code for _ in range(3)] == [200, 200, 502]
    assert call(pair.rig, key, SMALL).status_code == 429
    assert len(pair.other.asked) == 2


def test_a_limit_of_the_model_asked_for_counts_it_as_well(pair):
    key = pair.rig.new_key(**BOTH, limits=[limit("requests_per_minute", 2, model=MODEL)])
    assert [call(pair.rig, key, MODEL).status_code for _ in range(3)] == [200, 200, 429]


def test_a_smaller_model_that_fails_leaves_one_request_to_the_larger_one(pair):
    pair.own.says(plain())
    pair.other.says({"error": {"message": "x"}}, status=500)
    pair.serve(
        degrading=DegradingConfig(model=SMALL, money_percent=1), handling=NO_RETRIES, of_other=NO_RETRIES
    )
    pair.rig.prices = [
        PriceConfig(model=MODEL, nano_per_unit={"input": 1000, "output": 4000}),
        PriceConfig(model=SMALL, nano_per_unit={"input": 10, "output": 40}),
    ]
    spent = limit(
        "money_per_month", 10**12, time_zone="UTC", used=10**11, used_as_of=int(time.time()), is_hard=False
    )
    key = pair.rig.new_key(**BOTH, limits=[limit("requests_per_minute", 2), spent])
    assert [call(pair.rig, key, MODEL).status_code for _ in range(3)] == [200, 200, 429]
    assert len(pair.own.asked) == len(pair.other.asked) == 2


def test_all_calls_of_a_failing_model_move_to_its_fallback_whatever_its_budget(pair):
    pair.serve(fallbacks=[SMALL], handling=NO_RETRIES)
    sent, refused = pair.retries(), pair.retries("budget")
    key = pair.rig.new_key(**BOTH)
    assert {call(pair.rig, key, MODEL).status_code for _ in range(30)} == {200}
    assert len(pair.other.asked) == 30
    assert (pair.retries(), pair.retries("budget")) == (sent, refused)


def test_retries_at_targets_of_a_fallback_draw_from_the_budget_of_the_model_asked_for(pair):
    broken = pair.own.backend(id="broken-too")
    pair.serve(first=[broken], fallbacks=[SMALL], handling=NO_RETRIES)
    sent, refused = pair.retries(), pair.retries("budget")
    key = pair.rig.new_key(**BOTH)
    # The second target of the fallback would answer.
    assert [call(pair.rig, key, MODEL).status_code for _ in range(2)] == [502, 502]
    assert (pair.other.asked, pair.retries() - sent, pair.retries("budget") - refused) == ([], 0, 2)


def test_a_fallback_for_a_model_without_connections_costs_no_budget(pair):
    pair.own.go_down()
    pair.serve(fallbacks=[SMALL], handling=NO_RETRIES)
    before = pair.retries()
    key = pair.rig.new_key(**BOTH)
    assert {call(pair.rig, key, MODEL).status_code for _ in range(10)} == {200}
    assert pair.retries() == before


def test_attempts_of_a_fallback_are_bounded_by_its_own_route(pair):
    """One attempt is all that the first route allows, which is no bound for the other model."""
    pair.serve(
        first=[pair.own.backend(id="broken-too")], fallbacks=[SMALL], handling=HandlingConfig(most_attempts=1)
    )
    key = pair.rig.new_key(**BOTH)
    assert call(pair.rig, key, MODEL).status_code == 200
    assert (len(pair.own.asked), len(pair.other.asked)) == (2, 1)


def test_a_counted_call_still_needs_room_for_all_else():
    once = counted(EstimatedUsage(10, 20, is_output_named=True, input_nano=3, output_nano=4))
    amounts = {
        kind: once.of(limit(kind, 100))
        for kind in ("requests_per_minute", "concurrent_calls", "tokens_per_minute", "money_per_month")
    }
    assert amounts == {
        "requests_per_minute": 0,
        "concurrent_calls": 1,
        "tokens_per_minute": 30,
        "money_per_month": 7,
    }
    assert once.of(limit("requests_per_minute", 100, model=SMALL)) == 1
