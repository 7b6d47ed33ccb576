"""Who could act for a service account changes between the rules and the last write of a decision: 409, never 500."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from accounts.actions import end_staff_role, make_staff
from catalog.actions import decide_review, raise_access_request
from catalog.models import Grant, Review
from core.errors import Conflict
from tenants import actions
from tests.concurrency import held_up_at
from tests.factories import staff

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = "Reload to see the current state, then decide."


def until_it_is_written_down(decide, *, meanwhile):
    """Let a decision run its rules, change what they looked at, and let it write."""
    return held_up_at("catalog_reviewdecision", decide, meanwhile=meanwhile)


@pytest.fixture
def half_approved(lab, project, priced_model, owner):
    """A service account's request, and who approved its first track and is about to manage accounts of all tenants."""
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    given = {"purpose": "Letters.", "expected_tokens_per_day": 1000, "data_class": "confidential"}
    asked = raise_access_request(project, priced_model.name, by=account, **given)
    early = staff("security-reviewer")
    security = Review.objects.in_tenant(lab).get(access_request=asked, track="security")
    decide_review(security.pk, by=early, verdict="approve")
    return asked, early


@pytest.fixture
def overtaken(lab, half_approved, compliance_reviewer):
    """Let `decide` run until it writes its decision down, and let the first reviewer become a delegate meanwhile."""
    asked, early = half_approved

    def run(decide):
        def becomes_delegate():
            make_staff(early, "operator", by=None)

        outcome = until_it_is_written_down(decide, meanwhile=becomes_delegate)
        asked.refresh_from_db()
        assert asked.state == "pending"
        assert not Grant.objects.in_tenant(lab).exists()
        return outcome

    return run


@pytest.fixture
def compliance(review_of, half_approved):
    return review_of(half_approved[0], "compliance")


def test_in_the_action(overtaken, compliance, compliance_reviewer, review_of, half_approved):
    outcome = overtaken(lambda: decide_review(compliance.pk, by=compliance_reviewer, verdict="approve"))
    assert isinstance(outcome, Conflict), outcome
    assert (outcome.code, outcome.message.endswith(WORDS)) == ("reviews_changed", True)
    # What they are told to do works: the first track is asked again, of somebody else.
    assert decide_review(compliance.pk, by=compliance_reviewer, verdict="approve").state == "approved"
    assert review_of(half_approved[0]).round == 2


def test_over_the_api(client, overtaken, compliance, compliance_reviewer, half_approved):
    client.force_login(compliance_reviewer)
    path = f"/api/v1/access-requests/{half_approved[0].pk}/reviews/"
    body = {"track": "compliance", "verdict": "approve"}
    answer = overtaken(lambda: client.post(path, body, "application/json"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert (answer.json()["code"], answer.json()["detail"].endswith(WORDS)) == ("reviews_changed", True)


def test_on_the_page_of_operators(client, overtaken, compliance, compliance_reviewer):
    client.force_login(compliance_reviewer)
    path = f"/admin/catalog/review/{compliance.pk}/change/"
    answer = overtaken(lambda: client.post(path, {"verdict": "approve", "comment": "Fine."}))
    assert answer.status_code == 409
    assert WORDS in answer.content.decode()


def test_who_loses_the_staff_role_meanwhile_is_refused(review_of, half_approved, compliance_reviewer):
    """Their permission was asked for before the decision waited; the database asks again."""
    review = review_of(half_approved[0], "compliance")
    outcome = until_it_is_written_down(
        lambda: decide_review(review.pk, by=compliance_reviewer, verdict="approve"),
        meanwhile=lambda: end_staff_role(compliance_reviewer, "compliance-reviewer", by=None),
    )
    assert isinstance(outcome, PermissionDenied), outcome
    assert str(outcome) == "You may no longer decide these reviews."
    review.refresh_from_db()
    assert review.state == "pending"
