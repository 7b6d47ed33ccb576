"""A grant is renewed before it ends: the same is requested again, and the rules decide."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils.timezone import now

from accounts.models import OutboxMessage
from audit.models import AuditEntry
from catalog.actions import decide_review, renew_grant, revoke_grant
from catalog.actions.renewals import changes_since
from catalog.grant_ends import tell_of_ends
from catalog.models import Grant
from core.errors import Conflict
from gateway.compile import compile_snapshot
from tenants.actions import claim_api_key
from tenants.models import ApiKey, Membership
from tests.catalog.granted import REVIEWERS, approved
from tests.factories import CatalogModelFactory, member_of, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant(ask):
    """A grant of a year that ends in 29 days."""
    (given,) = approved(ask(duration_days=365, limits={"requests_per_minute": 3}))
    age(given, timedelta(days=336))
    return given


def age(grant, by):
    """Let a grant have begun earlier. Its end comes earlier by the same time, which nobody forbids."""
    Grant.objects.across_tenants().filter(pk=grant.pk).update(
        valid_from=grant.valid_from - by, valid_until=grant.valid_until - by
    )
    grant.refresh_from_db()


def ends():
    return {model: end for key in compile_snapshot().keys for model, end in key.grant_ends.items()}


def told():
    messages = OutboxMessage.objects.filter(event="grant.ends", channel="mail").order_by("pk")
    return list(messages.values_list("user__email", flat=True))


def test_it_asks_for_the_same_and_the_new_grant_follows_without_a_gap(grant, developer, owner, lab):
    key, _secret = claim_api_key(ApiKey.objects.in_tenant(lab).get().pk, by=owner)
    ApiKey.objects.in_tenant(lab).filter(pk=key.pk).update(expires_at=grant.valid_until)
    earlier = grant.item
    renewal = renew_grant(grant.pk, by=developer)
    item = renewal.items.get()
    assert item.renews == grant
    assert (item.model, item.project, item.data_class, item.limits) == (
        earlier.model,
        earlier.project,
        earlier.data_class,
        earlier.limits,
    )
    assert (renewal.purpose, renewal.duration_days) == (earlier.access_request.purpose, 365)
    assert renewal.facts[str(item.pk)]["is_new_to_project"] is False

    if renewal.state != "approved":
        approved(renewal)
    new = Grant.objects.across_tenants().get(item=item)
    grant.refresh_from_db()
    assert (grant.state, grant.valid_until, new.owner) == ("ended", new.valid_from, developer)
    key.refresh_from_db()
    # The same key goes on, and there is no other.
    assert (new.item.key, key.expires_at) == (key, new.valid_until)
    assert ApiKey.objects.in_tenant(lab).count() == 1
    assert ends() == {"glm-4.6": int(new.valid_until.timestamp())}
    assert AuditEntry.objects.in_tenant(lab).filter(verb="grant.renewed", subject_id=str(grant.pk)).exists()
    # Nothing of the earlier grant comes back.
    revoke_grant(new.pk, by=owner, reason="Over.")
    assert ends() == {}


def test_a_colleague_renews_and_the_owner_stays_if_they_may(grant, developer, lab):
    colleague = member_of(lab, "developer")
    (new,) = approved_or_made(renew_grant(grant.pk, by=colleague))
    assert new.owner == developer


def test_the_colleague_becomes_the_owner_if_the_former_one_left(grant, developer, lab):
    colleague = member_of(lab, "developer")
    Membership.objects.in_tenant(lab).filter(user=developer).update(role="viewer")
    (new,) = approved_or_made(renew_grant(grant.pk, by=colleague))
    assert new.owner == colleague


def approved_or_made(renewal):
    items = renewal.items.all()
    if renewal.state == "approved":
        return list(Grant.objects.across_tenants().filter(item__in=items))
    return approved(renewal)


def test_it_waits_for_the_last_30_days_or_the_second_half(ask, developer):
    (long,) = approved(ask(duration_days=365))
    with pytest.raises(Conflict, match="can be renewed from"):
        renew_grant(long.pk, by=developer)
    other = CatalogModelFactory(name="bge-m3")
    (short,) = approved(ask(model=other.name, duration_days=10))
    age(short, timedelta(days=4))
    with pytest.raises(Conflict, match="can be renewed from"):
        renew_grant(short.pk, by=developer)
    age(short, timedelta(days=2))
    assert renew_grant(short.pk, by=developer).items.get().renews == short


def test_changed_facts_are_named_first(grant, developer):
    assert changes_since(grant) == ""
    grant.model.risk_tier = "high"
    grant.model.save()
    with pytest.raises(Conflict, match=r"risk tier was .* and is now high.* Look at the changes"):
        renew_grant(grant.pk, by=developer)
    renewal = renew_grant(grant.pk, by=developer, accepts_changes=True)
    assert "compliance" in set(renewal.reviews.values_list("track", flat=True))


def test_not_twice_not_by_others_and_not_once_it_is_over(grant, developer, finance, stranger):
    with pytest.raises(Grant.DoesNotExist):
        renew_grant(grant.pk, by=stranger)
    with pytest.raises(PermissionDenied):
        renew_grant(grant.pk, by=finance)
    renewal = renew_grant(grant.pk, by=developer)
    with pytest.raises(Conflict):
        renew_grant(grant.pk, by=developer)
    if renewal.state != "approved":
        revoke_grant(grant.pk, by=developer, reason="Over.")
        with pytest.raises(Conflict, match="already revoked"):
            renew_grant(grant.pk, by=developer)


def test_the_database_takes_no_renewal_of_another_grant(ask, grant, developer):
    other = CatalogModelFactory(name="bge-m3")
    item = ask(model=other.name).items.get()
    with (
        pytest.raises(DatabaseError, match="renewal is of a grant"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE catalog_requestitem SET renews_id = %s WHERE id = %s", [grant.pk, item.pk])


def test_a_revoked_grant_does_not_come_back_by_its_renewal(grant, developer):
    grant.model.risk_tier = "high"
    grant.model.save()
    renewal = renew_grant(grant.pk, by=developer, accepts_changes=True)
    revoke_grant(grant.pk, by=developer, reason="Leaked.")
    with pytest.raises(Conflict, match="renews was revoked") as refusal:
        approved(renewal)
    assert refusal.value.code == "renewed_grant_revoked"
    assert not Grant.objects.across_tenants().filter(item__access_request=renewal).exists()
    review = renewal.reviews.filter(state="pending").first()
    decide_review(review.pk, by=staff(REVIEWERS[review.track_id]), verdict="reject", comment="Revoked.")
    renewal.refresh_from_db()
    assert renewal.state == "rejected"


def test_the_owner_is_told_once_when_it_can_be_renewed(ask, grant, developer, lab):
    other = CatalogModelFactory(name="bge-m3")
    approved(ask(model=other.name, duration_days=365))
    assert (tell_of_ends(), tell_of_ends(), told()) == (1, 0, [developer.email])


def test_one_click_renews_from_its_page(client, grant, developer):
    client.force_login(developer)
    shown = client.get(reverse("grant-detail", args=["lab", grant.pk]))
    assert (shown.context["can_renew"], shown.context["changes"]) == (True, "")
    assert client.post(reverse("grant-renew", args=["lab", grant.pk])).status_code == 302
    assert grant.renewals.count() == 1
    after = client.get(reverse("grant-detail", args=["lab", grant.pk]))
    assert after.context["renewal"] == grant.renewals.get().access_request


def test_changes_are_shown_and_sent_back_with_the_form(client, grant, developer):
    client.force_login(developer)
    grant.model.risk_tier = "high"
    grant.model.save()
    url = reverse("grant-renew", args=["lab", grant.pk])
    assert client.post(url).status_code == 409
    page = client.get(url)
    assert "risk tier" in page.context["changes"]
    assert client.post(url, {"accepts_changes": "on"}).status_code == 302


def test_the_api_says_what_has_changed(client, grant, developer):
    client.force_login(developer)
    grant.model.risk_tier = "high"
    grant.model.save()
    path = f"/api/v1/grants/{grant.pk}/renew/"
    refused = client.post(path, {}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "facts_changed")
    made = client.post(path, {"accepts_changes": True}, content_type="application/json")
    assert (made.status_code, made.json()["state"]) == (201, "pending")


def test_a_grant_ends_at_gateways_by_itself(grant, owner, lab):
    claim_api_key(ApiKey.objects.in_tenant(lab).get().pk, by=owner)
    assert ends() == {"glm-4.6": int(grant.valid_until.timestamp())}
    age(grant, timedelta(days=30))
    assert (grant.valid_until < now(), ends()) == (True, {})
