"""What a tenant's owners decide about it, what operators do, and what the audit log says of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from audit.models import AuditEntry
from billing.ingest import record_usage
from core.errors import Conflict
from core.ids import uuid7
from tenants.actions import change_tenant, create_tenant
from tenants.models import Invitation, Tenant
from tenants.revision import current_revision
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, member_of
from tests.usage_records import usage_record

FORM = {
    "name": "Lab",
    "cost_centre": "CC-7",
    "timezone": "Europe/Berlin",
    "currency": "EUR",
    "regions": "eu, us",
}
SETTINGS = "/t/lab/settings/"
API = "/api/v1/tenants/lab/"


def patch(client, **body):
    return client.patch(API, body, "application/json")


def test_an_owner_changes_settings_and_the_audit_log_has_before_and_after(client, lab, owner):
    client.force_login(owner)
    before = current_revision()
    assert client.post(SETTINGS, FORM).status_code == 302
    lab.refresh_from_db()
    assert (lab.cost_centre, lab.timezone, lab.currency, lab.regions) == (
        "CC-7",
        "Europe/Berlin",
        "EUR",
        ["eu", "us"],
    )
    line = AuditEntry.objects.in_tenant(lab).get(verb="tenant.changed")
    changes = getattr(line, "changes", None) or line.details["changes"]
    assert changes["timezone"] == ["UTC", "Europe/Berlin"]
    assert "name" not in changes
    assert current_revision() == before + 1, "gateways count by the tenant's days"


def test_saving_what_is_there_already_writes_nothing(lab, owner):
    change_tenant(lab.pk, by=owner, name="Lab", timezone="UTC")
    assert not AuditEntry.objects.in_tenant(lab).filter(verb="tenant.changed").exists()


@pytest.mark.parametrize("role", ["developer", "finance", "viewer"])
def test_others_do_not(client, lab, role):
    client.force_login(member_of(lab, role))
    assert client.get(SETTINGS).status_code == 403
    assert client.post(SETTINGS, {}).status_code == 403, "before anything is said about the form"
    assert patch(client, timezone=["wrong"]).status_code == 403


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("timezone", "Berlin", "IANA name"),
        # The machine's own, which is another one on a gateway.
        ("timezone", "localtime", "IANA name"),
        ("timezone", "Factory", "IANA name"),
        ("currency", "EURO", "3 characters"),
        ("currency", "E1R", "required form"),
        ("regions", "eu; drop", "eu-west-1, not"),
        ("name", "", "required"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field(client, lab, owner, field, value, words):
    client.force_login(owner)
    answer = client.post(SETTINGS, FORM | {field: value})
    assert answer.status_code == 400
    assert words in answer.content.decode()
    lab.refresh_from_db()
    assert lab.timezone == "UTC"


def test_billing_in_another_currency_ends_with_the_first_usage(client, lab, project, owner):
    key = ApiKeyFactory(tenant=lab, project=project)
    call = usage_record(
        event_id=uuid7(), key_id=key.pk, model="aya", occurred_at=datetime(2026, 10, 1, tzinfo=UTC)
    )
    record_usage("gateway", [call])
    client.force_login(owner)
    answer = client.post(SETTINGS, FORM)
    assert answer.status_code == 409
    assert "Lab already has usage in USD, so its currency cannot be changed" in answer.content.decode()
    assert patch(client, currency="EUR").json()["code"] == "currency_in_use"
    assert patch(client, timezone="Europe/Berlin").status_code == 200


def test_the_api_changes_what_is_named_and_keeps_the_rest(client, lab, owner):
    client.force_login(owner)
    answer = patch(client, regions=["EU", "us-east-1", "eu"], cost_centre=" CC ")
    assert answer.status_code == 200
    assert (answer.json()["regions"], answer.json()["cost_centre"]) == (["eu", "us-east-1"], "CC")
    permanent = patch(client, slug="another", name="Other")
    assert (permanent.status_code, list(permanent.json()["errors"])) == (400, ["slug"])
    lab.refresh_from_db()
    assert (lab.slug, lab.name) == ("lab", "Lab")
    assert patch(client, timezone="Mars/Olympus").status_code == 400


def test_a_stranger_changes_nothing(client, lab, stranger):
    client.force_login(stranger)
    assert client.post(SETTINGS, FORM).status_code == 404
    assert patch(client, name="Mine").status_code == 404
    with pytest.raises(Tenant.DoesNotExist):
        change_tenant(lab.pk, by=stranger, name="Mine")


def test_only_operators_raise_the_data_class_and_anybody_in_charge_lowers_it(client, lab, owner, operator):
    with pytest.raises(PermissionDenied, match="Only operators"):
        change_tenant(lab.pk, by=owner, highest_data_class="restricted")
    client.force_login(owner)
    assert patch(client, highest_data_class="restricted").status_code == 403
    assert patch(client, highest_data_class="internal").status_code == 200
    assert patch(client, highest_data_class="confidential").status_code == 403, "not even back"
    client.force_login(operator)
    page = f"/admin/tenants/tenant/{lab.pk}/settings/"
    form = FORM | {"highest_data_class": "restricted", "timezone": "UTC"}
    assert "Highest data class" in client.get(page).content.decode()
    assert client.post(page, form).status_code == 302
    lab.refresh_from_db()
    assert lab.highest_data_class == "restricted"


def test_nothing_is_changed_while_suspended(client, lab, owner):
    Tenant.objects.filter(pk=lab.pk).update(status="suspended", suspended_reason="unpaid")
    client.force_login(owner)
    assert client.get(SETTINGS).status_code == 200
    assert client.post(SETTINGS, {}).status_code == 409, "before anything is said about the form"
    assert patch(client, timezone=["wrong"]).status_code == 409


def test_operators_create_a_tenant_and_its_first_owner_is_invited(client, operator, owner, mailoutbox):
    page = "/admin/tenants/tenant/new/"
    client.force_login(operator)
    form = FORM | {
        "name": "Harbour",
        "slug": "harbour",
        "first_owner": "olga@harbour.example",
        "highest_data_class": "internal",
    }
    assert client.post(page, form | {"first_owner": "nobody"}).status_code == 422
    assert client.post(page, form).status_code == 302
    tenant = Tenant.objects.get(slug="harbour")
    assert Invitation.objects.in_tenant(tenant).get().email == "olga@harbour.example"
    again = client.post(page, form)
    assert (again.status_code, "harbour already" in again.content.decode()) == (422, True)
    client.force_login(owner)
    assert client.get(page).status_code in (302, 403)


def test_only_operators_create_tenants(owner):
    with pytest.raises(PermissionDenied):
        create_tenant(by=owner, slug="mine", name="Mine")


@pytest.mark.parametrize("fields", [{"timezone": "Mars"}, {"currency": "eur"}, {"slug": "a b"}, {"name": ""}])
def test_a_tenant_that_cannot_be_is_not_created(db, fields):
    with pytest.raises(ValidationError):
        create_tenant(by=None, **{"slug": "harbour", "name": "Harbour"} | fields)


@pytest.mark.django_db(transaction=True)
def test_two_who_take_the_same_slug_at_once_get_a_conflict_not_an_error():
    outcomes = at_the_same_time(
        lambda: create_tenant(by=None, slug="harbour", name="A"),
        lambda: create_tenant(by=None, slug="harbour", name="B"),
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Tenant"]
    conflict = next(outcome for outcome in outcomes if isinstance(outcome, Conflict))
    assert "Choose another" in conflict.message


@pytest.mark.django_db(transaction=True)
def test_two_who_change_settings_at_once_both_succeed(lab, owner):
    outcomes = at_the_same_time(
        lambda: change_tenant(lab.pk, by=owner, cost_centre="A"),
        lambda: change_tenant(lab.pk, by=owner, timezone="Europe/Berlin"),
    )
    assert all(isinstance(outcome, Tenant) for outcome in outcomes), outcomes
    lab.refresh_from_db()
    assert (lab.cost_centre, lab.timezone) == ("A", "Europe/Berlin")
