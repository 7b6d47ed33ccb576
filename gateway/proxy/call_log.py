"""One line in the log for each call that reached a backend: who, what, how much. No content and no secret."""

from gateway.contract import UsageEventReport
from gateway.proxy.index import Key
from gateway.proxy.logs import lines


def log_answered(event: UsageEventReport, key: Key) -> None:
    """Log a call as it goes on record. Level info: GATEWAY_LOG_LEVEL=warning leaves it out."""
    if not lines.is_on:
        return
    config = key.config
    lines.info(
        "call_answered",
        {
            "call": event.call_id,
            "tenant": config.tenant_slug,
            "project": config.project_slug,
            "key": config.prefix,
            "model": event.model,
            "target": event.target_id,
            "status": event.status,
            "http_status": event.http_status,
            "usage": dict(event.usage),
            "exact": event.is_exact,
            "stream": event.is_stream,
            "latency_ms": event.latency_ms,
            "first_token_ms": event.first_token_ms,
            "trace": event.trace_id,
        },
    )
