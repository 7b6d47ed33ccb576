"""Usage of both versions of the contract, and of kinds and fields that the console does not know yet."""

import json
from decimal import Decimal

import msgspec
import pytest
import structlog
from django.core.exceptions import ValidationError

from billing.kind_actions import add_usage_kind
from billing.known_kinds import MOST_KINDS, kinds_named, unknown_kinds
from billing.models import QuarantinedEvent, UsageEvent, UsageKind
from billing.prices import publish_prices
from core.ids import uuid7
from gateway.contract import UsageReceipt, decode, encode, v1_usage
from gateway.proxy.segments import begun_line, event_line, read_segment
from tests.billing.conftest import PRICED_SINCE, one
from tests.concurrency import queued_behind
from tests.factories import CatalogModelFactory, ProjectFactory
from tests.gateway.granted import key_for
from tests.gateway.test_control_usage import post, raw, registered, report, send, send_raw

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(db):
    return key_for(ProjectFactory(), CatalogModelFactory(name="llama-4"))


@pytest.fixture
def headers(db):
    return registered()[1]


def of_version_1(key, **changes):
    """What a gateway of version 1 sends of the call that `report` describes."""
    event = raw(report(key, **changes))
    usage = event.pop("usage")
    for name in ("person_id", "service_tier", "is_long_context", "is_batch", "asked_model"):
        del event[name]
    return event | {"tokens": usage, "backend_id": event.pop("target_id")}


def send_version_1(headers, *events):
    answer = post(headers, json.dumps({"events": list(events)}).encode(), version=None)
    assert answer.status_code == 200, answer.content
    return decode(UsageReceipt, answer.content)


def recorded():
    return UsageEvent.objects.across_tenants()


def test_a_batch_without_a_version_is_of_version_1(key, headers):
    event = of_version_1(key, usage={"input": 10, "output": 5, "audio": 3}, target_id="b-1")
    assert send_version_1(headers, event).recorded == 1
    row = recorded().get()
    assert row.quantities == {"request": 1, "input": 10, "output": 5, "audio": 3}
    assert (row.target.name, row.person_id, row.is_batch) == ("b-1", None, False)


def test_the_same_call_in_both_versions_is_one_call(key, headers):
    call_id, at = str(uuid7()), report(key).occurred_at
    send_version_1(headers, of_version_1(key, call_id=call_id, occurred_at=at))
    assert send(headers, report(key, call_id=call_id, occurred_at=at)).repeated == 1
    assert recorded().count() == 1


@pytest.mark.parametrize("change", [{"surprise": 1}, {"tokens": {"search": 2}}, {"tokens": {"input": -1}}])
def test_version_1_stays_strict(key, headers, change):
    receipt = send_version_1(headers, of_version_1(key) | change, of_version_1(key))
    assert (receipt.recorded, receipt.quarantined) == (1, 1)
    assert QuarantinedEvent.objects.across_tenants().get().reason == "malformed"
    body = json.dumps({"events": [], "refusals": []}).encode()
    assert post(headers, body, version=None).status_code == 400


def test_unknown_fields_of_version_2_are_ignored_by_both_sides(key, headers):
    event = raw(report(key, usage={"input": 7}), surprise={"deep": [1, {}]}, labels=["a"])
    body = json.dumps({"events": [event], "refusals": [{"limit": "x"}]}).encode()
    answer = post(headers, body)
    assert decode(UsageReceipt, answer.content).recorded == 1
    assert recorded().get().quantities == {"request": 1, "input": 7}
    # What a newer console may say beside it.
    receipt = msgspec.json.encode(msgspec.json.decode(answer.content) | {"advice": "slow down"})
    assert decode(UsageReceipt, receipt).recorded == 1


def test_a_version_that_the_console_does_not_read_is_kept_by_the_gateway(key, headers):
    answer = post(headers, encode(msgspec.convert({"events": []}, v1_usage.UsageBatch)), version="3")
    # None of the answers after which a gateway sets usage aside.
    assert answer.status_code == 406
    assert answer.json()["code"] == "version_unknown"
    assert "1, 2" in answer.json()["detail"]


@pytest.fixture
def priced(key):
    publish_prices("llama-4", {"input": Decimal(1), "output": Decimal(2)}, valid_from=PRICED_SINCE,
                   reason="List price", by=None)  # fmt: skip


def test_an_unknown_kind_is_kept_and_its_call_is_not_priced(key, headers, priced):
    strange = report(key, model="llama-4", usage={"input": 10, "hologram": 3})
    plain = report(key, model="llama-4", usage={"input": 10})
    with structlog.testing.capture_logs() as logs:
        assert send(headers, strange, plain).recorded == 2
    assert [line["kinds"] for line in logs if line["event"] == "usage_kind_unknown"] == [["hologram"]]
    kept, whole = recorded().order_by("amount")[::-1]
    assert (kept.quantities, kept.is_unpriced) == ({"request": 1, "input": 10, "hologram": 3}, True)
    assert (whole.is_unpriced, whole.amount) == (False, Decimal("0.00001"))
    assert unknown_kinds() == ["hologram"]
    row = UsageKind.objects.get(name="hologram")
    assert (row.unit, row.is_known, row.needs_price) == ("unknown", False, True)
    assert one("SELECT usage_json(sum(usage)) FROM rollup_day WHERE is_unpriced") == (
        '{"input": 10, "request": 1, "hologram": 3}'
    )
    # Again: the same kind, and the same calls.
    with structlog.testing.capture_logs() as logs:
        assert send(headers, strange, plain).repeated == 2
    assert [line for line in logs if line["event"] == "usage_kind_unknown"] == []


def test_more_unknown_kinds_than_there_is_room_for_are_quarantined(key, headers, monkeypatch):
    monkeypatch.setattr("billing.known_kinds.MOST_KINDS", UsageKind.objects.count())
    receipt = send_raw(headers, raw(report(key), usage={"hologram": 1}), raw(report(key)))
    assert (receipt.recorded, receipt.quarantined) == (1, 1)
    assert not UsageKind.objects.filter(name="hologram").exists()
    assert QuarantinedEvent.objects.across_tenants().get().payload["usage"] == {"hologram": 1}


def test_one_event_with_more_kinds_than_there_is_room_for_makes_no_more(key, headers):
    """They would stay for ever, and the statements of such a batch have more columns than PostgreSQL allows."""
    strange = report(key, usage={f"strange{number:03}": 1 for number in range(900)})
    receipt = send(headers, report(key), strange)
    assert (receipt.recorded, receipt.quarantined) == (1, 1)
    assert UsageKind.objects.count() == MOST_KINDS
    assert send(headers, report(key)).recorded == 1


def test_facts_of_a_call_are_kept(key, headers):
    person = str(uuid7())
    told = {"person_id": person, "service_tier": "flex", "is_long_context": True, "is_batch": True}
    told["asked_model"] = "large"
    send(headers, report(key, **told), report(key))
    with_facts = recorded().get(is_batch=True)
    assert (str(with_facts.person_id), with_facts.service_tier) == (person, "flex")
    assert (with_facts.is_long_context, with_facts.asked_model) == (True, "large")
    plain = recorded().get(is_batch=False)
    assert (plain.person_id, plain.service_tier, plain.is_long_context, plain.asked_model) == (
        None, None, False, None,
    )  # fmt: skip


def test_other_facts_are_other_content(key, headers):
    event = report(key, service_tier="flex")
    send(headers, event)
    for change in (
        {"service_tier": None},
        {"person_id": str(uuid7())},
        {"is_batch": True},
        {"is_long_context": True},
    ):
        assert send(headers, msgspec.structs.replace(event, **change)).quarantined == 1
    assert send(headers, event).repeated == 1


def test_a_spool_of_a_version_1_gateway_is_read_after_the_upgrade(key, tmp_path):
    event = of_version_1(key, usage={"input": 3}, target_id="b-1")
    begun = of_version_1(key, usage={"input": 4})
    old = msgspec.convert(event, v1_usage.UsageEventReport), msgspec.convert(begun, v1_usage.UsageEventReport)
    path = tmp_path / "000000000001.spool"
    path.write_bytes(event_line(old[0]) + begun_line(old[1]) + event_line(report(key, usage={"output": 5})))
    segment = read_segment(path)
    assert segment.corrupt == []
    assert [one.usage for one in segment.events] == [{"input": 3}, {"output": 5}]
    assert segment.events[0].target_id == "b-1"
    assert [one.usage for one in segment.begun.values()] == [{"input": 4}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "add",
    [
        lambda: kinds_named(["hologram"]),
        lambda: add_usage_kind("hologram", label="H", unit="token", scale=1, price_for=1, by=None),
    ],
    ids=["a batch", "an operator"],
)
def test_two_at_once_make_no_more_kinds_than_there_is_room_for(add, monkeypatch):
    for module in ("known_kinds", "kind_actions"):
        monkeypatch.setattr(f"billing.{module}.MOST_KINDS", UsageKind.objects.count() + 1)
    outcome = queued_behind(add, lambda: kinds_named(["scent"]))
    assert outcome == {} or isinstance(outcome, ValidationError)
    assert not UsageKind.objects.filter(name="hologram").exists()
    assert UsageKind.objects.filter(name="scent").exists()
