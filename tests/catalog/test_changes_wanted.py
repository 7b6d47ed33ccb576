"""A reviewer returns a request for changes: it is changed and sent again, and keeps the decisions that still hold."""

from __future__ import annotations

import itertools

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.urls import reverse
from django.utils.timezone import now
from psycopg.types.json import Jsonb

from audit.models import AuditEntry
from catalog.actions import (
    comment_on_request,
    decide_review,
    raise_access_request,
    resend_access_request,
    withdraw_access_request,
)
from catalog.actions.changes import asks_more
from catalog.models import AccessRequest, Grant, RequestDelegate, Review
from catalog.review_queue import waiting_for
from core.errors import Conflict
from tests.catalog.test_states_follow_decisions import refused
from tests.factories import member_of, staff

CHANGED = "UPDATE catalog_accessrequest SET state = 'pending', "
SMALL = {"requests_per_minute": 3}


@pytest.fixture
def asked(ask):
    """A request with two tracks: security and compliance."""
    return ask(data_class="confidential", limits=SMALL, duration_days=90)


@pytest.fixture
def returned(asked, review_of, security_reviewer, compliance_reviewer):
    """Approved by security, and returned by compliance."""
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    review = review_of(asked, "compliance")
    decide_review(review.pk, by=compliance_reviewer, verdict="return", comment="Which letters?")
    asked.refresh_from_db()
    return asked


def test_a_returned_request_waits_for_its_requester(
    returned, review_of, compliance_reviewer, security_reviewer
):
    assert returned.state == "returned"
    review = review_of(returned, "compliance")
    assert (review.state, review.round) == ("pending", 1)
    reviews = Review.objects.across_tenants()
    assert not waiting_for(compliance_reviewer, reviews).exists()
    for verdict in ("approve", "reject", "return"):
        with pytest.raises(Conflict, match="asked for changes"):
            decide_review(review.pk, by=compliance_reviewer, verdict=verdict, comment="x")
    verbs = AuditEntry.objects.across_tenants().values_list("verb", flat=True)
    assert {"review.returned", "access_request.returned"} <= set(verbs)


def test_a_return_needs_a_reason(asked, review_of, security_reviewer):
    with pytest.raises(ValidationError):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="return")
    assert AccessRequest.objects.across_tenants().get().state == "pending"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"duration_days": 30},
        {"expected_tokens_per_day": 1000},
        {"limits": {"requests_per_minute": 2}},
        {"limits": SMALL | {"tokens_per_minute": 1000}},
        {"data_class": "internal"},
    ],
)
def test_less_keeps_the_approval(returned, review_of, developer, compliance_reviewer, change):
    sent = resend_access_request(returned.pk, by=developer, **change)
    assert (sent.state, sent.resent_at is not None) == ("pending", True)
    assert (review_of(sent).state, review_of(sent).round) == ("approved", 1)
    reviews = Review.objects.across_tenants()
    assert waiting_for(compliance_reviewer, reviews).get() == review_of(sent, "compliance")
    decide_review(review_of(sent, "compliance").pk, by=compliance_reviewer, verdict="approve")
    assert Grant.objects.across_tenants().get().item.access_request == sent


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "Score people who apply for a job."},
        {"duration_days": 91},
        {"expected_tokens_per_day": 1_000_001},
        {"limits": {"requests_per_minute": 4}},
        {"limits": {}},
        {"data_class": "restricted"},
    ],
)
def test_more_asks_for_the_approval_again(
    returned, review_of, developer, lab, priced_model, compliance_reviewer, change
):
    lab.highest_data_class = "restricted"
    lab.save()
    type(priced_model).objects.filter(pk=priced_model.pk).update(highest_data_class="restricted")
    sent = resend_access_request(returned.pk, by=developer, **change)
    security = review_of(sent)
    assert (security.state, security.round) == ("pending", 2)
    assert "changed after the approval" in security.reason
    decide_review(review_of(sent, "compliance").pk, by=compliance_reviewer, verdict="approve")
    assert not Grant.objects.across_tenants().exists()
    entry = AuditEntry.objects.across_tenants().get(verb="access_request.resent")
    assert entry.details["asks_more"] == list(change)
    assert entry.details["tracks_asked_again"] == ["security"]


def test_new_facts_bring_the_reviews_that_the_rules_want(ask, review_of, developer, security_reviewer):
    asked = ask()
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="return", comment="Which data?")
    sent = resend_access_request(asked.pk, by=developer, data_class="confidential")
    assert {review.track_id for review in sent.reviews.all()} == {"security", "compliance"}
    (facts,) = sent.facts.values()
    assert facts["data_class"] == "confidential"
    assert sent.newest_evaluation.occasion == "resent"


def test_with_a_quorum_the_other_approval_of_the_track_stays(asked, review_of, developer):
    Review.objects.across_tenants().filter(track="security").update(quorum=2)
    first, second = staff("security-reviewer"), staff("security-reviewer")
    decide_review(review_of(asked).pk, by=first, verdict="approve")
    with pytest.raises(Conflict):
        decide_review(review_of(asked).pk, by=first, verdict="return", comment="After all")
    decide_review(review_of(asked).pk, by=second, verdict="return", comment="Why?")
    resend_access_request(asked.pk, by=developer)
    assert decide_review(review_of(asked).pk, by=second, verdict="approve").state == "approved"


def test_it_can_be_returned_twice(returned, review_of, developer, compliance_reviewer):
    resend_access_request(returned.pk, by=developer, duration_days=60)
    review = review_of(returned, "compliance")
    decide_review(review.pk, by=compliance_reviewer, verdict="return", comment="Still unclear")
    sent = resend_access_request(returned.pk, by=developer, duration_days=61)
    assert review_of(sent).round == 2


def test_time_with_the_requester_makes_nobody_late(returned, review_of, developer):
    Review.objects.across_tenants().filter(track="compliance").update(due_at=now().replace(year=2020))
    sent = resend_access_request(returned.pk, by=developer)
    assert review_of(sent, "compliance").due_at > now()


def test_only_its_requester_sends_it_again(returned, owner, stranger, lab):
    for person in (owner, member_of(lab, "developer")):
        with pytest.raises(PermissionDenied):
            resend_access_request(returned.pk, by=person)
    with pytest.raises(AccessRequest.DoesNotExist):
        resend_access_request(returned.pk, by=stranger)


def test_it_is_withdrawn_like_any_open_request(returned, developer, project, priced_model):
    again = {"purpose": "Again", "expected_tokens_per_day": 5}
    with pytest.raises(Conflict, match="already has an open request"):
        raise_access_request(project, priced_model.name, by=developer, **again)
    withdraw_access_request(returned.pk, by=developer)
    assert {review.state for review in returned.reviews.all()} == {"approved", "cancelled"}
    with pytest.raises(Conflict):
        resend_access_request(returned.pk, by=developer)


def test_nothing_is_sent_again_unless_changes_are_wanted(asked, developer):
    with pytest.raises(Conflict, match="No changes are wanted"):
        resend_access_request(asked.pk, by=developer, duration_days=9)


def test_what_the_rules_reject_is_not_sent(returned, developer):
    with pytest.raises(ValidationError):
        resend_access_request(returned.pk, by=developer, duration_days=9999)
    returned.refresh_from_db()
    assert (returned.state, returned.duration_days) == ("returned", 90)


def test_who_gains_power_over_the_account_that_asked_is_noted_meanwhile(
    ask, lab, owner, review_of, security_reviewer
):
    account = member_of(lab, "developer", service_of=lab, responsible=owner)
    asked = ask(by=account)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="return", comment="Why?")
    admin = member_of(lab, "admin")
    assert RequestDelegate.objects.in_tenant(lab).filter(access_request=asked, person=admin).exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE catalog_accessrequest SET state = 'returned'",
        "UPDATE catalog_accessrequest SET duration_days = 9",
        "UPDATE catalog_accessrequest SET resent_at = now()",
    ],
)
@pytest.mark.as_owner
def test_sql_returns_nothing_by_itself(asked, statement):
    refused(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE catalog_accessrequest SET state = 'approved', decided_at = now()",
        "UPDATE catalog_accessrequest SET duration_days = 9",
        "UPDATE catalog_accessrequest SET resent_at = now()",
        CHANGED + "created_at = created_at - interval '1 day'",
        CHANGED + "requested_by_id = (SELECT id FROM accounts_user WHERE is_staff LIMIT 1)",
        CHANGED + "purpose = 'Something else'",
        CHANGED + "duration_days = 91",
        "UPDATE catalog_requestitem SET expected_tokens_per_day = expected_tokens_per_day + 1",
        "UPDATE catalog_requestitem SET data_class = 'restricted'",
        "UPDATE catalog_requestitem SET limits = '{}'",
        """UPDATE catalog_requestitem SET limits = '{"requests_per_minute": "10"}'""",
        "UPDATE catalog_requestitem SET is_open = false",
        "UPDATE catalog_requestitem SET project_id = gen_random_uuid()",
        "UPDATE catalog_review SET state = 'approved', decided_at = now() WHERE track = 'compliance'",
        "UPDATE catalog_review SET state = 'cancelled', decided_at = now() WHERE track = 'compliance'",
    ],
)
@pytest.mark.as_owner
def test_sql_does_with_a_returned_request_only_what_the_action_does(returned, statement):
    refused(statement)


@pytest.mark.as_owner
def test_an_old_wish_for_changes_returns_nothing_again(returned, developer):
    resend_access_request(returned.pk, by=developer)
    refused("UPDATE catalog_accessrequest SET state = 'returned'")


@pytest.mark.django_db
def test_the_database_and_the_action_agree_on_what_asks_for_more():
    """Each of many pairs, asked in SQL and in Python."""
    sides = [
        {
            "purpose": purpose,
            "data_class": data_class,
            "expected_tokens_per_day": tokens,
            "limits": limits,
            "duration_days": days,
        }
        for purpose, data_class, tokens, limits, days in itertools.product(
            ("a", "b"),
            ("public", "restricted"),
            (1, 10**13),
            ({}, {"requests_per_minute": "3"}, {"requests_per_minute": "20", "money_per_month": "0.5"}),
            (1, 2),
        )
    ]
    request, item = (
        f"jsonb_populate_record(NULL::catalog_{name}, %s)" for name in ("accessrequest", "requestitem")
    )
    asked = f"SELECT catalog_asks_more({request}, {request}) OR catalog_item_asks_more({item}, {item})"
    pairs = list(itertools.product(sides, sides))[::7]
    with connection.cursor() as cursor:
        for before, after in pairs:
            cursor.execute(asked, [Jsonb(before), Jsonb(after)] * 2)
            assert cursor.fetchone()[0] == bool(asks_more(before, after)), (before, after)


def test_pages_of_both_sides(client, returned, review_of, developer, compliance_reviewer):
    client.force_login(developer)
    page = client.get(reverse("request-detail", args=["lab", returned.pk])).content.decode()
    assert "Which letters?" in page
    assert "Changes wanted" in page
    url = reverse("request-change", args=["lab", returned.pk])
    assert url in page
    form = client.get(url)
    assert form.status_code == 200
    assert 'value="90"' in form.content.decode()
    answers = {
        "purpose": returned.purpose,
        "data_class": "internal",
        "expected_tokens_per_day": "1000",
        "duration_days": "90",
        "requests_per_minute": "3",
    }
    assert client.post(url, answers | {"duration_days": "0"}).status_code == 400
    assert client.post(url, answers).status_code == 302
    assert client.get(url).status_code == 409
    returned.refresh_from_db()
    assert (returned.state, returned.items.get().data_class) == ("pending", "internal")
    assert (
        "sent the request again"
        in client.get(reverse("request-detail", args=["lab", returned.pk])).content.decode()
    )

    client.force_login(compliance_reviewer)
    review = reverse("admin:catalog_review_change", args=[review_of(returned, "compliance").pk])
    assert client.post(review, {"verdict": "return", "comment": ""}).status_code == 400
    assert client.post(review, {"verdict": "return", "comment": "More"}).status_code == 302
    assert "was asked for changes" in client.get(review).content.decode()


def test_the_api_of_both_sides(client, asked, review_of, developer, compliance_reviewer):
    url = f"/api/v1/access-requests/{asked.pk}/"
    client.force_login(compliance_reviewer)
    said = {"track": "compliance", "verdict": "return", "comment": "Shorter"}
    found = client.post(f"{url}reviews/", said, content_type="application/json")
    assert found.json()["state"] == "returned"
    client.force_login(developer)
    wrong = client.post(f"{url}resend/", {"duration_days": 0}, content_type="application/json")
    assert wrong.status_code == 400
    sent = client.post(f"{url}resend/", {"duration_days": 9}, content_type="application/json")
    assert (sent.status_code, sent.json()["state"], sent.json()["duration_days"]) == (200, "pending", 9)
    again = client.post(f"{url}resend/", {"duration_days": 9}, content_type="application/json")
    assert again.status_code == 409


def test_people_talk_about_a_returned_request(returned, developer):
    assert comment_on_request(returned.pk, by=developer, text="Those of the branch offices.").pk


def test_the_home_of_its_requester_says_so_and_nobody_elses(client, lab, returned, developer):
    for person in (member_of(lab, "owner"), developer):
        client.force_login(person)
        home = client.get(reverse("tenant-home", args=[lab.slug])).content.decode()
        assert ("Your request for GLM-4.6 needs changes" in home) == (person == developer)


def test_nothing_that_is_sent_for_items_is_dropped(client, returned, developer):
    item = returned.items.get()
    said = {"id": str(item.pk), "expected_tokens_per_day": 7}
    client.force_login(developer)
    for body, words in (
        ({"data_class": "public", "items": [said]}, "for the only model or by item"),
        ({"items": [said, said | {"expected_tokens_per_day": 8}]}, "twice"),
    ):
        sent = client.post(f"/api/v1/access-requests/{returned.pk}/resend/", body, "application/json")
        assert sent.status_code == 400, sent.content
        assert words in str(sent.json())
    returned.refresh_from_db()
    assert returned.state == "returned"
