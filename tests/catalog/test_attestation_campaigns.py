"""Operators start a campaign, owners confirm or drop each grant, and the silent ones lapse after two reminders."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils.timezone import now

from accounts.models import OutboxMessage
from audit.models import AuditEntry
from catalog import campaigns
from catalog.actions.campaigns import answer_attestation, answer_many, cancel_campaign, start_campaign
from catalog.models import Attestation, AttestationCampaign, Grant
from core.errors import Conflict
from gateway.compile import compile_snapshot
from tenants.actions import claim_api_key
from tests.catalog.granted import approved
from tests.factories import CatalogModelFactory, member_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant(ask):
    (given,) = approved(ask())
    return given


@pytest.fixture
def other_grant(ask):
    model = CatalogModelFactory(name="bge-m3", title="BGE M3", risk_tier="high")
    (given,) = approved(ask(model=model.name))
    return given


@pytest.fixture
def start(operator):
    """Start a campaign of 12 days and let it open."""

    def start(**scope):
        campaign = start_campaign(name="Autumn", closes_at=now() + timedelta(days=12), by=operator, **scope)
        campaigns.go_on()
        return fresh(campaign)

    return start


def fresh(row):
    return type(row)._base_manager.get(pk=row.pk)


def pass_time(campaign, days):
    """Let a campaign be so many days older than it is."""
    by = timedelta(days=days)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE catalog_attestationcampaign SET created_at = created_at - %s, opened_at = opened_at - %s, "
            "reminded_at = reminded_at - %s, closes_at = closes_at - %s WHERE id = %s",
            [by, by, by, by, campaign.pk],
        )
        cursor.execute("SET session_replication_role = origin")
    campaigns.go_on()
    return fresh(campaign)


def told(event):
    messages = OutboxMessage.objects.filter(event=f"attestation_campaign.{event}", channel="inbox")
    return sorted(messages.values_list("user__email", flat=True))


def callable_models():
    return {name for key in compile_snapshot().keys for name in key.models}


def of(grant):
    return Attestation.objects.across_tenants().get(grant=grant)


def counts(campaign):
    return campaign.total, campaign.confirmed, campaign.dropped, campaign.lapsed, campaign.over


def test_each_grant_of_the_scope_is_asked_about_once(start, grant, other_grant, developer, lab):
    campaign = start()
    assert (campaign.state, counts(campaign)) == ("open", (2, 0, 0, 0, 0))
    assert told("opened") == [developer.email]
    campaigns.go_on()
    assert fresh(campaign).total == 2
    assert [one.total for one in (start(model=grant.model), start(tenant=lab), start(risk_tier="high"))] == [
        1,
        2,
        1,
    ]


def test_it_is_prepared_in_batches_that_may_repeat(start, grant, other_grant, operator, monkeypatch):
    monkeypatch.setattr(campaigns, "PREPARED_AT_ONCE", 1)
    campaign = start_campaign(name="Autumn", closes_at=now() + timedelta(days=12), by=operator)
    assert campaigns.go_on(seconds=-1) is True
    assert (fresh(campaign).state, fresh(campaign).total) == ("preparing", 1)
    campaigns.go_on()
    assert (fresh(campaign).state, fresh(campaign).total) == ("open", 2)


def test_confirming_keeps_a_grant_and_dropping_revokes_it(start, grant, other_grant, developer):
    campaign = start()
    answer_attestation(of(grant).pk, by=developer, answer="confirmed")
    answer_attestation(of(other_grant).pk, by=developer, answer="dropped")
    assert counts(fresh(campaign)) == (2, 1, 1, 0, 0)
    assert (fresh(grant).state, fresh(other_grant).state) == ("in_force", "revoked")
    with pytest.raises(Conflict, match="already answered"):
        answer_attestation(of(grant).pk, by=developer, answer="dropped")
    verbs = AuditEntry.objects.in_tenant(grant.tenant).filter(subject_type="catalog.grant")
    assert {"grant.confirmed", "grant.dropped"} <= set(verbs.values_list("verb", flat=True))


@pytest.mark.as_owner
def test_the_silent_ones_lapse_after_two_reminders(start, grant, other_grant, developer):
    claim_api_key(other_grant.item.key_id, by=developer)
    campaign = start()
    assert callable_models() == {"bge-m3"}
    answer_attestation(of(grant).pk, by=developer, answer="confirmed")
    campaign = pass_time(campaign, 5)
    assert (campaign.reminders, told("reminded")) == (0, [])
    campaign = pass_time(campaign, 2)
    assert (campaign.reminders, told("reminded")) == (1, [developer.email])
    campaign = pass_time(campaign, 4)
    assert (campaign.reminders, len(told("reminded"))) == (2, 2)
    campaign = pass_time(campaign, 2)
    assert (campaign.state, counts(campaign)) == ("closed", (2, 1, 0, 1, 0))
    assert (fresh(grant).state, fresh(other_grant).state) == ("in_force", "revoked")
    assert "Nobody confirmed" in fresh(other_grant).revoked_reason
    assert told("lapsed") == [developer.email]
    assert callable_models() == set()


@pytest.mark.as_owner
def test_nothing_lapses_without_a_day_after_the_second_reminder(start, grant):
    """The clock was away until after the end: both reminders are sent first."""
    campaign = pass_time(start(), 13)
    assert (campaign.state, campaign.reminders, fresh(grant).state) == ("open", 1, "in_force")
    campaigns.go_on()
    campaign = fresh(campaign)
    assert (campaign.state, campaign.reminders, fresh(grant).state) == ("open", 2, "in_force")
    campaign = pass_time(campaign, 2)
    assert (campaign.state, fresh(grant).state) == ("closed", "revoked")


@pytest.mark.as_owner
def test_what_ended_otherwise_is_no_lapse(start, grant, other_grant):
    campaign = start()
    Grant.objects.across_tenants().filter(pk=grant.pk).update(revoked_at=now())
    for days in (7, 4, 3):
        campaign = pass_time(campaign, days)
    assert (campaign.state, counts(campaign)) == ("closed", (2, 0, 0, 1, 1))


def test_others_do_not_answer_and_managers_do(
    start, grant, developer, finance, stranger, owner, operator, lab
):
    start()
    attestation = of(grant)
    with pytest.raises(Attestation.DoesNotExist):
        answer_attestation(attestation.pk, by=stranger, answer="confirmed")
    for person in (finance, operator, member_of(lab, "developer")):
        with pytest.raises(PermissionDenied):
            answer_attestation(attestation.pk, by=person, answer="confirmed")
    assert answer_attestation(attestation.pk, by=owner, answer="confirmed").answered_by == owner
    assert fresh(grant).owner == developer


def test_whoever_confirms_what_nobody_answers_for_takes_it_over(start, grant, lab):
    Grant.objects.across_tenants().filter(pk=grant.pk).update(suspended_at=now())
    start()
    colleague = member_of(lab, "developer")
    answer_attestation(of(grant).pk, by=colleague, answer="confirmed")
    assert (fresh(grant).owner, fresh(grant).state) == (colleague, "in_force")


def test_many_are_answered_each_by_itself(start, grant, other_grant, developer, stranger):
    start()
    answer_attestation(of(grant).pk, by=developer, answer="confirmed")
    rows = [of(grant).pk, of(other_grant).pk]
    problems = answer_many(rows, person=developer, answer="confirmed")
    assert list(problems) == [of(grant).pk]
    assert of(other_grant).answer == "confirmed"
    assert set(answer_many(rows, person=stranger, answer="confirmed")) == set(rows)


def test_operators_alone_start_with_time_for_answers(operator, owner, developer):
    in_time = now() + timedelta(days=30)
    for person in (owner, developer):
        with pytest.raises(PermissionDenied):
            start_campaign(name="Autumn", closes_at=in_time, by=person)
    for closes_at in (now() + timedelta(days=6), now() + timedelta(days=181)):
        with pytest.raises(ValidationError, match="7 to 180 days"):
            start_campaign(name="Autumn", closes_at=closes_at, by=operator)


@pytest.mark.as_owner
def test_a_cancelled_campaign_asks_and_ends_nothing(start, grant, developer, operator):
    campaign = start()
    cancel_campaign(campaign.pk, by=operator, reason="The wrong scope.")
    with pytest.raises(Conflict, match="not open"):
        answer_attestation(of(grant).pk, by=developer, answer="dropped")
    with pytest.raises(Conflict, match="over"):
        cancel_campaign(campaign.pk, by=operator)
    assert (pass_time(campaign, 30).state, fresh(grant).state) == ("cancelled", "in_force")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (
            "UPDATE catalog_attestation SET answer = 'lapsed', answered_at = now()",
            "lapses after two reminders",
        ),
        ("UPDATE catalog_attestation SET grant_id = gen_random_uuid()", "answered once"),
        ("DELETE FROM catalog_attestation", "catalog_attestation"),
        ("UPDATE catalog_attestationcampaign SET state = 'closed'", "closes once nothing waits"),
        ("UPDATE catalog_attestationcampaign SET closes_at = now() + interval '1 hour'", "keeps its scope"),
        ("UPDATE catalog_attestationcampaign SET reminders = 2", "keeps its scope"),
        ("DELETE FROM catalog_attestationcampaign", "catalog_attestationcampaign"),
    ],
)
def test_the_database_keeps_campaigns_and_answers(start, grant, statement, why):
    start()
    with (
        pytest.raises(DatabaseError, match=why),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_owners_answer_several_on_one_page(client, start, grant, other_grant, developer, lab, finance):
    start()
    url = reverse("attestation-list", args=["lab"])
    client.force_login(developer)
    assert [row["it"].grant for row in client.get(url).context["rows"]] == [grant, other_grant]
    assert client.post(url, {"answer": "confirmed"}).status_code == 400
    chosen = [str(of(one).pk) for one in (grant, other_grant)]
    assert client.post(url, {"answer": "confirmed", "chosen": chosen}).status_code == 302
    assert client.get(url).context["rows"] == []
    assert client.post(url, {"answer": "dropped", "chosen": chosen}).status_code == 409
    client.force_login(finance)
    assert client.post(url, {"answer": "dropped", "chosen": chosen}).status_code == 403


def test_the_api_lists_and_answers(client, start, grant, developer):
    start()
    client.force_login(developer)
    query = {"answer": "pending", "owner": developer.email}
    (found,) = client.get("/api/v1/attestations/", query).json()["results"]
    assert (found["model"], found["campaign"]["name"], found["answer"]) == ("glm-4.6", "Autumn", "pending")
    path = f"/api/v1/attestations/{found['id']}/answer/"
    said = client.post(path, {"answer": "dropped"}, content_type="application/json")
    assert (said.status_code, said.json()["answer"], fresh(grant).state) == (200, "dropped", "revoked")


def test_operators_start_it_and_see_its_progress(client, grant, operator, lab):
    client.force_login(operator)
    day = (now() + timedelta(days=20)).date().isoformat()
    sent = {
        "_form_submitted": "1",
        "name": "Autumn",
        "tenant": "lab",
        "last_day": day,
        "model": "",
        "risk_tier": "",
    }
    assert client.post(reverse("admin:catalog_attestationcampaign_start"), sent).status_code == 302
    campaign = AttestationCampaign.objects.get()
    assert (campaign.only_tenant, campaign.created_by) == (lab, operator)
    campaigns.go_on()
    page = client.get(reverse("admin:catalog_attestationcampaign_changelist")).content.decode()
    assert "0 of 1 grant" in page
    rows = client.get(
        reverse("admin:catalog_attestation_changelist"), {"campaign__id__exact": str(campaign.pk)}
    )
    assert rows.status_code == 200
