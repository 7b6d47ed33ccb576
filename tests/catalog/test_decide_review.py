"""Deciding reviews: four eyes, one decision, and everything that follows in one transaction."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction

from accounts.actions import make_staff
from accounts.models import Source
from audit.models import AuditEntry
from catalog.actions import decide_review, revoke_grant, withdraw_access_request
from catalog.models import AccessRequest, CatalogModel, Grant, Review, ReviewDecision
from core.errors import Conflict
from core.ids import uuid7
from tenants.actions import claim_api_key
from tenants.actions.members import place_member
from tenants.models import ApiKey, Limit, Tenant
from tenants.revision import current_revision
from tests.concurrency import at_the_same_time
from tests.databases import as_owner
from tests.factories import AccessRequestFactory, CatalogModelFactory, UserFactory, staff


def verbs(tenant):
    return list(AuditEntry.objects.in_tenant(tenant).order_by("at", "pk").values_list("verb", flat=True))


def nothing_was_granted(tenant):
    return (
        not any(kind.objects.in_tenant(tenant).exists() for kind in (Grant, ApiKey, Limit))
        and not ReviewDecision.objects.in_tenant(tenant).filter(verdict="approve").exists()
    )


def test_the_last_approval_makes_one_grant_its_limits_and_a_key_to_claim(
    ask, review_of, lab, project, developer, security_reviewer, compliance_reviewer
):
    asked = ask(data_class="confidential", limits={"requests_per_minute": 3}, duration_days=30)
    before = current_revision()
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve", comment="Fine.")
    asked.refresh_from_db()
    assert (asked.state, Grant.objects.in_tenant(lab).count()) == ("pending", 0)

    decide_review(review_of(asked, "compliance").pk, by=compliance_reviewer, verdict="approve")
    asked.refresh_from_db()
    assert asked.state == "approved"
    grant = Grant.objects.in_tenant(lab).get()
    assert (grant.project, grant.model.name, (grant.valid_until - grant.valid_from).days) == (
        project,
        "glm-4.6",
        30,
    )
    key = ApiKey.objects.in_tenant(lab).get()
    assert (key.state, key.digest, key.prefix, key.model_names, key.created_for) == (
        "claimable", None, "", ["glm-4.6"], developer,
    )  # fmt: skip
    assert (key.expires_at, grant.item.key) == (grant.valid_until, key)
    limit = Limit.objects.in_tenant(lab).get()
    assert (limit.project, limit.model, limit.kind, limit.value) == (
        project, "glm-4.6", "requests_per_minute", Decimal(3),
    )  # fmt: skip
    assert [verb for verb in verbs(lab) if not verb.startswith("membership")] == [
        "access_request.raised", "review.approved", "review.approved", "access_request.approved", "api_key.prepared",
        "grant.given", "limits.set",
    ]  # fmt: skip
    assert current_revision() > before


def test_who_may_no_longer_ask_is_given_nothing(ask, review_of, lab, developer, owner, security_reviewer):
    """As after a group mapping took their role away: nobody chose what becomes of their requests."""
    asked = ask()
    place_member(
        lab, developer, "viewer", existing=developer.memberships.get(), source=Source.GROUP, actor=None
    )
    with pytest.raises(Conflict, match="Reject the request"):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert nothing_was_granted(lab)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="reject", comment="They have left.")
    asked.refresh_from_db()
    assert asked.state == "rejected"


def test_nobody_decides_what_they_asked_for(ask, review_of, developer):
    make_staff(developer, "security-reviewer", by=None)
    asked = ask()
    with pytest.raises(PermissionDenied, match="someone else must decide"):
        decide_review(review_of(asked).pk, by=developer, verdict="approve")


@pytest.mark.as_owner
def test_the_database_refuses_the_requester_even_in_raw_sql_of_a_superuser(ask, review_of, developer):
    asked = ask()
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (True,)
        with pytest.raises(DatabaseError, match="four eyes"), transaction.atomic():
            cursor.execute(
                "INSERT INTO catalog_reviewdecision (id, tenant_id, review_id, reviewer_id, verdict, comment, at) "
                "VALUES (%s, %s, %s, %s, 'approve', '', now())",
                [uuid7(), asked.tenant_id, review_of(asked).pk, developer.pk],
            )
        with pytest.raises(DatabaseError, match="four eyes"), transaction.atomic():
            cursor.execute(
                "UPDATE catalog_accessrequest SET requested_by_id = %s WHERE id = %s",
                [UserFactory().pk, asked.pk],
            )


def test_the_database_refuses_a_grant_whose_reviews_are_not_decided(ask, lab, project):
    asked = ask()
    item = asked.items.get()
    with pytest.raises(DatabaseError, match="a grant needs its approved request"), transaction.atomic():
        Grant.objects.create(
            tenant=lab,
            project=project,
            model=item.model,
            item=item,
            valid_until=asked.created_at.replace(year=2030),
        )


def test_a_refusal_needs_a_reason_ends_the_request_and_frees_the_other_reviewers(
    ask, review_of, lab, security_reviewer, compliance_reviewer
):
    asked = ask(data_class="confidential")
    with pytest.raises(ValidationError, match="Give a reason"):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="reject", comment="  ")
    decide_review(
        review_of(asked).pk, by=security_reviewer, verdict="reject", comment="Mask the names first."
    )
    asked.refresh_from_db()
    assert asked.state == "rejected"
    assert dict(asked.reviews.values_list("track", "state")) == {
        "security": "rejected",
        "compliance": "cancelled",
    }
    with pytest.raises(Conflict, match="nothing left to decide"):
        decide_review(review_of(asked, "compliance").pk, by=compliance_reviewer, verdict="approve")
    assert nothing_was_granted(lab)
    assert "access_request.rejected" in verbs(lab)


def test_a_track_is_decided_by_its_own_reviewers(ask, review_of, cost_reviewer, operator, stranger, owner):
    asked = ask()
    for other, why in (
        (cost_reviewer, "none of your review scopes"),
        (operator, "does not allow you to decide reviews"),
        (owner, "does not allow you to decide reviews"),
    ):
        with pytest.raises(PermissionDenied, match=why):
            decide_review(review_of(asked).pk, by=other, verdict="approve")
    with pytest.raises(Review.DoesNotExist):
        decide_review(review_of(asked).pk, by=stranger, verdict="approve")


def test_an_unknown_verdict_is_refused(ask, review_of, security_reviewer):
    with pytest.raises(ValidationError, match="approve, reject or ask"):
        decide_review(review_of(ask()).pk, by=security_reviewer, verdict="maybe")


def test_a_track_with_a_quorum_of_two_waits_for_the_second_person(ask, review_of, lab, security_reviewer):
    asked = ask()
    review = review_of(asked)
    Review.objects.in_tenant(lab).filter(pk=review.pk).update(quorum=2)
    decide_review(review.pk, by=security_reviewer, verdict="approve")
    assert not Grant.objects.in_tenant(lab).exists()
    with pytest.raises(Conflict, match="already decided"):
        decide_review(review.pk, by=security_reviewer, verdict="approve")
    decide_review(review.pk, by=staff("security-reviewer"), verdict="approve")
    assert Grant.objects.in_tenant(lab).count() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda lab, model: Tenant.objects.filter(pk=lab.pk).update(status="suspended"),
            "Lab is suspended",
        ),
        (
            lambda lab, model: CatalogModel.objects.filter(pk=model.pk).update(lifecycle="retired"),
            "no longer published",
        ),
        (
            lambda lab, model: CatalogModel.objects.filter(pk=model.pk).update(highest_data_class="public"),
            "allowed up to Public data",
        ),
    ],
)
def test_what_is_no_longer_allowed_cannot_be_approved_but_can_be_refused(
    ask, review_of, lab, priced_model, security_reviewer, change, words
):
    asked = ask()
    change(lab, priced_model)
    with pytest.raises(Conflict, match=words):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert nothing_was_granted(lab)
    assert (
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="reject", comment="Over.").state
        == "rejected"
    )


@pytest.mark.django_db(transaction=True)
def test_two_reviewers_at_once_make_one_decision(ask, review_of, lab, security_reviewer):
    review, second = review_of(ask()), staff("security-reviewer")
    outcomes = at_the_same_time(
        lambda: decide_review(review.pk, by=security_reviewer, verdict="approve"),
        lambda: decide_review(review.pk, by=second, verdict="reject", comment="No."),
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Review"]
    assert ReviewDecision.objects.in_tenant(lab).count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_last_two_tracks_approved_at_once_make_one_grant(
    ask, review_of, lab, security_reviewer, compliance_reviewer
):
    asked = ask(data_class="confidential")
    security, compliance = review_of(asked), review_of(asked, "compliance")
    outcomes = at_the_same_time(
        lambda: decide_review(security.pk, by=security_reviewer, verdict="approve"),
        lambda: decide_review(compliance.pk, by=compliance_reviewer, verdict="approve"),
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Review", "Review"]
    assert (Grant.objects.in_tenant(lab).count(), ApiKey.objects.in_tenant(lab).count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_approving_and_withdrawing_at_once_is_one_or_the_other(
    ask, review_of, lab, developer, security_reviewer
):
    asked = ask()
    review = review_of(asked)
    outcomes = at_the_same_time(
        lambda: decide_review(review.pk, by=security_reviewer, verdict="approve"),
        lambda: withdraw_access_request(asked.pk, by=developer),
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    asked.refresh_from_db()
    assert Grant.objects.in_tenant(lab).count() == (asked.state == "approved")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["tenants_apikey", "catalog_grant", "tenants_limit", "audit_auditentry"])
def test_a_crash_in_the_middle_of_an_approval_leaves_nothing_behind(
    ask, review_of, lab, security_reviewer, table
):
    asked = ask(limits={"requests_per_minute": 3})
    lines = len(verbs(lab))
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION fall_over() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the lights went out'; END $$"
        )
        cursor.execute(f"CREATE TRIGGER lights_out AFTER INSERT ON {table} EXECUTE FUNCTION fall_over()")
    try:
        with pytest.raises(DatabaseError, match="the lights went out"):
            decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    finally:
        with as_owner(), connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER lights_out ON {table}")
    asked.refresh_from_db()
    assert asked.state == "pending"
    assert review_of(asked).state == "pending"
    assert nothing_was_granted(lab)
    assert len(verbs(lab)) == lines
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert Grant.objects.in_tenant(lab).count() == 1


def test_revoking_a_grant_ends_it_and_its_key_at_once(
    ask, review_of, lab, developer, security_reviewer, stranger
):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="approve")
    grant = Grant.objects.in_tenant(lab).get()
    claim_api_key(grant.item.key_id, by=developer)
    before = current_revision()
    with pytest.raises(Grant.DoesNotExist):
        revoke_grant(grant.pk, by=stranger, reason="Over.")
    revoke_grant(grant.pk, by=developer, reason="Project over.")
    grant.refresh_from_db()
    assert grant.revoked_at is not None
    assert ApiKey.objects.in_tenant(lab).get().state == "revoked"
    assert not Grant.objects.in_tenant(lab).in_force().exists()
    assert current_revision() > before
    with pytest.raises(Conflict, match="already revoked"):
        revoke_grant(grant.pk, by=developer, reason="Over.")
    assert AccessRequest.objects.in_tenant(lab).get().state == "approved"


def test_the_database_moves_no_grant_to_what_nobody_reviewed(ask, review_of, security_reviewer, lab):
    asked = ask()
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    moved = Grant.objects.in_tenant(lab)
    with pytest.raises(DatabaseError, match="a grant needs its approved request"), transaction.atomic():
        moved.update(model=CatalogModelFactory())


def test_the_database_gives_no_review_to_another_request(ask, review_of, security_reviewer, lab):
    asked = ask()
    other = AccessRequestFactory(tenant=lab)
    reviews = Review.objects.in_tenant(lab).filter(pk=review_of(asked).pk)
    for change in ({"access_request": other}, {"quorum": 0}, {"track": "cost"}):
        with pytest.raises(DatabaseError, match="four eyes"), transaction.atomic():
            reviews.update(**change)
