"""Whoever asks reads whom a review waits for and how long that usually takes; reviewers read it of their tracks."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection
from django.urls import reverse
from guardian.shortcuts import assign_perm
from hypothesis import given
from hypothesis import strategies as st

from catalog.actions.review_teams import add_review_team
from catalog.models import Review, ReviewScope, Track
from catalog.pace import Pace, paces_of
from catalog.review_scopes import DECIDE
from catalog.waiting import waits_of
from core.scope import tenant_scope
from core.working_hours import WorkingHours
from tests.factories import ReviewFactory, TenantFactory

pytestmark = pytest.mark.django_db
OFFICE = WorkingHours("Europe/Berlin", time(9), time(17), {1, 2, 3, 4, 5})
HOUR = timedelta(hours=1)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)), st.integers(1, 500))
def test_time_between_is_the_time_until_due(begins, hours):
    begins = begins.replace(tzinfo=UTC)
    due = OFFICE.after(begins, hours * HOUR)
    assert OFFICE.between(begins, due) == hours * HOUR
    assert OFFICE.between(due, begins) == timedelta()


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.4, "less than a working hour"),
        (1.2, "1 working hour"),
        (15.6, "16 working hours"),
        (17, "2 working days"),
    ],
)
def test_hours_up_to_two_days_then_days(hours, words):
    assert Pace(hours * HOUR, 9, 8 * HOUR).words == f"usually {words}"


@pytest.fixture
def decided():
    """Reviews of the security track that took so many working hours each, in tenants of their own."""

    def make(*hours, **columns):
        track = Track.objects.select_related("calendar").get(code="security")
        # On Thursday at nine, four weeks ago at most.
        begun = datetime.now(UTC) - timedelta(days=14)
        begun = track.calendar.hours.after(begun, timedelta(microseconds=1))
        rows = [ReviewFactory(track_id="security") for _each in hours]
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE catalog_review DISABLE TRIGGER USER")
            for row, took in zip(rows, hours, strict=True):
                ended = track.calendar.hours.after(begun, took * HOUR)
                said = {"state": "approved", "created_at": begun, "decided_at": ended} | columns
                Review.objects.across_tenants().filter(pk=row.pk).update(**said)
            cursor.execute("ALTER TABLE catalog_review ENABLE TRIGGER USER")

    return make


@pytest.mark.as_owner
def test_the_median_of_lately_decided_reviews_in_their_first_round(decided):
    decided(1, 2, 3, 30, 40)
    track = Track.objects.select_related("calendar").get(code="security")
    assert paces_of([track])["security"].hours == 3
    decided(90, 90, 90, 90, 90, round=2)
    decided(*[90] * 5, state="pending", decided_at=None)
    decided(*[90] * 5, decided_at=datetime.now(UTC) - timedelta(days=31))
    with tenant_scope(TenantFactory().pk):
        pace = paces_of([track])["security"]
    assert (pace.hours, pace.reviews) == (3, 5)


@pytest.mark.as_owner
def test_of_few_reviews_nothing_is_said(decided):
    decided(1, 2, 3, 4)
    assert paces_of(Track.objects.select_related("calendar")) == {}


@pytest.mark.as_owner
def test_pages_and_the_api_say_it(client, ask, decided, developer, security_reviewer, lab):
    decided(5, 5, 5, 5, 5)
    asked = ask()
    client.force_login(developer)
    page = client.get(reverse("request-detail", args=[lab.slug, asked.pk])).content.decode()
    assert "Waiting for security review, usually 5 working hours" in page
    form = reverse("request-preview", args=[lab.slug, asked.named_items()[0].model.name])
    preview = client.post(form, {"expected_tokens_per_day": 10}).content.decode()
    assert "usually 5 working hours" in preview
    said = client.get(f"/api/v1/access-requests/{asked.pk}/").json()
    assert [one["usual_working_hours"] for one in said["reviews"]] == [5.0]
    client.force_login(security_reviewer)
    assert "Security: usually 5 working hours" in client.get(reverse("admin:index")).content.decode()


def team_of(name, scope, operator):
    made = add_review_team(name=name, by=operator)
    assign_perm(DECIDE, made.group, scope)


def test_teams_are_named_those_of_the_narrowest_scope(ask, review_of, lab, operator):
    asked = ask()
    review = review_of(asked)
    assert waits_of([review], asked) == {review.pk: "waiting for security review, within 2 working days"}
    everything = ReviewScope.objects.get(track__code="security")
    team_of("Everybody", everything, operator)
    assert "by Everybody," in waits_of([review], asked)[review.pk]
    narrow = ReviewScope.objects.create(track_id="security", tenant=lab)
    team_of("Tomas' team", narrow, operator)
    ReviewScope.objects.create(track_id="cost", tenant=lab)
    assert waits_of([review], asked) == {
        review.pk: "waiting for security review by Tomas' team, within 2 working days"
    }


def test_a_decided_request_waits_for_nobody(ask, review_of):
    asked = ask()
    asked.state = "rejected"
    assert waits_of([review_of(asked)], asked) == {}


def test_the_queue_of_one_tenant(client, ask, security_reviewer, lab):
    asked = ask()
    other = ReviewFactory(track_id="security", tenant=TenantFactory(slug="elsewhere"))
    client.force_login(security_reviewer)
    address = reverse("admin:catalog_review_changelist")
    found = client.get(address, {"tenant": "elsewhere", "queue": "pending"})
    assert list(found.context["cl"].result_list) == [other]
    assert 'href="?tenant=elsewhere&amp;queue=overdue"' in found.content.decode()
    found = client.get(address, {"tenant": lab.slug})
    assert {one.access_request for one in found.context["cl"].result_list} == {asked}
    assert list(client.get(address, {"tenant": "nobody"}).context["cl"].result_list) == []
