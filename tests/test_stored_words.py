"""What an action stores is in English, whatever language its actor chose: others read it, perhaps years later."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, gettext_lazy, override

import audit
from audit.models import AuditEntry
from billing.models import Price
from billing.prices import hour_of, publish_prices
from billing.suspended import stop_cost_reports
from catalog.actions import raise_access_request
from catalog.actions.facts import facts_now, renew_facts
from catalog.models import CatalogImport, Grant, Offer, Review
from catalog.models.tracks import Track
from core.secrets import new_key_secret
from core.stored_words import in_english, retold
from deployments.models import EgressPolicy, Provider, ProviderModel
from deployments.provider_audit import shown
from exports.models import Export
from privacy.audit_files import let_audit_files_go
from tenants.actions import change_role, create_service_account, disable_service_account, set_project_role
from tenants.models import (
    ApiKey,
    ConfigRevision,
    EmergencyAccess,
    Invitation,
    Membership,
    ProjectRole,
    TenantClosing,
)
from tests.core.test_retold import reads_chinese
from tests.factories import AccessRequestFactory, ApiKeyFactory, CatalogModelFactory, ProjectFactory, staff


@pytest.fixture(autouse=True)
def chinese(db):
    """Everybody speaks Chinese, and it is translated."""
    with override("zh-hans"):
        assert gettext("Language") != "Language"
        yield


def why_suspended(key):
    reason = ApiKey.objects.across_tenants().get(pk=key.pk).suspended_reason
    entries = AuditEntry.objects.across_tenants().filter(verb="access.suspended")
    assert reason.isascii()
    assert entries.latest("pk").reason.isascii()
    return reason


def test_why_a_key_is_suspended_when_its_owners_role_changes(lab, project, owner, developer):
    key = ApiKeyFactory(tenant=lab, project=project, owner=developer)
    change_role(Membership.objects.in_tenant(lab).get(user=developer).pk, "viewer", by=owner)
    assert why_suspended(key) == f"Their role in {lab} is viewer now."
    assert reads_chinese(f"Their role in {lab} is viewer now.", lab)


def test_why_a_key_is_suspended_when_a_project_role_changes(lab, project, owner, developer):
    key = ApiKeyFactory(tenant=lab, project=project, owner=developer)
    member = Membership.objects.in_tenant(lab).get(user=developer)
    set_project_role(project.pk, member.pk, "viewer", by=owner)
    assert why_suspended(key) == f"Their role in {project} is viewer now."


def test_why_a_service_accounts_key_is_suspended(lab, project, owner):
    account = create_service_account(lab, by=owner, name="Nightly", role="developer")
    key = ApiKeyFactory(tenant=lab, project=project, owner=account)
    disable_service_account(Membership.objects.in_tenant(lab).get(user=account).pk, by=owner)
    assert why_suspended(key) == "The service account is disabled."
    assert reads_chinese(why_suspended(key))


def test_why_the_reviews_of_a_request_are_needed(project, developer):
    prices = {"input": Decimal(2), "output": Decimal(8)}
    model = CatalogModelFactory(name="gpt-4.1")
    publish_prices(
        model.name,
        prices,
        valid_from=hour_of(dt.datetime.now(dt.UTC)) - dt.timedelta(hours=1),
        reason="t",
        by=None,
    )
    asked = raise_access_request(
        project, model.name, purpose="a try", expected_tokens_per_day=10, data_class="internal", by=developer
    )
    model.risk_tier = "high"
    model.save()
    asked.refresh_from_db()
    renew_facts(asked, facts_now(asked), by=staff("security-reviewer"), occasion="facts_changed")
    reasons = list(Review.objects.across_tenants().values_list("reason", flat=True))
    assert len(reasons) == 2
    assert all(map(str.isascii, reasons)), reasons
    assert all(map(reads_chinese, reasons)), list(map(retold, reasons))
    said = [one for row in asked.evaluations.all() for one in row.result["reviews"]]
    assert len(said) == 3
    assert all(one["reason"].isascii() for one in said)


def test_what_the_audit_log_says_of_translated_things():
    person = staff("security-reviewer")
    role = person.staff_role_assignments.get()
    entry = audit.record("role.looked_at", actor=None, subject=role, what=gettext_lazy("Language"))
    assert (entry.subject_label.isascii(), entry.details) == (True, {"what": "Language"})
    assert shown("private_ca", "a certificate") == "set"


def test_what_objects_were_called_is_said_in_the_language_of_the_reader(lab, owner):
    project = ProjectFactory(tenant=lab, name="Letters")
    model = CatalogModelFactory(name="m-1", title="Model One")
    role = staff("security-reviewer").staff_role_assignments.get()
    asked = AccessRequestFactory(tenant=lab, project=project, model=model)
    objects = [
        role,
        owner.memberships.get(),
        ProjectRole(membership=owner.memberships.get(), project=project, role="viewer"),
        Invitation(tenant=lab, email="kim@lab.example", role="developer"),
        TenantClosing(tenant=lab),
        EmergencyAccess(tenant=lab, opened_by=role.user),
        ConfigRevision(number=7),
        asked,
        Review(access_request=asked, track=Track(code="cost", name="Cost")),
        Grant(tenant=lab, project=project, model=model),
        Offer(source_key="m-1", provider="acme"),
        CatalogImport(source="litellm", file_name="prices.json"),
        ProviderModel(name="m-1", provider=Provider(title="Acme")),
        Price(per_million=Decimal("0.25"), currency="USD"),
        EgressPolicy(),
    ]
    for one in objects:
        with in_english():
            stored = str(one)
        entry = AuditEntry(subject_type=one._meta.label_lower, subject_label=stored)
        assert stored.isascii(), stored
        assert not str(one).isascii(), one
        assert entry.subject_in_words == str(one)
        with in_english():
            assert entry.subject_in_words == stored


def test_names_are_never_taken_for_our_words(lab):
    entry = AuditEntry(subject_type="tenants.tenant", subject_label="Ada is owner of Lab")
    assert entry.subject_in_words == "Ada is owner of Lab"
    entry = AuditEntry(subject_type="tenants.membership", subject_label="of a former release")
    assert entry.subject_in_words == "of a former release"


def test_a_name_may_have_words_of_the_sentence_around_it():
    for model, stored, said in (
        ("tenants.membership", "Ada is owner of Bank of Aurora", ("Ada", "Bank of Aurora", "所有者")),
        ("tenants.membership", "Ada is viewer of it is owner of Lab", None),
        ("tenants.membership", "Ada is captain of Bank of Aurora", None),
        ("catalog.accessrequest", "Search for staff for Letters", None),
        ("catalog.review", "Cost review of Search for staff for Letters", ("Search for staff for Letters",)),
    ):
        words = AuditEntry(subject_type=model, subject_label=stored).subject_in_words
        if said is None:
            assert words == stored
        else:
            assert words != stored
            assert all(name in words for name in said), words


def test_its_refusal_is_for_whoever_acts(lab):
    with pytest.raises(ValidationError) as refused:
        audit.record("tenant.looked_at", actor=None, subject=lab, what=new_key_secret())
    assert not refused.value.messages[0].isascii()


@pytest.mark.parametrize("kind", ["costs", "audit_csv"])
def test_why_a_file_is_not_built(lab, owner, kind):
    today = dt.date(2026, 11, 1)
    row = Export.objects.create(tenant=lab, kind=kind, start_day=today, end_day=today, requested_by=owner)
    if kind == "costs":
        stop_cost_reports(None, tenant=lab)
    else:
        let_audit_files_go(None)
    row = Export.objects.across_tenants().get(pk=row.pk)
    assert (row.state, row.error.isascii()) == ("failed", True)
    assert "Order it again" in row.error
    assert reads_chinese(row.error, lab)
