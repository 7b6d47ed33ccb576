"""One line in the log for each call that reached a backend: who, what, how much. No content and no secret."""

import time

import msgspec

from gateway.contract import Usage, UsageEventReport
from gateway.proxy.ids import rfc3339
from gateway.proxy.index import Key
from gateway.proxy.logs import lines


class _Answered(msgspec.Struct, gc=False):
    """The line, in the order of its fields: a struct is quicker to make and to encode than a dictionary."""

    event: str
    level: str
    gateway: str
    # Left out if there is only one.
    worker: int | msgspec.UnsetType
    call: str
    tenant: str
    project: str
    key: str
    model: str
    target: str | None
    status: str
    http_status: int
    usage: Usage
    exact: bool
    stream: bool
    latency_ms: int
    first_token_ms: int | None
    trace: str | None
    timestamp: str


_encode = msgspec.json.Encoder().encode


def log_answered(event: UsageEventReport, key: Key) -> None:
    """Log a call as it goes on record. Level info: GATEWAY_LOG_LEVEL=warning leaves it out."""
    if not lines.is_on:
        return
    config = key.config
    lines.add(
        _encode(
            _Answered(
                "call_answered",
                "info",
                lines.gateway_id,
                lines.worker or msgspec.UNSET,
                event.call_id,
                config.tenant_slug,
                config.project_slug,
                config.prefix,
                event.model,
                event.target_id,
                event.status,
                event.http_status,
                event.usage,
                event.is_exact,
                event.is_stream,
                event.latency_ms,
                event.first_token_ms,
                event.trace_id,
                rfc3339(time.time()),
            )
        )
    )
