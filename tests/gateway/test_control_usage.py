"""Calls that gateways report are in the ledger once, or in quarantine with the reason; nothing is lost."""

import json

import msgspec
import pytest
from django.db import connection
from django.test import Client
from django.utils.timezone import now

from billing.models import QuarantinedEvent, UsageEvent
from core.ids import uuid7
from gateway import ledger
from gateway.contract import (
    MAX_BATCH,
    UsageBatch,
    UsageEventReport,
    UsageReceipt,
    decode,
    encode,
)
from tests.factories import CatalogModelFactory
from tests.gateway.granted import key_for, registered

USAGE = "/internal/v1/usage"


@pytest.fixture
def key(project):
    return key_for(project, CatalogModelFactory(name="llama-4"))


@pytest.fixture
def headers(db):
    return registered()[1]


def report(key, **fields):
    return UsageEventReport(
        **{
            "call_id": str(uuid7()),
            "occurred_at": now().isoformat(),
            "key_id": str(key.pk),
            "model": "llama-4",
            "status": "ok",
            "http_status": 200,
            "is_exact": True,
            "usage": {"input": 10, "output": 5, "cache_read": 2},
            "latency_ms": 120,
            "first_token_ms": None,
            "is_stream": False,
            "target_id": None,
            "config_revision": 3,
            "trace_id": None,
            "request_id": "r",
        }
        | fields
    )


def post(headers, body, version="2"):
    """Send a batch. A version of None is that of gateways that do not name any: 1."""
    named = {} if version is None else {"x-contract-version": version}
    return Client().post(USAGE, body, content_type="application/json", headers=headers | named)


def send(headers, *events):
    answer = post(headers, encode(UsageBatch(events=list(events))))
    assert answer.status_code == 200, answer.content
    return decode(UsageReceipt, answer.content)


def raw(event, **changes):
    return msgspec.json.decode(encode(event)) | changes


def send_raw(headers, *events):
    answer = post(headers, json.dumps({"events": list(events)}).encode())
    assert answer.status_code == 200, answer.content
    return decode(UsageReceipt, answer.content)


def events():
    return UsageEvent.objects.across_tenants()


def test_a_call_is_in_the_ledger_with_all_that_was_told_of_it(key, headers):
    event = report(key, trace_id="0af7651916cd43dd8448eb211c80319c", first_token_ms=40, is_stream=True)
    assert send(headers, event) == UsageReceipt(recorded=1, repeated=0, quarantined=0)
    row = events().get()
    assert (row.tenant_id, row.project_id, row.key_id) == (key.tenant_id, key.project_id, key.pk)
    assert (row.quantities, row.first_token_ms) == (
        {"request": 1, "input": 10, "output": 5, "cache_read": 2},
        40,
    )
    assert (str(row.event_id), row.trace_id.hex, row.config_revision) == (event.call_id, event.trace_id, 3)


def test_sending_a_batch_twice_changes_nothing(key, headers):
    batch = [report(key) for _ in range(3)]
    assert send(headers, *batch).recorded == 3
    assert send(headers, *batch, report(key)) == UsageReceipt(recorded=1, repeated=3, quarantined=0)
    assert events().count() == 4


def test_a_spool_may_be_sent_by_another_gateway(key, headers):
    event = report(key)
    send(headers, event)
    assert send(registered("gateway-2")[1], event).repeated == 1


def test_the_same_call_with_other_numbers_is_not_billed(key, headers):
    event = report(key)
    send(headers, event)
    other = msgspec.structs.replace(event, usage={"input": 9999})
    assert send(headers, other).quarantined == 1
    assert events().get().quantities["input"] == 10


def test_a_call_of_an_unknown_key_is_kept_and_holds_up_nobody(key, headers):
    receipt = send(headers, report(key, key_id=str(uuid7())), report(key))
    assert receipt == UsageReceipt(recorded=1, repeated=0, quarantined=1)
    assert QuarantinedEvent.objects.across_tenants().get().reason == "unknown_key"


@pytest.mark.django_db
@pytest.mark.parametrize("of_several", ["", ".0a1b2c3d4e5f"])
def test_the_ledger_keeps_a_call_under_the_target_that_served_it(headers, key, of_several):
    target = str(uuid7())
    send(headers, report(key, target_id=f"{target}{of_several}"))
    assert UsageEvent.objects.across_tenants().get().target.name == target


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": {"input": -1}},
        {"usage": {"input": 1.5}},
        {"usage": {"input": "12"}},
        {"usage": {"Input": 12}},
        {"usage": {"input": None}},
        {"usage": 7},
        {"status": "fine"},
        {"occurred_at": "yesterday"},
        {"occurred_at": "2026-05-01T12:00:00"},
        {"occurred_at": "1999-05-01T12:00:00Z"},
        {"call_id": "not-a-uuid"},
        {"call_id": 7},
        {"key_id": "x"},
        {"model": "x" * 200},
        {"model": ""},
        {"usage": {"input": 2**63}},
        {"request_id": "a\0b"},
        {"call_id": "\0"},
    ],
    ids=str,
)
def test_an_event_that_makes_no_sense_is_kept_and_holds_up_nobody(key, headers, changes):
    bad = raw(report(key), **changes)
    for _ in range(2):
        receipt = send_raw(headers, bad, raw(report(key)))
        assert (receipt.recorded, receipt.quarantined) == (1, 1)
    # Once, though it was sent twice.
    kept = QuarantinedEvent.objects.across_tenants().get()
    assert kept.reason == "malformed"


def test_an_event_that_makes_no_sense_is_the_tenants_whose_key_it_names(key, headers):
    send_raw(headers, raw(report(key), status="fine"), raw(report(key), status="fine", key_id="x"))
    kept = QuarantinedEvent.objects.across_tenants().order_by("pk")
    assert [event.tenant_id for event in kept] == [key.tenant_id, None]


@pytest.mark.parametrize("event", [7, None, "text", [], {}])
def test_what_is_no_event_at_all_is_kept_too(key, headers, event):
    assert send_raw(headers, event).quarantined == 1
    assert QuarantinedEvent.objects.across_tenants().get().payload["event"] == event


@pytest.mark.parametrize("strange", [b"1e999", b"[" * 300 + b"]" * 300], ids=["huge", "deep"])
def test_what_a_database_cannot_store_as_it_is_holds_up_nobody(key, headers, strange):
    body = b'{"events":[{"call_id":"x","surprise":' + strange + b"}," + encode(report(key)) + b"]}"
    answer = post(headers, body)
    assert answer.status_code == 200, answer.content
    assert QuarantinedEvent.objects.across_tenants().get().reason == "malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"events": 7}',
        b'{"evens": []}',
        b'{"events": [}',
        b'{"events": ["\\ud800"]}',
        b'{"events": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b"\xff\xfe",
    ],
)
def test_what_is_no_batch_is_400_and_changes_nothing(headers, body):
    answer = post(headers, body)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert not QuarantinedEvent.objects.across_tenants().exists()


def test_too_much_at_once_is_413_so_that_the_gateway_halves_it(key, headers, monkeypatch):
    one = encode(report(key))
    many = b'{"events":[' + b",".join([one] * (MAX_BATCH + 1)) + b"]}"
    assert post(headers, many).status_code == 413
    monkeypatch.setattr("gateway.views.MAX_BODY_BYTES", 100)
    assert post(headers, b'{"events":[' + one + b"]}").status_code == 413


def test_a_full_batch_fits(key, headers):
    longest = {"model": "m" * 120, "request_id": "r" * 36, "trace_id": "a" * 32, "target_id": str(uuid7())}
    batch = encode(UsageBatch(events=[report(key, **longest) for _ in range(MAX_BATCH)]))
    assert len(batch) < ledger.MAX_BODY_BYTES
    assert decode(UsageReceipt, post(headers, batch).content).recorded == MAX_BATCH


@pytest.mark.django_db(transaction=True)
def test_the_receipt_is_sent_after_the_commit(key, headers):
    send(headers, report(key))
    assert connection.get_autocommit()
    assert not connection.in_atomic_block
    # What was not committed is gone now.
    connection.close()
    assert events().count() == 1
