"""A review that is late for as long as its track says is escalated once: people named for it decide it, too."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils.timezone import now
from guardian.shortcuts import remove_perm

from accounts.actions import end_staff_role
from accounts.models import OutboxMessage, User
from audit.models import AuditEntry
from catalog import tasks
from catalog.actions import decide_review
from catalog.actions.facts import ask_again
from catalog.actions.review_scopes import set_scope_person, set_scope_team
from catalog.actions.review_teams import add_review_team, set_team_member
from catalog.models import Review, ReviewDecision, ReviewScope, Track
from catalog.review_queue import waiting_for
from catalog.review_scopes import DECIDE
from tests.factories import staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def scope():
    """Its scope for everything belongs to nobody by role. Late reviews escalate after a working hour."""
    everything = ReviewScope.objects.get(track__code="security")
    remove_perm(DECIDE, Group.objects.get(name="security-reviewer"), everything)
    Track.objects.filter(code="security").update(escalates_after_hours=1)
    return everything


@pytest.fixture
def lea(scope, operator):
    """She decides late security reviews."""
    person = staff("security-reviewer", name="Lea")
    set_scope_person(scope.pk, email=person.email, decides=True, is_late=True, by=operator)
    return person


@pytest.fixture
def review(ask, review_of):
    return review_of(ask())


def make_late(review, days=7):
    Review.objects.across_tenants().filter(pk=review.pk).update(due_at=now() - timedelta(days=days))
    review.refresh_from_db()
    return review


def waits_for(person, review):
    person = User.objects.get(pk=person.pk)
    return waiting_for(person, Review.objects.visible_to(person)).filter(pk=review.pk).exists()


def insert_decision(review, person):
    with transaction.atomic():
        return ReviewDecision.objects.create(
            tenant=review.tenant, review=review, reviewer=person, verdict="approve", round=review.round
        )


def escalations():
    return AuditEntry.objects.across_tenants().filter(verb="review.escalated").count()


def test_a_late_review_is_escalated_once_and_those_named_decide_it(lea, review):
    tasks.escalate_late_reviews()
    review.refresh_from_db()
    assert review.escalated_at is None
    with pytest.raises(PermissionDenied, match="none of your review scopes"):
        decide_review(review.pk, by=lea, verdict="approve")
    with pytest.raises(DatabaseError, match="decides none here"):
        insert_decision(review, lea)
    make_late(review)
    assert not waits_for(lea, review)
    tasks.escalate_late_reviews()
    tasks.escalate_late_reviews()
    review.refresh_from_db()
    assert review.escalated_at is not None
    assert escalations() == 1
    told = OutboxMessage.objects.filter(user=lea, event="review.escalated", channel="inbox")
    assert told.count() == 1
    assert waits_for(lea, review)
    assert decide_review(review.pk, by=User.objects.get(pk=lea.pk), verdict="approve").state == "approved"


def test_after_the_step_in_working_hours_and_not_before(lea, review):
    hours = review.track.calendar.hours
    due = review.track.calendar.hours.after(now() - timedelta(days=10), timedelta(hours=1))
    worked = hours.between(due, now()) / timedelta(hours=1)
    Review.objects.across_tenants().filter(pk=review.pk).update(due_at=due)
    Track.objects.filter(code="security").update(escalates_after_hours=int(worked) + 1)
    tasks.escalate_late_reviews()
    assert escalations() == 0
    Track.objects.filter(code="security").update(escalates_after_hours=int(worked))
    tasks.escalate_late_reviews()
    assert escalations() == 1


@pytest.mark.parametrize("why", ["the track never escalates", "nobody is named"])
def test_otherwise_a_late_review_stays_as_it_is(lea, scope, operator, review, why):
    if why == "nobody is named":
        set_scope_person(scope.pk, email=lea.email, decides=False, is_late=True, by=operator)
    else:
        Track.objects.filter(code="security").update(escalates_after_hours=None)
    make_late(review)
    tasks.escalate_late_reviews()
    assert escalations() == 0


def test_asked_again_it_is_due_anew(lea, review):
    make_late(review)
    tasks.escalate_late_reviews()
    again = ask_again(
        Review.objects.across_tenants().select_related("track__calendar").get(pk=review.pk), "Why"
    )
    assert again.escalated_at is None
    assert not waits_for(lea, review)


def test_a_team_decides_late_ones_and_who_leaves_loses_the_right(scope, operator, review):
    tomas = staff("security-reviewer", name="Tomas")
    team = add_review_team(name="Night shift", by=operator)
    set_team_member(team.pk, email=tomas.email, belongs=True, by=operator)
    set_scope_team(scope.pk, team=team.pk, decides=True, is_late=True, by=operator)
    entry = AuditEntry.objects.across_tenants().filter(verb="review_scope.team_added").latest("at")
    assert entry.details["only_late"] is True
    make_late(review)
    tasks.escalate_late_reviews()
    assert waits_for(tomas, review)
    set_team_member(team.pk, email=tomas.email, belongs=False, by=operator)
    assert not waits_for(tomas, review)


def test_who_reviews_no_longer_decides_no_late_ones_either(lea, scope, operator):
    end_staff_role(lea, "security-reviewer", by=operator)
    lea = User.objects.get(pk=lea.pk)
    assert not lea.has_perm("catalog.decide_late_review", scope)


@pytest.mark.as_owner
def test_no_review_is_escalated_before_it_was_due_not_by_sql_either(lea, review):
    with pytest.raises(DatabaseError, match="after it was due"), transaction.atomic():
        Review.objects.across_tenants().filter(pk=review.pk).update(escalated_at=now())
    with pytest.raises(DatabaseError, match="after it was due"), transaction.atomic():
        Review.objects.across_tenants().filter(pk=review.pk).update(
            escalated_at=now(), due_at=now() - timedelta(days=9)
        )
    make_late(review)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_review SET escalated_at = '2020-01-01' WHERE id = %s", [review.pk])
    review.refresh_from_db()
    assert review.escalated_at > now() - timedelta(minutes=1)
    insert_decision(review, lea)


def test_pages_show_it(client, lea, review, scope, operator):
    make_late(review)
    tasks.escalate_late_reviews()
    client.force_login(lea)
    address = reverse("admin:catalog_review_changelist")
    assert "escalated" in client.get(address, {"queue": "escalated"}).content.decode()
    page = client.get(reverse("admin:catalog_review_change", args=[review.pk])).content.decode()
    assert "because it is late" in page
    client.force_login(operator)
    page = client.get(reverse("admin:catalog_reviewscope_change", args=[scope.pk])).content.decode()
    assert lea.email in page
