"""Operators add kinds of usage, and describe those that a gateway named; what is described stays."""

from decimal import Decimal

import pytest
from django.urls import reverse

from audit.models import AuditEntry
from billing.ingest import record_usage
from billing.kind_actions import add_usage_kind, describe_usage_kind
from billing.known_kinds import kinds_named, unknown_kinds, words_of
from billing.models import UsageKind
from billing.prices import publish_prices
from core.errors import Conflict
from tests.billing.conftest import PRICED_SINCE, rows
from tests.factories import staff

pytestmark = pytest.mark.django_db

LIST = "admin:billing_usagekind_changelist"
FORM = {
    "label": "Seconds of video",
    "unit": "second",
    "scale": "1000",
    "price_for": "60",
    "_form_submitted": "1",
}


@pytest.fixture
def operator(client):
    user = staff("operator")
    client.force_login(user)
    return user


def add(client, **changes):
    return client.post("/admin/billing/usagekind/add-kind/", FORM | {"name": "video_seconds"} | changes)


def test_an_operator_adds_a_kind_which_has_a_price_and_is_billed(client, operator, call, prices):
    add(client)
    kind = UsageKind.objects.get(name="video_seconds")
    assert (kind.label, kind.unit, kind.scale, kind.price_for, kind.is_known, kind.needs_price) == (
        "Seconds of video", "second", 1000, 60, True, True,
    )  # fmt: skip
    entry = AuditEntry.objects.across_tenants().get(verb="usage_kind.added")
    assert (entry.actor, entry.details["unit"]) == (operator, "second")
    publish_prices("reel", {"video_seconds": Decimal(2)}, valid_from=PRICED_SINCE, reason="New", by=None)
    record_usage("gateway", [call(model="reel", usage={"video_seconds": 1500}, input=0, output=0)])
    assert rows("SELECT amount, is_unpriced FROM usage_event") == [(Decimal("0.003"), False)]
    page = client.get(reverse(LIST)).content.decode()
    assert "video_seconds" in page
    assert words_of("video_seconds") == "Seconds of video"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Video"}, {"name": "7up"}, {"name": ""}, {"label": ""}, {"unit": "unknown"}, {"unit": "hour"},
        {"scale": "0"}, {"price_for": "0"}, {"price_for": "many"},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_value_adds_nothing(client, operator, changes):
    before = UsageKind.objects.count()
    assert add(client, **changes).status_code in (200, 400, 422)
    assert UsageKind.objects.count() == before


def test_a_kind_that_is_there_is_a_conflict(client, operator):
    assert add(client, name="input").status_code == 409
    assert UsageKind.objects.get(name="input").label == ""


def test_a_gateways_kind_is_described_once_and_counts_from_then_on(client, operator, call, prices):
    record_usage("gateway", [call(usage={"hologram": 5})])
    kind = UsageKind.objects.get(name="hologram")
    assert "no: not priced" in client.get(reverse(LIST)).content.decode()
    path = f"/admin/billing/usagekind/{kind.pk}/describe/"
    client.post(path, FORM | {"label": "Holograms", "unit": "token", "scale": "1"})
    assert unknown_kinds() == []
    entry = AuditEntry.objects.across_tenants().get(verb="usage_kind.described")
    assert (entry.actor, entry.details["label"]) == (operator, "Holograms")
    record_usage("gateway", [call(usage={"hologram": 7})])
    assert rows("SELECT tokens FROM rollup_delta ORDER BY tokens") == [(1200,), (1207,)]
    assert client.post(path, FORM | {"unit": "image"}).status_code == 409
    kind.refresh_from_db()
    assert (kind.label, kind.unit) == ("Holograms", "token")


def test_the_actions_reject_what_the_page_does_not_offer():
    kinds_named(["hologram"])
    kind = UsageKind.objects.get(name="hologram")
    facts = {"label": "Holograms", "unit": "image", "scale": 1, "price_for": 1000, "by": None}
    described = describe_usage_kind(kind.pk, **facts)
    assert described.is_known
    with pytest.raises(Conflict, match="described already"):
        describe_usage_kind(kind.pk, **facts)
    with pytest.raises(Conflict, match="already"):
        add_usage_kind("hologram", **facts)


def test_a_controller_sees_kinds_and_adds_none(client):
    client.force_login(staff("controller"))
    assert client.get(reverse(LIST)).status_code == 200
    assert add(client).status_code in (302, 403)
    assert not UsageKind.objects.filter(name="video_seconds").exists()
