"""What every call is counted in, kept as plain numbers: Prometheus' own counters take a lock for each step."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.contract import TOKEN_KINDS

LATENCY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_BOUNDS = (*map(floatToGoString, LATENCY_SECONDS), "+Inf")


class _Seconds:
    """How many times lie in each bucket, and their sum."""

    __slots__ = ("_buckets", "_sum")

    def __init__(self) -> None:
        self._buckets = [0] * len(_BOUNDS)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._buckets[bisect_left(LATENCY_SECONDS, seconds)] += 1
        self._sum += seconds

    def show(self, family: HistogramMetricFamily, model: str) -> None:
        count = 0
        buckets = []
        for bound, number in zip(_BOUNDS, self._buckets, strict=True):
            count += number
            buckets.append((bound, count))
        family.add_metric([model], buckets, self._sum)


class _OfModel:
    """The numbers of one model's calls."""

    __slots__ = ("by_status", "first_token", "latency", "nano", "tokens")

    def __init__(self) -> None:
        self.by_status: dict[str, int] = defaultdict(int)
        self.latency = _Seconds()
        self.first_token: _Seconds | None = None
        self.tokens: dict[str, int] = defaultdict(int)
        # By currency.
        self.nano: dict[str, int] = defaultdict(int)


class CallMetrics(Collector):
    """Calls by outcome, their times, tokens and cost, by model. Used in the event loop only."""

    def __init__(self) -> None:
        self._models: dict[str, _OfModel] = defaultdict(_OfModel)
        self._refused: dict[tuple[str, str], int] = {}

    def count_finished(
        self, model: str, status: str, latency_seconds: float, usage: Mapping[str, int]
    ) -> int:
        """Count a call that reached a backend. Returns its tokens.

        Args:
            model: public name of the model.
            status: `ok`, `error` or `cancelled`.
            latency_seconds: from the first byte of the call to the end.
            usage: whole numbers by kind; only tokens are shown.
        """
        of = self._models[model]
        of.by_status[status] += 1
        of.latency.add(latency_seconds)
        total, tokens = 0, of.tokens
        for kind, count in usage.items():
            if kind in TOKEN_KINDS:
                tokens[kind] += count
                total += count
        return total

    def count_refused(self, model: str, code: str) -> None:
        """Count a call that was refused; `model` is empty unless it is one of ours."""
        self._refused[model, code] = self._refused.get((model, code), 0) + 1

    def count_cost(self, model: str, currency: str, nano: int) -> None:
        """Count what a call to `model` cost, in nano-units of a currency."""
        self._models[model].nano[currency] += nano

    def began(self, model: str, seconds: float) -> None:
        """Count a stream's first piece, by the seconds until it came."""
        of = self._models[model]
        if of.first_token is None:
            of.first_token = _Seconds()
        of.first_token.add(seconds)

    def collect(self) -> Iterator[Metric]:
        """The families for an exposition."""
        requests = CounterMetricFamily("llm_requests", "Calls by outcome", labels=["model", "status"])
        latency = HistogramMetricFamily("llm_request_latency_seconds", "Whole calls", labels=["model"])
        first = HistogramMetricFamily(
            "llm_time_to_first_token_seconds", "Streams, until the first piece", labels=["model"]
        )
        tokens = CounterMetricFamily("llm_tokens", "Tokens by kind", labels=["model", "type"])
        cost = CounterMetricFamily(
            "llm_cost",
            "What the limits counted, rounded up; the ledger is exact",
            labels=["model", "currency"],
        )
        for model, of in self._models.items():
            for status, count in of.by_status.items():
                requests.add_metric([model, status], count)
            if of.by_status:
                of.latency.show(latency, model)
            if of.first_token is not None:
                of.first_token.show(first, model)
            for kind, count in of.tokens.items():
                tokens.add_metric([model, kind], count)
            for currency, nano in of.nano.items():
                cost.add_metric([model, currency], nano / 1e9)
        for (model, code), count in self._refused.items():
            requests.add_metric([model, code], count)
        return iter((requests, latency, first, tokens, cost))
