"""Closing a tenant takes a final export and two people, and is for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils.timezone import now

from accounts.models import User
from audit.models import AuditEntry
from billing.closing import begin_closing, build_final_export
from billing.cost_reports import ask_for_cost_report
from billing.ingest import record_usage
from billing.prices import publish_prices
from catalog.actions import raise_access_request
from catalog.models import Grant
from core.errors import Conflict
from core.ids import uuid7
from exports import tasks
from exports.files import expire_exports, path_of
from exports.models import Export
from tenants.actions import issue_personal_access_token, resume_tenant, suspend_tenant
from tenants.actions.closing import confirm_closing, propose_closing, withdraw_closing
from tenants.models import ApiKey, PersonalAccessToken, Tenant, TenantClosing
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, CatalogModelFactory, UserFactory, staff
from tests.gateway.granted import key_for
from tests.usage_records import usage_record

REASON = "The department is dissolved"
PRICES = {"input": Decimal(2), "output": Decimal(10)}


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@pytest.fixture
def key(lab, project, owner):
    return key_for(project, CatalogModelFactory(name="aya"), owner=owner)


def use(key, **fields):
    """One call with the key, in the ledger."""
    usual = {"event_id": uuid7(), "key_id": key.pk, "model": "aya", "occurred_at": now() - timedelta(hours=2)}
    record_usage("gateway", [usage_record(**usual | {"input": 1000, "output": 200} | fields)])


def built(export):
    """The export, after its task; the test's transaction hides its rows from the builder's own connection."""
    tasks.build_export(str(export.tenant_id), str(export.pk))
    export.refresh_from_db()
    assert export.state == "done", export.error
    return export


@pytest.fixture
def export(transactional_db, key, lab, owner):
    """The final export of a lab that was used, as its owner has it built."""
    publish_prices("aya", PRICES, valid_from=datetime(2026, 1, 1, tzinfo=UTC), reason="List", by=None)
    use(key)
    return built(begin_closing(lab.pk, by=owner, reason=REASON))


@pytest.fixture
def proposed(export, lab, owner):
    return propose_closing(lab.pk, export_id=export.pk, reason=REASON, by=owner)


def test_closing_begins_with_a_suspension_and_an_export_of_everything(export, lab, key):
    lab.refresh_from_db()
    assert (lab.status, lab.suspended_reason, export.is_final) == ("suspended", REASON, True)
    assert export.rows_total == 2  # input and output
    assert path_of(export).is_file()


def test_an_owner_proposes_an_operator_confirms_and_everything_ends(
    proposed, lab, project, key, owner, developer, operator
):
    account = UserFactory(service_of=lab)
    token, _secret = issue_personal_access_token(owner, name="t", life=timedelta(days=1))
    PersonalAccessToken.objects.filter(pk=token.pk).update(tenant=lab)
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    closed = confirm_closing(proposed.pk, by=operator)
    assert closed.status == "closed"
    assert set(ApiKey.objects.in_tenant(lab).values_list("state", flat=True)) == {"revoked"}
    assert ApiKey.objects.across_tenants().get(pk=waiting.pk).revoked_at
    token.refresh_from_db()
    assert token.revoked_at
    assert not User.objects.get(pk=account.pk).is_active
    assert not Grant.objects.in_tenant(lab).filter(revoked_at=None).exists()
    line = AuditEntry.objects.in_tenant(lab).get(verb="tenant.closed")
    assert line.details["proposed_by"] == owner.email
    assert line.details["sha256"] == proposed.export_sha256


def test_open_requests_are_withdrawn(transactional_db, lab, project, developer, owner, operator):
    asked = raise_access_request(
        project, CatalogModelFactory().name, by=developer, purpose="Letters.", expected_tokens_per_day=9
    )
    export = built(begin_closing(lab.pk, by=owner, reason=REASON))
    closing = propose_closing(lab.pk, export_id=export.pk, reason=REASON, by=owner)
    confirm_closing(closing.pk, by=operator)
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
    assert set(asked.reviews.values_list("state", flat=True)) == {"cancelled"}


def test_nobody_confirms_their_own_proposal(export, lab, operator):
    closing = propose_closing(lab.pk, export_id=export.pk, reason=REASON, by=operator)
    with pytest.raises(PermissionDenied, match="someone else"):
        confirm_closing(closing.pk, by=operator)
    assert confirm_closing(closing.pk, by=staff("operator")).status == "closed"


def test_only_operators_confirm(proposed, developer, stranger, lab):
    with pytest.raises(PermissionDenied, match="confirm"):
        confirm_closing(proposed.pk, by=developer)
    with pytest.raises(TenantClosing.DoesNotExist):
        confirm_closing(proposed.pk, by=stranger)


def test_who_may_not_propose_begins_nothing(lab, developer, stranger):
    with pytest.raises(PermissionDenied):
        begin_closing(lab.pk, by=developer, reason=REASON)
    with pytest.raises(Tenant.DoesNotExist):
        begin_closing(lab.pk, by=stranger, reason=REASON)


def test_without_a_final_export_since_the_suspension_nothing_is_proposed(
    transactional_db, lab, owner, finance, operator, key
):
    use(key)
    ordinary = built(
        ask_for_cost_report(lab, by=finance, start_day=now().date() - timedelta(days=9), end_day=now().date())
    )
    with pytest.raises(Conflict, match="is active"):
        propose_closing(lab.pk, export_id=ordinary.pk, reason=REASON, by=owner)
    early = built(begin_closing(lab.pk, by=owner, reason=REASON))
    resume_tenant(lab.pk, by=operator)
    suspend_tenant(lab.pk, by=operator, reason=REASON)
    for export in (ordinary, early):
        with pytest.raises(Conflict, match="not a final export since"):
            propose_closing(lab.pk, export_id=export.pk, reason=REASON, by=owner)
    unfinished = build_final_export(lab.pk, by=owner)
    with pytest.raises(Conflict, match="not ready"):
        propose_closing(lab.pk, export_id=unfinished.pk, reason=REASON, by=owner)
    with pytest.raises(Conflict, match="being built"):
        build_final_export(lab.pk, by=owner)


@pytest.mark.parametrize(
    "late",
    [
        {"input": 5},
        {"model": "never-priced"},
        {"occurred_at": now() - timedelta(days=40)},
    ],
    ids=["on a day it covers", "without a price", "before its first day"],
)
def test_usage_that_arrives_late_wants_the_export_again(export, key, lab, owner, operator, late):
    use(key, **late)
    with pytest.raises(Conflict, match="Build it again"):
        propose_closing(lab.pk, export_id=export.pk, reason=REASON, by=owner)
    again = built(build_final_export(lab.pk, by=owner))
    closing = propose_closing(lab.pk, export_id=again.pk, reason=REASON, by=owner)
    use(key, **late)
    with pytest.raises(Conflict, match="Build it again"):
        confirm_closing(closing.pk, by=operator)


def test_a_proposal_can_be_taken_back(proposed, lab, owner, operator, export):
    with pytest.raises(Conflict, match="Withdraw the proposal first"):
        resume_tenant(lab.pk, by=operator)
    with pytest.raises(Conflict, match="already proposed"):
        propose_closing(lab.pk, export_id=export.pk, reason=REASON, by=operator)
    withdraw_closing(proposed.pk, by=owner)
    with pytest.raises(Conflict, match="withdrawn"):
        confirm_closing(proposed.pk, by=operator)
    assert resume_tenant(lab.pk, by=operator).status == "active"


def test_a_closed_tenant_is_closed_for_good(proposed, lab, owner, operator):
    confirm_closing(proposed.pk, by=operator)
    with pytest.raises(Conflict):
        resume_tenant(lab.pk, by=operator)
    with pytest.raises(Conflict, match="is closed"):
        withdraw_closing(proposed.pk, by=owner)
    with pytest.raises(Conflict, match="is closed"):
        confirm_closing(proposed.pk, by=staff("operator"))
    with pytest.raises(Conflict, match="is closed"):
        begin_closing(lab.pk, by=owner, reason=REASON)


def run(sql, *parameters):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def test_the_database_holds_both_people_whoever_asks(proposed, lab, owner, operator):
    with pytest.raises(IntegrityError, match="tenant_closing_takes_two"):
        run(
            "UPDATE tenants_tenantclosing SET confirmed_by_id = proposed_by_id, confirmed_at = now()"
            " WHERE id = %s",
            proposed.pk,
        )
    with pytest.raises(IntegrityError, match="open_withdrawn_or_confirmed"):
        run("UPDATE tenants_tenantclosing SET confirmed_by_id = %s WHERE id = %s", operator.pk, proposed.pk)
    with pytest.raises(IntegrityError, match="four eyes"):
        run("UPDATE tenants_tenantclosing SET proposed_by_id = %s WHERE id = %s", operator.pk, proposed.pk)
    with pytest.raises(IntegrityError, match="refused"):
        run("DELETE FROM tenants_tenantclosing WHERE id = %s", proposed.pk)
    with pytest.raises(IntegrityError, match="second person"):
        run("UPDATE tenants_tenant SET status = 'closed' WHERE id = %s", lab.pk)
    confirm_closing(proposed.pk, by=operator)
    for change in ("status = 'active'", "name = 'Reopened'", "timezone = 'UTC+1'"):
        with pytest.raises(IntegrityError, match="stays as it is"):
            run(f"UPDATE tenants_tenant SET {change} WHERE id = %s", lab.pk)


def test_members_go_on_reading_costs_exports_and_the_audit_log(
    client, proposed, export, lab, owner, operator
):
    confirm_closing(proposed.pk, by=operator)
    client.force_login(owner)
    for page in ("", "keys/", "cost/", "exports/", "settings/closing/"):
        answer = client.get(f"/t/lab/{page}")
        assert answer.status_code == 200, page
        assert "Lab is closed" in answer.content.decode()
    assert client.get(f"/t/lab/exports/{export.pk}/download/").status_code == 200
    assert client.get("/api/v1/audit/?tenant=lab").json()["results"]
    answer = client.post("/t/lab/exports/new/", {"month": f"{now():%Y-%m}"})
    assert answer.status_code == 409


def test_the_final_export_is_kept(proposed, export):
    Export.objects.across_tenants().filter(pk=export.pk).update(expires_at=now() - timedelta(days=1))
    assert expire_exports() == 0
    assert path_of(export).is_file()


def test_two_operators_at_once_close_once(proposed, lab):
    first, second = staff("operator"), staff("operator")
    outcomes = at_the_same_time(
        lambda: confirm_closing(proposed.pk, by=first), lambda: confirm_closing(proposed.pk, by=second)
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Tenant"]
    assert AuditEntry.objects.in_tenant(lab).filter(verb="tenant.closed").count() == 1


def test_the_page_leads_from_step_to_step(client, transactional_db, lab, key, owner, operator, developer):
    page = "/t/lab/settings/closing/"
    client.force_login(developer)
    assert client.get(page).status_code == 403
    assert client.post(page, {"step": "begin"}).status_code == 403
    client.force_login(owner)
    assert "Suspend and export" in client.get(page).content.decode()
    answer = client.post(page, {"step": "begin", "reason": REASON, "typed": "something else"})
    assert (answer.status_code, "Enter lab to confirm" in answer.content.decode()) == (400, True)
    assert client.post(page, {"step": "begin", "reason": REASON, "typed": "lab"}).status_code == 302
    built(Export.objects.in_tenant(lab).get(is_final=True))
    assert "Propose closing" in client.get(page).content.decode()
    client.post(page, {"step": "propose", "reason": REASON, "typed": "lab"})
    assert "Close permanently" not in client.get(page).content.decode()
    client.force_login(operator)
    assert "Close permanently" in client.get(page).content.decode()
    client.post(page, {"step": "confirm", "typed": "lab"})
    lab.refresh_from_db()
    assert lab.status == "closed"
    assert client.post(page, {"step": "begin", "reason": REASON, "typed": "lab"}).status_code == 409


def test_a_proposal_says_why(export, lab, owner):
    with pytest.raises(ValidationError, match="Give a reason"):
        propose_closing(lab.pk, export_id=export.pk, reason=" ", by=owner)
