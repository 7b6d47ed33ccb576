"""What calls are counted in reads as Prometheus' own counters write it."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gateway.proxy.call_metrics import LATENCY_SECONDS, CallMetrics
from gateway.proxy.metrics import Metrics

SECONDS = (0.0, 0.004, 0.005, 0.0051, 0.3, 1, 2.5, 600, 601, 4000)


def samples(text, prefix):
    return sorted(
        line
        for line in text.decode().splitlines()
        if line.startswith((prefix, f"# HELP {prefix}", f"# TYPE {prefix}")) and "_created" not in line
    )


def test_the_exposition_is_that_of_prometheus_own_counters():
    own, theirs = CollectorRegistry(), CollectorRegistry()
    calls = CallMetrics()
    own.register(calls)
    requests = Counter("llm_requests", "Calls by outcome", ["model", "status"], registry=theirs)
    tokens = Counter("llm_tokens", "Tokens by kind", ["model", "type"], registry=theirs)
    cost = Counter(
        "llm_cost",
        "What the limits counted, rounded up; the ledger is exact",
        ["model", "currency"],
        registry=theirs,
    )
    latency = Histogram(
        "llm_request_latency_seconds", "Whole calls", ["model"], buckets=LATENCY_SECONDS, registry=theirs
    )
    first = Histogram(
        "llm_time_to_first_token_seconds",
        "Streams, until the first piece",
        ["model"],
        buckets=LATENCY_SECONDS,
        registry=theirs,
    )
    for number, seconds in enumerate(SECONDS):
        model, status = ("one", "two")[number % 2], ("ok", "error")[number % 3 == 0]
        assert calls.count_finished(model, status, seconds, {"input": number, "searches": 3}) == number
        requests.labels(model, status).inc()
        latency.labels(model).observe(seconds)
        tokens.labels(model, "input").inc(number)
    calls.began("two", 0.25)
    first.labels("two").observe(0.25)
    calls.count_cost("one", "EUR", 1_500_000_000)
    cost.labels("one", "EUR").inc(1.5)
    calls.count_refused("", "invalid_api_key")
    requests.labels("", "invalid_api_key").inc()
    mine, wanted = generate_latest(own), generate_latest(theirs)
    for name in ("llm_requests", "llm_request_latency", "llm_time_to_first", "llm_tokens", "llm_cost"):
        assert samples(mine, name) == samples(wanted, name) != []


def test_the_totals_of_an_acknowledgement_count_the_same_calls():
    metrics = Metrics()
    metrics.count_finished("one", "ok", 0.1, {"input": 3, "output": 4, "searches": 1})
    metrics.count_finished("one", "cancelled", 0.1, {})
    metrics.count_refused("", "invalid_api_key")
    assert metrics.totals == {"requests": 3, "ok": 1, "error": 0, "cancelled": 1, "refused": 1, "tokens": 7}
    assert b'llm_tokens_total{model="one",type="output"} 4.0' in metrics.text()
