"""Who could act for a program when it asked, or while its request was open, does not decide, whatever they become."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction

from accounts.actions import end_staff_role, make_staff
from audit.models import AuditEntry
from catalog.actions import decide_review, raise_access_request
from catalog.models import RequestDelegate, Review, ReviewDecision
from tenants import actions
from tenants.actions import people
from tenants.models import ApiKey, Membership
from tests.factories import TenantFactory, member_of, staff

ASKING = {
    "project": "letters",
    "model": "glm-4.6",
    "purpose": "Letters.",
    "expected_tokens_per_day": 1000,
    "data_class": "internal",
}


@pytest.fixture
def selma(lab, owner):
    """Admin of the lab, and security reviewer of the platform."""
    person = member_of(lab, "admin", name="Selma Second")
    make_staff(person, "security-reviewer", by=None)
    return person


@pytest.fixture
def bearer_of(client):
    def bearer(owner, **given):
        wanted = {"name": "t", "life": timedelta(days=9)}
        _, secret = actions.issue_personal_access_token(owner, **wanted | given)
        return {"Authorization": f"Bearer {secret}"}

    return bearer


def membership(user, tenant):
    return Membership.objects.in_tenant(tenant).get(user=user)


def post(client, path, body, headers):
    return client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json", headers=headers)


def capacities(review, person):
    rows = RequestDelegate.objects.in_tenant(review.tenant).filter(person=person)
    return set(rows.filter(access_request=review.access_request).values_list("capacity", flat=True))


def insert_decision(review, person):
    with transaction.atomic():
        return ReviewDecision.objects.create(
            tenant=review.tenant, review=review, reviewer=person, verdict="approve", round=review.round
        )


@pytest.fixture
def asked_by(client, lab, project, priced_model, bearer_of):
    """The security review of what a service account asked over the API, by a token that `issuer` made."""

    def ask(account, issuer):
        headers = bearer_of(account, by=issuer, scopes=["requests", "keys"])
        answer = post(client, "access-requests/", ASKING, headers)
        assert answer.status_code == 201, answer.content
        review = Review.objects.in_tenant(lab).get(access_request=answer.json()["id"], track="security")
        return review, headers

    return ask


def test_who_asked_by_her_own_program_approves_nothing_after_she_left(
    client, lab, owner, selma, bearer_of, asked_by
):
    """The way it was done: refused while she is admin, she hands the account over, leaves, and approves."""
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=selma)
    review, token = asked_by(account, selma)
    reviewer = bearer_of(selma)
    decision = {"track": "security", "verdict": "approve", "comment": "fine"}
    path = f"access-requests/{review.access_request_id}/reviews/"
    assert post(client, path, decision, reviewer).status_code == 403

    new_owner = str(membership(owner, lab).pk)
    actions.remove_member(membership(selma, lab).pk, by=selma, choices={"service_accounts": new_owner})
    refused = post(client, path, decision, reviewer)
    assert refused.status_code == 403
    assert "you had issued one of its tokens" in refused.json()["detail"]
    with pytest.raises(DatabaseError, match="four eyes"):
        insert_decision(review, selma)
    review.refresh_from_db()
    assert review.state == "pending"

    other = bearer_of(staff("security-reviewer"))
    assert post(client, path, decision, other).json()["state"] == "approved"
    key = ApiKey.objects.in_tenant(lab).get()
    assert client.post(f"/api/v1/keys/{key.pk}/claim/", headers=token).status_code == 401


def test_page_queue_and_api_say_why(client, settings, lab, owner, selma, bearer_of, asked_by):
    settings.STAFF_SECOND_FACTOR = "optional"
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=selma)
    review, _ = asked_by(account, selma)
    new_owner = str(membership(owner, lab).pk)
    actions.remove_member(membership(selma, lab).pk, by=selma, choices={"service_accounts": new_owner})
    client.force_login(selma)
    page = client.get(f"/admin/catalog/review/{review.pk}/change/").content.decode()
    assert "you had issued one of its tokens; someone else must decide it" in page
    assert 'value="approve"' not in page
    assert list(client.get("/admin/catalog/review/").context["cl"].result_list) == []
    seen = client.get(f"/admin/catalog/accessrequest/{review.access_request_id}/change/").content.decode()
    assert "Could act for the requester" in seen


@pytest.mark.parametrize("then", ["owner", "admin"])
def test_who_could_make_its_tokens_then_does_not_decide_after_a_demotion(lab, owner, asked_by, then):
    reviewer = member_of(lab, then)
    make_staff(reviewer, "security-reviewer", by=None)
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    review, _ = asked_by(account, owner)
    assert capacities(review, reviewer) == {"manager"}
    actions.change_role(membership(reviewer, lab).pk, "viewer", by=owner)
    reviewer = type(reviewer).objects.get(pk=reviewer.pk)
    with pytest.raises(PermissionDenied, match="could create its tokens then"):
        decide_review(review.pk, by=reviewer, verdict="approve")
    with pytest.raises(DatabaseError, match="four eyes"):
        insert_decision(review, reviewer)


def test_who_was_operator_then_does_not_decide_afterwards(lab, owner, operator, asked_by):
    reviewer = staff("operator")
    make_staff(reviewer, "security-reviewer", by=None)
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    review, _ = asked_by(account, owner)
    end_staff_role(reviewer, "operator", by=operator)
    reviewer = type(reviewer).objects.get(pk=reviewer.pk)
    with pytest.raises(PermissionDenied, match="could create its tokens then"):
        decide_review(review.pk, by=reviewer, verdict="approve")


def test_who_could_act_only_while_the_request_was_open_does_not_decide(lab, owner, selma, asked_by):
    """Made admin after it was asked, and no member any more when it is decided."""
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    review, _ = asked_by(account, owner)
    late = staff("security-reviewer")
    assert not capacities(review, late)
    actions.add_member(lab, late, "admin", by=None)
    assert capacities(review, late) == {"manager"}
    actions.issue_personal_access_token(account, name="x", life=timedelta(days=1), by=late)
    assert capacities(review, late) == {"manager", "issuer"}
    actions.remove_member(membership(late, lab).pk, by=late)
    late = type(late).objects.get(pk=late.pk)
    with pytest.raises(PermissionDenied, match="had issued one of its tokens"):
        decide_review(review.pk, by=late, verdict="approve")
    with pytest.raises(DatabaseError, match="four eyes"):
        insert_decision(review, late)


def test_who_answered_for_it_meanwhile_does_not_decide(lab, owner, selma, asked_by):
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    review, _ = asked_by(account, owner)
    # Whoever moves the account about, however.
    with connection.cursor() as cursor:
        between = staff("security-reviewer")
        for person in (between, owner):
            cursor.execute(
                "UPDATE accounts_user SET responsible_id = %s WHERE id = %s", [person.pk, account.pk]
            )
    assert capacities(review, between) == {"responsible"}
    with pytest.raises(PermissionDenied, match="you answered for it then"):
        decide_review(review.pk, by=between, verdict="approve")


@pytest.mark.parametrize("is_owner", [False, pytest.param(True, marks=pytest.mark.as_owner)])
def test_a_program_is_a_program_for_good(lab, owner, selma, asked_by, is_owner):
    """Else it would be a person while it asks, for whom nobody speaks."""
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    TenantFactory(slug="far")
    for statement in (
        "UPDATE accounts_user SET service_of_id = NULL WHERE id = %s",
        "UPDATE accounts_user SET service_of_id = (SELECT id FROM tenants_tenant WHERE slug = 'far') WHERE id = %s",
        "UPDATE accounts_user SET id = gen_random_uuid() WHERE id = %s",
    ):
        with (
            pytest.raises(DatabaseError, match="cannot be changed afterwards"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, [account.pk])
    with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
        type(owner).objects.filter(pk=owner.pk).update(service_of=lab)
    review, _ = asked_by(account, selma)
    assert {"issuer", "manager"} <= capacities(review, selma)


def test_a_row_that_is_changed_counts_like_a_new_one(lab, owner, selma, asked_by):
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    late, moved = (member_of(lab, "viewer") for _ in range(2))
    token, _ = actions.issue_personal_access_token(account, name="old", life=timedelta(days=9), by=owner)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_personalaccesstoken SET revoked_at = now() WHERE id = %s", [token.pk])
    review, _ = asked_by(account, selma)
    assert (capacities(review, moved), "issuer" in capacities(review, owner)) == (set(), False)
    with connection.cursor() as cursor:
        # An admin's membership, passed about.
        cursor.execute("DELETE FROM tenants_membership WHERE user_id = ANY(%s)", [[moved.pk, late.pk]])
        for person in (moved, late):
            cursor.execute(
                "UPDATE tenants_membership SET user_id = %s WHERE user_id = %s",
                [person.pk, selma.pk if person is moved else moved.pk],
            )
        cursor.execute("UPDATE tenants_personalaccesstoken SET revoked_at = NULL WHERE id = %s", [token.pk])
    assert capacities(review, moved) == capacities(review, late) == {"manager"}
    assert "issuer" in capacities(review, owner)


def test_a_deactivated_issuer_who_is_back_does_not_decide(lab, owner, operator, selma, asked_by):
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    review, _ = asked_by(account, selma)
    people.deactivate_person(selma, by=operator, reason="Away.")
    actions.remove_member(membership(selma, lab).pk, by=owner)
    people.reactivate_person(selma, by=operator, reason="Back.")
    selma = type(selma).objects.get(pk=selma.pk)
    with pytest.raises(PermissionDenied, match="had issued one of its tokens"):
        decide_review(review.pk, by=selma, verdict="approve")


@pytest.fixture
def approved_too_early(lab, project, priced_model, owner):
    """A program's request with two tracks: the first approved by somebody who could make its tokens afterwards."""
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    given = {"purpose": "Letters.", "expected_tokens_per_day": 1000, "data_class": "confidential"}
    asked = raise_access_request(project, priced_model.name, by=account, **given)
    early = staff("security-reviewer")
    security = Review.objects.in_tenant(lab).get(access_request=asked, track="security")
    assert decide_review(security.pk, by=early, verdict="approve").state == "approved"
    actions.add_member(lab, early, "admin", by=None)
    actions.issue_personal_access_token(account, name="x", life=timedelta(days=1), by=early)
    return security


def test_who_approved_and_could_act_afterwards_has_approved_nothing(
    lab, approved_too_early, compliance_reviewer
):
    security, asked = approved_too_early, approved_too_early.access_request
    compliance = Review.objects.in_tenant(lab).get(access_request=asked, track="compliance")
    assert decide_review(compliance.pk, by=compliance_reviewer, verdict="approve").state == "approved"
    security.refresh_from_db()
    asked.refresh_from_db()
    assert (asked.state, security.state, security.round) == ("pending", "pending", 2)
    assert "could act for the service account that asked" in security.reason
    assert not ApiKey.objects.in_tenant(lab).exists()
    entry = AuditEntry.objects.in_tenant(lab).get(verb="access_request.asked_again")
    assert (entry.details["tracks_asked_again"], entry.changes) == (["security"], {})
    again = decide_review(security.pk, by=staff("security-reviewer"), verdict="approve")
    asked.refresh_from_db()
    assert (again.state, asked.state) == ("approved", "approved")


@pytest.mark.parametrize("is_owner", [False, pytest.param(True, marks=pytest.mark.as_owner)])
def test_the_database_counts_no_approval_of_who_could_act_afterwards(
    lab, approved_too_early, compliance_reviewer, is_owner
):
    asked = approved_too_early.access_request
    compliance = Review.objects.in_tenant(lab).get(access_request=asked, track="compliance")
    insert_decision(compliance, compliance_reviewer)
    statements = (
        "UPDATE catalog_review SET state = 'approved', decided_at = now() WHERE track = 'compliance'",
        "UPDATE catalog_accessrequest SET state = 'approved', decided_at = now()",
    )
    with connection.cursor() as cursor:
        cursor.execute(statements[0])
        with pytest.raises(DatabaseError, match="when every review of it is"), transaction.atomic():
            cursor.execute(statements[1])


def test_what_a_person_asked_bars_that_person_alone(lab, ask, review_of, selma):
    review = review_of(ask())
    assert not RequestDelegate.objects.in_tenant(lab).exists()
    assert decide_review(review.pk, by=selma, verdict="approve").state == "approved"


def test_the_console_changes_none_of_these_rows(lab, owner, selma, asked_by):
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    asked_by(account, owner)
    for statement in (
        "DELETE FROM catalog_requestdelegate",
        "UPDATE catalog_requestdelegate SET capacity = 'staff'",
        "TRUNCATE catalog_requestdelegate",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.as_owner
def test_a_superuser_changes_none_of_them_either(lab, owner, selma, asked_by):
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    asked_by(account, owner)
    for statement in (
        "DELETE FROM catalog_requestdelegate",
        "UPDATE catalog_requestdelegate SET capacity = 'staff'",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
