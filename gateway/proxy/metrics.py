"""Counters for Prometheus, and the few that each Ack includes.

Labels contain only names from the configuration, so their number is bounded whatever clients send.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from gateway.proxy.call_metrics import CallMetrics


class Metrics:
    """All metrics of one gateway process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        new = self.registry
        self._calls = CallMetrics()
        # Count what a call to a model cost, in nano-units of a currency.
        self.count_cost = self._calls.count_cost
        new.register(self._calls)
        self.refused_by_limit = Counter(
            "llm_limit_refusals", "Calls refused by a hard limit", ["scope", "kind"], registry=new
        )
        self.over_soft_limit = Counter(
            "llm_soft_limit_exceeded", "Calls above a soft limit", ["scope", "kind"], registry=new
        )
        self.without_limits = Counter(
            "llm_calls_without_limits", "Calls that passed while their limits were unknown", registry=new
        )
        self.limits_up = Gauge("llm_gateway_limits_up", "0 while limits cannot be checked", registry=new)
        self.limits_up.set(1)
        self.active = Gauge("llm_active_calls", "Calls in progress", registry=new)
        self.body_bytes = Gauge("llm_gateway_body_bytes", "Larger bodies held now", registry=new)
        self.answer_bytes = Gauge("llm_gateway_answer_bytes", "Larger answers held now", registry=new)
        self.answers_dropped = Counter(
            "llm_gateway_answers_dropped",
            "Answers that came and were not kept: too_large, or no_room",
            ["reason"],
            registry=new,
        )
        self.backend_failures = Counter(
            "llm_backend_failures", "Attempts that a backend failed", ["backend", "reason"], registry=new
        )
        self.calls_resent = Counter(
            "llm_gateway_calls_resent", "Calls sent again because a kept connection was dead", registry=new
        )
        self.backend_ejected = Gauge(
            "llm_backend_ejected", "1 while calls avoid it", ["backend"], registry=new
        )
        self.backend_probes = Counter(
            "llm_backend_probes",
            "Probes of a backend: up, down, unknown",
            ["backend", "result"],
            registry=new,
        )
        self.backend_connections = Gauge(
            "llm_backend_connections", "Calls in progress there now", ["backend"], registry=new
        )
        self.backend_waiting = Gauge(
            "llm_backend_waiting",
            "Calls that wait for one of its connections now",
            ["backend"],
            registry=new,
        )
        self.backend_busy = Counter(
            "llm_backend_busy",
            "Calls that found all of its connections in use: they went elsewhere, waited, or were refused",
            ["backend"],
            registry=new,
        )
        self.busy_refusals = Counter(
            "llm_gateway_busy_refusals",
            "Calls refused because all connections to all targets of the model were in use",
            ["model"],
            registry=new,
        )
        self.backend_over_quota = Counter(
            "llm_backend_over_quota",
            "Calls that passed it over, because our quota at its provider was used up",
            ["backend"],
            registry=new,
        )
        self.retries = Counter(
            "llm_gateway_retries", "Calls sent once more, to another backend", ["model"], registry=new
        )
        self.retries_refused = Counter(
            "llm_gateway_retries_refused",
            "Failed calls not sent once more: budget, attempts, or once (work that is not repeated)",
            ["model", "reason"],
            registry=new,
        )
        self.account_trouble = Counter(
            "llm_backend_account_refused",
            "Answers that refuse our own account at a backend; an operator must act",
            ["backend", "reason"],
            registry=new,
        )
        self.revision = Gauge("llm_gateway_config_revision", "The revision in force", registry=new)
        self.control_up = Gauge(
            "llm_gateway_control_plane_up", "1 while the control plane answers", registry=new
        )
        self.config_problems = Counter(
            "llm_gateway_config_problems", "Snapshots not applied, or behind ours", registry=new
        )
        self.background_failures = Counter(
            "llm_gateway_background_failures", "Faults of the gateway's own work", ["work"], registry=new
        )
        self.spool_pending = Gauge("llm_gateway_spool_pending", "Events on disk, unconfirmed", registry=new)
        self.spool_writable = Gauge("llm_gateway_spool_writable", "0 while calls are refused", registry=new)
        self.usage_rejected = Counter(
            "llm_gateway_usage_rejected", "Events set aside in rejected/; an operator must act", registry=new
        )
        self.spool_torn = Counter(
            "llm_gateway_spool_torn_records", "Records cut off by a crash, never acknowledged", registry=new
        )
        self.totals = dict.fromkeys(("requests", "ok", "error", "cancelled", "refused", "tokens"), 0)

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
        tokens, totals = self._calls.count_finished(model, status, latency_seconds, usage), self.totals
        totals["tokens"] += tokens
        totals["requests"] += 1
        totals[status] += 1
        return tokens

    def count_first_token(self, model: str, seconds: float) -> None:
        """Count a stream's first piece, by the seconds until it came."""
        self._calls.began(model, seconds)

    def count_refused(self, model: str, code: str) -> None:
        """Count a call that was refused; `model` is empty unless it is one of ours."""
        self._calls.count_refused(model, code)
        self.totals["requests"] += 1
        self.totals["refused"] += 1

    def count_retry(self, model: str, refused: str) -> None:
        """Count a failed call that is sent once more; or is not, if `refused` says why."""
        if refused:
            self.retries_refused.labels(model, refused).inc()
        else:
            self.retries.labels(model).inc()

    def set_connections(self, found: Mapping[str, tuple[int, int]]) -> None:
        """Set the gauges of connections: by backend, those in use and those who wait for one."""
        for gauge in (self.backend_connections, self.backend_waiting):
            gauge.clear()
        for backend_id, (in_use, waiting) in found.items():
            self.backend_connections.labels(backend_id).set(in_use)
            self.backend_waiting.labels(backend_id).set(waiting)

    def text(self) -> bytes:
        """The Prometheus exposition."""
        return generate_latest(self.registry)
