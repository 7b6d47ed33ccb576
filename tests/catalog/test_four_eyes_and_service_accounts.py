"""A person and the program they hold the tokens of are two eyes, not four."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from accounts.actions import make_staff
from catalog.actions import decide_review, raise_access_request
from catalog.models import Review, ReviewDecision
from tenants.actions import create_service_account
from tests.factories import CatalogModelFactory, member_of


@pytest.fixture
def asked_by_a_program(lab, project, owner):
    """The review of a request that a service account of the lab made; `owner` answers for the account."""
    account = create_service_account(lab, name="nightly", role="developer", by=owner)
    CatalogModelFactory(name="glm-4.6")
    asked = raise_access_request(
        project, "glm-4.6", by=account, purpose="Letters.", expected_tokens_per_day=10
    )
    return Review.objects.in_tenant(lab).get(access_request=asked, track="security")


@pytest.mark.parametrize("role", ["owner", "admin", "developer", "viewer"])
def test_who_holds_the_tokens_of_who_asked_does_not_decide(lab, asked_by_a_program, role):
    reviewer = member_of(lab, role)
    make_staff(reviewer, "security-reviewer", by=None)
    if role in ("owner", "admin"):
        with pytest.raises(PermissionDenied, match="service account asked"):
            decide_review(asked_by_a_program.pk, by=reviewer, verdict="approve")
    else:
        assert decide_review(asked_by_a_program.pk, by=reviewer, verdict="approve").state == "approved"


def test_who_answers_for_who_asked_does_not_decide_either(client, lab, asked_by_a_program, owner, settings):
    settings.STAFF_SECOND_FACTOR = "optional"
    make_staff(owner, "security-reviewer", by=None)
    with pytest.raises(PermissionDenied, match="service account asked"):
        decide_review(asked_by_a_program.pk, by=owner, verdict="approve")
    client.force_login(owner)
    page = client.get(f"/admin/catalog/review/{asked_by_a_program.pk}/change/")
    assert "you can create its tokens" in page.context["why_not"]


def test_the_database_refuses_who_answers_for_who_asked(lab, asked_by_a_program, owner, security_reviewer):
    def decided_by(person):
        with transaction.atomic():
            return ReviewDecision.objects.create(
                tenant=lab, review=asked_by_a_program, reviewer=person, verdict="approve"
            )

    with pytest.raises(IntegrityError, match="four eyes"):
        decided_by(owner)
    assert decided_by(security_reviewer).pk


def test_an_operator_who_reviews_does_not_decide_what_programs_asked(asked_by_a_program, operator):
    make_staff(operator, "security-reviewer", by=None)
    with pytest.raises(PermissionDenied, match="service account asked"):
        decide_review(asked_by_a_program.pk, by=operator, verdict="approve")


def test_a_reviewer_from_outside_decides(asked_by_a_program, security_reviewer):
    assert decide_review(asked_by_a_program.pk, by=security_reviewer, verdict="approve").state == "approved"
