"""Enters a gateway's batches of calls into the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog

from billing.ingest import record_usage
from billing.models import QuarantinedEvent
from billing.usage import UsageRecord
from gateway.contract import (
    MAX_BATCH,
    USAGE_VERSION,
    ContractError,
    UsageEventReport,
    UsageReceipt,
    decode,
    v1_usage,
)
from gateway.contract.versions import target_of
from gateway.models import Gateway
from tenants.models import ApiKey

log = structlog.get_logger(__name__)

# Call ids are unique over all gateways, so another gateway may send a spool.
SOURCE = "gateway"
# About twice the size of MAX_BATCH events today.
MAX_BODY_BYTES = 2 * 1024 * 1024


class TooLarge(Exception):
    """The batch holds more events than one request may contain."""


class UnknownVersion(Exception):
    """The batch is of a version of the contract that this console does not read."""


class _Envelope(msgspec.Struct):
    events: list[msgspec.Raw]


class _StrictEnvelope(_Envelope, forbid_unknown_fields=True):
    """Of version 1."""


def record_batch(gateway: Gateway, body: bytes, version: str = "1") -> UsageReceipt:
    """Enter a batch into the ledger, and return after the commit. Sending it again changes nothing.

    `version` is the version of the contract that the gateway named. The same call in either version is one call.

    An event that cannot be read goes into quarantine with the reason, and does not delay the others.

    Raises:
        ContractError: the body is not a batch.
        TooLarge: it holds more than MAX_BATCH events.
        UnknownVersion: the console reads no batches of this version.
    """
    if version not in _READERS:
        raise UnknownVersion(
            f"This console reads usage of versions {', '.join(_READERS)}, not {version[:20]}."
        )
    records, unreadable = _read(body, version)
    _quarantine(gateway, unreadable)
    receipt = record_usage(SOURCE, records)
    if unreadable or receipt.quarantined:
        log.warning(
            "usage.quarantined",
            gateway=gateway.name,
            unreadable=len(unreadable),
            refused=receipt.quarantined,
        )
    return UsageReceipt(
        recorded=receipt.recorded,
        repeated=receipt.repeated,
        quarantined=receipt.quarantined + len(unreadable),
    )


def _report_1(event: bytes) -> UsageEventReport:
    return v1_usage.as_current(decode(v1_usage.UsageEventReport, event))


def _report_2(event: bytes) -> UsageEventReport:
    return decode(UsageEventReport, event)


_READERS: dict[str, tuple[type[_Envelope], Callable[[bytes], UsageEventReport]]] = {
    "1": (_StrictEnvelope, _report_1),
    str(USAGE_VERSION): (_Envelope, _report_2),
}


def _read(body: bytes, version: str) -> tuple[list[UsageRecord], list[tuple[bytes, str]]]:
    """The calls of a batch; and the events that could not be read, with the reasons."""
    envelope_type, read = _READERS[version]
    try:
        envelope = msgspec.json.decode(body, type=envelope_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"This is not a UsageBatch: {error}") from error
    if len(envelope.events) > MAX_BATCH:
        raise TooLarge(f"Send at most {MAX_BATCH} events at once, not {len(envelope.events)}.")
    records, unreadable = [], []
    for event in envelope.events:
        try:
            records.append(_record(read(bytes(event))))
        except (ContractError, ValueError) as error:
            unreadable.append((bytes(event), str(error)))
    return records, unreadable


def _record(report: UsageEventReport) -> UsageRecord:
    """One call in the ledger's terms. Raises ValueError if its time is invalid."""
    occurred_at = datetime.fromisoformat(report.occurred_at)
    if occurred_at.tzinfo is None:
        raise ValueError(f"occurred_at {report.occurred_at!r} has no time zone")
    return UsageRecord(
        event_id=report.call_id,
        key_id=report.key_id,
        model=report.model,
        occurred_at=occurred_at,
        usage=report.usage,
        status=report.status,
        http_status=report.http_status,
        is_exact=report.is_exact,
        latency_ms=report.latency_ms,
        first_token_ms=report.first_token_ms,
        is_stream=report.is_stream,
        target_id=target_of(report.target_id) if report.target_id else None,
        config_revision=report.config_revision,
        request_id=report.request_id,
        trace_id=report.trace_id,
        person_id=report.person_id,
        service_tier=report.service_tier,
        is_long_context=report.is_long_context,
        is_batch=report.is_batch,
        asked_model=report.asked_model,
    )


def _quarantine(gateway: Gateway, events: Sequence[tuple[bytes, str]]) -> None:
    if not events:
        return
    named = {event: key for event, _ in events if (key := _key_id(event)) is not None}
    keys = ApiKey.objects.across_tenants().filter(pk__in=set(named.values()))
    tenants = dict(keys.values_list("pk", "tenant_id"))
    QuarantinedEvent.objects.bulk_create(
        (
            QuarantinedEvent(
                tenant_id=tenants.get(named[event]) if event in named else None,
                source=SOURCE,
                event_id=_call_id(event),
                reason=QuarantinedEvent.Reason.MALFORMED,
                payload={"gateway": gateway.name, "reason": reason, "event": _as_json(event)},
                payload_sha=hashlib.sha256(event).digest(),
            )
            for event, reason in events
        ),
        ignore_conflicts=True,
    )


def _call_id(event: bytes) -> str:
    """The event's id of its call, as far as it can be read."""
    return _storable(_named(event, "call_id"))[:200]


def _key_id(event: bytes) -> UUID | None:
    """The id of the event's key; None if it cannot be one."""
    try:
        return UUID(_named(event, "key_id"))
    except ValueError:
        return None


def _named(event: bytes, name: str) -> str:
    """A text field of the event; empty if there is none of that name."""
    content = _as_json(event)
    text = content.get(name) if isinstance(content, dict) else None
    return text if isinstance(text, str) else ""


def _as_json(event: bytes) -> Any:
    """The event in a form that PostgreSQL can store: its own JSON, or its text if PostgreSQL cannot store that JSON."""
    text = event.decode(errors="replace")
    # Perhaps an escaped NUL or half of a surrogate pair.
    if "\\u" in text:
        return _storable(text)
    try:
        return msgspec.json.decode(text)
    # A number beyond any range.
    except msgspec.DecodeError:
        return text


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
