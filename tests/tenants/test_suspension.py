"""A suspended tenant: its keys and actions stop, its data stays, and everybody is told why."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from audit.models import AuditEntry
from billing.cost_reports import ask_for_cost_report
from catalog.actions import decide_review, raise_access_request, withdraw_access_request
from catalog.models import Review
from core.errors import Conflict
from privacy.audit_files import ask_for_audit_file
from tenants.actions import (
    claim_api_key,
    create_project,
    resume_tenant,
    revoke_api_key,
    set_limits,
    suspend_tenant,
)
from tenants.models import ApiKey, Tenant
from tenants.revision import current_revision
from tenants.signals import impact_of
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory, CatalogModelFactory, TenantFactory, staff

REASON = "Unpaid since March"


@pytest.fixture
def suspended(lab, operator):
    return suspend_tenant(lab.pk, by=operator, reason=REASON)


def is_usable(key):
    return ApiKey.objects.across_tenants().usable().filter(pk=key.pk).exists()


def test_its_keys_stop_and_come_back_like_a_revocation(lab, project, operator):
    key = ApiKeyFactory(tenant=lab, project=project)
    before = current_revision()
    suspend_tenant(lab.pk, by=operator, reason=REASON)
    assert not is_usable(key)
    assert current_revision() == before + 1
    resume_tenant(lab.pk, by=operator)
    assert is_usable(key)
    assert current_revision() == before + 2


@pytest.fixture
def actions(lab, project, developer, owner, finance):
    """What people do in the lab, by name; each would succeed while it is active."""
    model = CatalogModelFactory()
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    asked = raise_access_request(
        project, CatalogModelFactory().name, by=developer, purpose="Letters.", expected_tokens_per_day=9
    )
    review = Review.objects.in_tenant(lab).filter(access_request=asked, track="security").get()
    return {
        "ask for a model": lambda: raise_access_request(
            project, model.name, by=developer, purpose="Letters.", expected_tokens_per_day=9
        ),
        "approve": lambda: decide_review(review.pk, by=staff("security-reviewer"), verdict="approve"),
        "claim a key": lambda: claim_api_key(waiting.pk, by=developer),
        "change limits": lambda: set_limits(lab, {"concurrent_calls": Decimal(1)}, by=owner),
        "export costs": lambda: ask_for_cost_report(
            lab, by=finance, start_day=date(2026, 10, 1), end_day=date(2026, 10, 31)
        ),
        "create a project": lambda: create_project(lab, by=owner, slug="new", name="New"),
    }


ACTIONS = ["ask for a model", "approve", "claim a key", "change limits", "export costs", "create a project"]


@pytest.mark.parametrize("action", ACTIONS)
def test_no_action_is_done_for_a_suspended_tenant_and_all_are_afterwards(lab, operator, actions, action):
    suspend_tenant(lab.pk, by=operator, reason=REASON)
    with pytest.raises(Conflict, match=r"Lab is suspended: Unpaid since March\. Ask"):
        actions[action]()
    resume_tenant(lab.pk, by=operator)
    actions[action]()


def test_what_ends_something_is_still_done(lab, project, developer, operator):
    key = ApiKeyFactory(tenant=lab, project=project)
    asked = raise_access_request(
        project, CatalogModelFactory().name, by=developer, purpose="Letters.", expected_tokens_per_day=9
    )
    suspend_tenant(lab.pk, by=operator, reason=REASON)
    assert revoke_api_key(key.pk, by=developer).state == "revoked"
    assert withdraw_access_request(asked.pk, by=developer).state == "withdrawn"


def test_reports_that_are_being_built_stop(lab, finance, operator):
    export = ask_for_cost_report(lab, by=finance, start_day=date(2026, 10, 1), end_day=date(2026, 10, 31))
    suspend_tenant(lab.pk, by=operator, reason=REASON)
    export.refresh_from_db()
    assert (export.state, export.error.startswith("Stopped")) == ("failed", True)


def test_files_of_the_audit_log_go_on(lab, owner, operator):
    days = {"start_day": date(2026, 10, 1), "end_day": date(2026, 10, 31)}
    export = ask_for_audit_file(lab, kind="audit_csv", by=owner, **days)
    suspend_tenant(lab.pk, by=operator, reason=REASON)
    export.refresh_from_db()
    assert export.state == "queued"
    assert ask_for_audit_file(lab, kind="audit_csv", by=owner, **days)


def test_only_operators_suspend_with_a_reason_and_once(lab, owner, operator, stranger):
    with pytest.raises(PermissionDenied, match="suspend tenants"):
        suspend_tenant(lab.pk, by=owner, reason=REASON)
    with pytest.raises(Tenant.DoesNotExist):
        suspend_tenant(lab.pk, by=stranger, reason=REASON)
    with pytest.raises(ValidationError, match="Give a reason"):
        suspend_tenant(lab.pk, by=operator, reason="  ")
    suspend_tenant(lab.pk, by=operator, reason=REASON)
    with pytest.raises(Conflict, match="is suspended"):
        suspend_tenant(lab.pk, by=operator, reason=REASON)
    with pytest.raises(PermissionDenied):
        resume_tenant(lab.pk, by=owner)
    resume_tenant(lab.pk, by=operator)
    with pytest.raises(Conflict, match="not suspended"):
        resume_tenant(lab.pk, by=operator)
    lines = AuditEntry.objects.in_tenant(lab).filter(verb__in=["tenant.suspended", "tenant.resumed"])
    assert [line.actor for line in lines.order_by("pk")] == [operator, operator]


def test_the_reason_stands_while_it_lasts(lab, operator, suspended):
    assert (suspended.suspended_reason, suspended.suspended_at is None) == (REASON, False)
    resumed = resume_tenant(lab.pk, by=operator)
    assert (resumed.suspended_reason, resumed.suspended_at) == ("", None)


@pytest.mark.parametrize("page", ["", "models/", "requests/", "keys/", "cost/", "exports/", "settings/"])
def test_every_page_says_so_with_the_reason_and_whom_to_ask(
    client, lab, owner, operator, settings, page, suspended
):
    settings.SUPPORT_CONTACT = "platform@example.org"
    client.force_login(owner)
    said = client.get(f"/t/lab/{page}").content.decode()
    assert "Lab is suspended" in said
    assert REASON in said
    assert "platform@example.org" in said
    resume_tenant(lab.pk, by=operator)
    assert "is suspended" not in client.get(f"/t/lab/{page}").content.decode()


def test_its_data_can_be_read(client, lab, project, developer, suspended):
    key = ApiKeyFactory(tenant=lab, project=project, name="still-to-be-seen")
    client.force_login(developer)
    assert "still-to-be-seen" in client.get("/t/lab/keys/").content.decode()
    assert client.get(f"/api/v1/keys/{key.pk}/").json()["name"] == "still-to-be-seen"


def test_pages_and_api_answer_409(client, lab, project, developer, suspended):
    waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
    client.force_login(developer)
    page = client.post(f"/t/lab/keys/{waiting.pk}/claim/")
    assert page.status_code == 409
    assert REASON in page.content.decode()
    answer = client.post(f"/api/v1/keys/{waiting.pk}/claim/", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "tenant_not_active")
    assert REASON in answer.json()["detail"]


def test_what_is_at_stake_is_counted(lab, project, developer, owner):
    ApiKeyFactory(tenant=lab, project=project)
    ApiKeyFactory.claimable(tenant=lab, project=project)
    ApiKeyFactory(tenant=TenantFactory())
    raise_access_request(
        project, CatalogModelFactory().name, by=developer, purpose="Letters.", expected_tokens_per_day=9
    )
    counted = {str(stake.label): stake.value for stake in impact_of(lab)}
    assert counted == {
        "Active keys": 1,
        "Members": 2,
        "Calls in the last 24 hours": 0,
        "Reports in progress": 0,
        "Open requests": 1,
    }


def test_the_admin_shows_what_is_at_stake_before_it_suspends(client, lab, project, operator):
    ApiKeyFactory(tenant=lab, project=project)
    client.force_login(operator)
    dialog = client.get(f"/admin/tenants/tenant/{lab.pk}/suspend/").content.decode()
    assert "Active keys" in dialog
    client.post(f"/admin/tenants/tenant/{lab.pk}/suspend/", {"reason": REASON, "_form_submitted": "True"})
    lab.refresh_from_db()
    assert (lab.status, lab.suspended_reason) == ("suspended", REASON)
    client.post(f"/admin/tenants/tenant/{lab.pk}/resume/", {"_form_submitted": "True"})
    lab.refresh_from_db()
    assert lab.status == "active"


def test_operators_suspend_over_the_api(client, lab, owner, operator):
    client.force_login(owner)
    assert client.post("/api/v1/tenants/lab/suspend/", {"reason": REASON}).status_code == 403
    client.force_login(operator)
    assert client.post("/api/v1/tenants/lab/suspend/", {}, "application/json").status_code == 400
    answer = client.post("/api/v1/tenants/lab/suspend/", {"reason": REASON}, "application/json")
    assert (answer.status_code, answer.json()["status"]) == (200, "suspended")
    assert client.post("/api/v1/tenants/lab/suspend/", {}, "application/json").status_code == 409
    assert client.post("/api/v1/tenants/lab/resume/", {}, "application/json").json()["status"] == "active"


@pytest.mark.django_db(transaction=True)
def test_a_claim_and_a_suspension_at_once_leave_no_key_open(lab, project, developer, operator):
    """Either the claim was first and its key stops with the others, or it finds the tenant suspended."""
    for _round in range(5):
        waiting = ApiKeyFactory.claimable(tenant=lab, project=project)
        claimed, rested = at_the_same_time(
            lambda pk=waiting.pk: claim_api_key(pk, by=developer),
            lambda: suspend_tenant(lab.pk, by=operator, reason=REASON),
        )
        assert isinstance(rested, Tenant), rested
        assert isinstance(claimed, Conflict | tuple), claimed
        assert not is_usable(waiting)
        resume_tenant(lab.pk, by=operator)


@pytest.mark.django_db(transaction=True)
def test_what_is_under_way_when_a_tenant_is_suspended_ends_before(lab, project, developer, operator):
    """No action is committed after the suspension: the audit log tells them in this order."""
    for number in range(5):
        at_the_same_time(
            lambda n=number: create_project(lab, by=None, slug=f"p{n}", name="P"),
            lambda: suspend_tenant(lab.pk, by=operator, reason=REASON),
        )
        verbs = AuditEntry.objects.in_tenant(lab).order_by("-at").values_list("verb", flat=True)
        assert verbs[0] == "tenant.suspended", list(verbs[:3])
        resume_tenant(lab.pk, by=operator)


@pytest.mark.django_db(transaction=True)
def test_two_operators_at_once_suspend_once(lab, operator):
    outcomes = at_the_same_time(
        lambda: suspend_tenant(lab.pk, by=operator, reason=REASON),
        lambda: suspend_tenant(lab.pk, by=operator, reason=REASON),
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Tenant"]
