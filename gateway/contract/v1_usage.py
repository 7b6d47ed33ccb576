"""Version 1 of the contract, as it was. It is frozen: gateways of that version keep sending these messages.

A usage batch without the header `x-contract-version` is of version 1. `as_current` says an event in today's terms. Its
decoding is strict, as version 1 promised.
"""

from typing import Annotated, Literal

import msgspec

from gateway.contract.messages import Calls, Count, Message, Revision, Words
from gateway.contract.usage import Ack as CurrentAck
from gateway.contract.usage import UsageEventReport as CurrentReport

MAX_BATCH = 1000  # events in one UsageBatch


class Ack(Message, frozen=True):
    """The revision that a gateway serves, and its condition."""

    revision: Revision
    started_at: Words
    spool_pending: Calls
    counters: dict[Words, int]
    version: Words
    contract_version: int = 1
    problem: Words = ""


def ack_of(ack: CurrentAck) -> Ack:
    """An acknowledgement for a console of version 1."""
    return msgspec.convert(ack, Ack, from_attributes=True)


class TokenCounts(Message, frozen=True, omit_defaults=True):
    """Tokens of one call by kind. **Disjoint**: their sum is the total; no token is counted under two kinds."""

    input: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0
    image: Count = 0
    audio: Count = 0


class UsageEventReport(Message, frozen=True):
    """One call, as the gateway saw it. The same `call_id` always has the same content."""

    call_id: str
    occurred_at: str
    key_id: str
    model: str
    status: Literal["ok", "error", "cancelled"]
    http_status: int
    is_exact: bool
    tokens: TokenCounts
    latency_ms: Count
    first_token_ms: Count | None
    is_stream: bool
    backend_id: str | None
    config_revision: Revision
    trace_id: str | None
    request_id: str


class UsageBatch(Message, frozen=True):
    """Calls, oldest first."""

    events: Annotated[list[UsageEventReport], msgspec.Meta(max_length=MAX_BATCH)]


def as_version_1(report: CurrentReport) -> UsageEventReport | None:
    """The same call as version 1 reports it, without the facts it has no fields for; None if it lacks a kind."""
    if not report.usage.keys() <= set(TokenCounts.__struct_fields__):
        return None
    return UsageEventReport(
        call_id=report.call_id,
        occurred_at=report.occurred_at,
        key_id=report.key_id,
        model=report.model,
        status=report.status,
        http_status=report.http_status,
        is_exact=report.is_exact,
        tokens=TokenCounts(**report.usage),
        latency_ms=report.latency_ms,
        first_token_ms=report.first_token_ms,
        is_stream=report.is_stream,
        backend_id=report.target_id,
        config_revision=report.config_revision,
        trace_id=report.trace_id,
        request_id=report.request_id,
    )


def as_current(report: UsageEventReport) -> CurrentReport:
    """The same call as version 2 reports it."""
    tokens = report.tokens
    return CurrentReport(
        call_id=report.call_id,
        occurred_at=report.occurred_at,
        key_id=report.key_id,
        model=report.model,
        status=report.status,
        http_status=report.http_status,
        is_exact=report.is_exact,
        usage={kind: count for kind in tokens.__struct_fields__ if (count := getattr(tokens, kind))},
        latency_ms=report.latency_ms,
        first_token_ms=report.first_token_ms,
        is_stream=report.is_stream,
        target_id=report.backend_id,
        config_revision=report.config_revision,
        trace_id=report.trace_id,
        request_id=report.request_id,
    )
