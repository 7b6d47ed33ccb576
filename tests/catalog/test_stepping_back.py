"""A reviewer steps back from a request, for good: nobody decides it by their right, and the others are told."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils.timezone import now, timedelta
from guardian.shortcuts import assign_perm, remove_perm

from accounts.models import OutboxMessage, User
from audit.models import AuditEntry
from catalog.actions import decide_review, withdraw_access_request
from catalog.actions.delegations import delegate_reviews
from catalog.actions.recusals import step_back
from catalog.models import Review, ReviewDecision, ReviewRecusal, ReviewScope, Track
from catalog.out_of_reach import why_out_of_reach
from catalog.review_queue import waiting_for
from catalog.review_scopes import DECIDE, delegation_for
from core.errors import Conflict
from tests.factories import staff

pytestmark = pytest.mark.django_db
WHY = "I own shares of the maker."


@pytest.fixture
def track():
    """Its scope for everything belongs to nobody by role."""
    remove_perm(
        DECIDE,
        Group.objects.get(name="security-reviewer"),
        ReviewScope.objects.get(track__code="security"),
    )
    return Track.objects.get(code="security")


@pytest.fixture
def reviewer(track):
    def make(name):
        person = staff("security-reviewer", name=name)
        assign_perm(DECIDE, person, ReviewScope.objects.get(track=track))
        return person

    return make


@pytest.fixture
def mara(reviewer):
    return reviewer("Mara")


@pytest.fixture
def review(ask, review_of):
    return review_of(ask())


def waits_for(person, review):
    person = User.objects.get(pk=person.pk)
    return waiting_for(person, Review.objects.visible_to(person)).filter(pk=review.pk).exists()


def insert_decision(review, person):
    with transaction.atomic():
        return ReviewDecision.objects.create(
            tenant=review.tenant, review=review, reviewer=person, verdict="approve", round=review.round
        )


def test_who_stepped_back_decides_nothing_of_the_request(mara, reviewer, review):
    other = reviewer("Otto")
    before = OutboxMessage.objects.filter(user=other).count()
    step_back(review.pk, reason=WHY, by=mara)
    assert not waits_for(mara, review)
    assert waits_for(other, review)
    assert OutboxMessage.objects.filter(user=other).count() > before
    with pytest.raises(PermissionDenied, match="You stepped back"):
        decide_review(review.pk, by=mara, verdict="approve")
    with pytest.raises(DatabaseError, match="stepped back"):
        insert_decision(review, mara)
    User.objects.filter(pk=mara.pk).update(is_superuser=True)
    with pytest.raises(DatabaseError, match="stepped back"):
        insert_decision(review, mara)
    assert decide_review(review.pk, by=other, verdict="approve").state == "approved"


def test_of_other_requests_they_decide(mara, review, ask, review_of, priced_model, project):
    step_back(review.pk, reason=WHY, by=mara)
    withdraw_access_request(review.access_request_id, by=review.access_request.requested_by)
    assert decide_review(review_of(ask()).pk, by=mara, verdict="approve").state == "approved"


def test_nobody_decides_in_their_place(mara, reviewer, review, track):
    tomas = staff("security-reviewer", name="Tomas")
    delegate_reviews(track.pk, email=tomas.email, ends_at=now() + timedelta(days=3), by=mara)
    assert waits_for(tomas, review)
    step_back(review.pk, reason=WHY, by=mara)
    assert (waits_for(tomas, review), delegation_for(tomas, review)) == (False, None)
    with pytest.raises(PermissionDenied, match="none of your review scopes"):
        decide_review(review.pk, by=User.objects.get(pk=tomas.pk), verdict="approve")
    with pytest.raises(DatabaseError, match="in the place of who stepped back"):
        insert_decision(review, tomas)
    # Another reviewer's place is free.
    other = reviewer("Otto")
    delegate_reviews(track.pk, email=tomas.email, ends_at=now() + timedelta(days=3), by=other)
    made = insert_decision(review, tomas)
    made.refresh_from_db()
    assert made.delegation.giver == other


def test_what_they_had_approved_is_asked_again(mara, reviewer, review, track):
    Review.objects.across_tenants().filter(pk=review.pk).update(quorum=2)
    review.refresh_from_db()
    decide_review(review.pk, by=mara, verdict="approve")
    with pytest.raises(DatabaseError, match="leaves no approval"), transaction.atomic():
        ReviewRecusal.objects.create(
            tenant=review.tenant, access_request=review.access_request, person=mara, reason=WHY
        )
    step_back(review.pk, reason=WHY, by=mara)
    review.refresh_from_db()
    assert (review.round, review.state) == (2, "pending")
    assert "stepped back" in review.reason
    decide_review(review.pk, by=reviewer("Otto"), verdict="approve")
    assert decide_review(review.pk, by=reviewer("Olga"), verdict="approve").state == "approved"


def test_it_is_said_where_too_few_are_left(client, mara, reviewer, review):
    other = reviewer("Otto")
    asked = review.access_request
    assert why_out_of_reach(review, asked) == ""
    step_back(review.pk, reason=WHY, by=mara)
    assert why_out_of_reach(review, asked) == ""
    step_back(review.pk, reason="My sister asked.", by=other)
    assert "people left who may decide it: 0" in why_out_of_reach(review, asked)
    client.force_login(mara)
    page = client.get(reverse("admin:catalog_review_change", args=[review.pk])).content.decode()
    assert "can no longer be approved" in page
    assert "Otto stepped back: My sister asked." in page
    reviewer("Olga")
    assert why_out_of_reach(review, asked) == ""


def test_who_may_step_back_and_when(mara, review, developer):
    with pytest.raises(PermissionDenied, match="none of your review scopes"):
        step_back(review.pk, reason=WHY, by=staff("security-reviewer"))
    with pytest.raises(ValidationError, match="why you step back"):
        step_back(review.pk, reason=" ", by=mara)
    step_back(review.pk, reason=WHY, by=mara)
    entry = AuditEntry.objects.across_tenants().get(verb="review.stepped_back")
    assert (entry.actor, entry.reason or entry.details.get("reason")) == (mara, WHY)
    with pytest.raises(Conflict, match="already"):
        step_back(review.pk, reason=WHY, by=mara)
    withdraw_access_request(review.access_request_id, by=developer)
    with pytest.raises(Conflict, match="withdrawn"):
        step_back(review.pk, reason=WHY, by=mara)


@pytest.mark.as_owner
@pytest.mark.parametrize(
    "statement", ["UPDATE catalog_reviewrecusal SET reason = 'x'", "DELETE FROM catalog_reviewrecusal"]
)
def test_a_recusal_stays(mara, review, statement):
    step_back(review.pk, reason=WHY, by=mara)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_by_page_and_by_api(client, mara, reviewer, review):
    other = reviewer("Otto")
    client.force_login(mara)
    page = client.get(reverse("admin:catalog_review_change", args=[review.pk])).content.decode()
    address = reverse("admin:catalog_review_step_back", args=[review.pk])
    assert f'href="{address}"' in page
    assert client.post(address, {"_form_submitted": "1", "reason": WHY}).status_code == 302
    page = client.get(reverse("admin:catalog_review_change", args=[review.pk])).content.decode()
    assert "You stepped back from this request" in page
    assert f'href="{address}"' not in page
    client.force_login(other)
    api = f"/api/v1/access-requests/{review.access_request_id}/step-back/"
    said = {"track": "security", "reason": "The same."}
    assert client.post(api, said, content_type="application/json").status_code == 200
    assert ReviewRecusal.objects.across_tenants().filter(person=other).exists()
    answer = client.post(api, said, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "already_stepped_back")
