"""A grant has an owner, is suspended while nobody may answer for it, and somebody takes it over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now

from accounts.models import OutboxMessage
from audit.models import AuditEntry
from catalog.actions import decide_review, revoke_grant, take_over_grant
from catalog.grant_owners import may_own, suspend_the_ownerless
from catalog.models import Grant
from core.errors import Conflict
from gateway.compile import compile_snapshot
from tenants.actions import claim_api_key
from tenants.actions.members import change_role, remove_member
from tenants.actions.owned_resources import END, owned_resources_of
from tenants.actions.people import deactivate_person, reactivate_person
from tenants.actions.project_roles import set_project_role
from tenants.models import ApiKey, Membership
from tenants.roles import Role, roles_with
from tests.catalog.granted import approved
from tests.concurrency import queued_behind
from tests.factories import member_of, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant(ask):
    (given,) = approved(ask())
    return given


@pytest.fixture
def colleague(lab):
    return member_of(lab, "developer", name="Colleague")


@pytest.fixture
def claimed_key(grant, owner):
    key, _secret = claim_api_key(ApiKey.objects.in_tenant(grant.tenant).get().pk, by=owner)
    return key


def membership_of(person, tenant):
    return Membership.objects.in_tenant(tenant).get(user=person)


def callable_models():
    return {name for key in compile_snapshot().keys for name in key.models}


def told(event):
    return set(
        OutboxMessage.objects.filter(event=event, channel="inbox").values_list("user__email", flat=True)
    )


def state_of(grant):
    grant.refresh_from_db()
    return grant.state


def test_whoever_asked_answers_for_it(grant, developer):
    assert (grant.owner, grant.state) == (developer, "in_force")


def test_without_a_requester_who_may_the_owner_of_the_project_or_tenant_answers(ask, owner, lab, project):
    asked = ask()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT catalog_first_owner(%s, %s)", [asked.requested_by_id, project.pk])
        assert cursor.fetchone()[0] == asked.requested_by_id
        Membership.objects.in_tenant(lab).filter(user=asked.requested_by).update(role="viewer")
        cursor.execute("SELECT catalog_first_owner(%s, %s)", [asked.requested_by_id, project.pk])
        assert cursor.fetchone()[0] == owner.pk
        colleague = member_of(lab, "developer")
        project.owner = colleague
        project.save()
        cursor.execute("SELECT catalog_first_owner(%s, %s)", [asked.requested_by_id, project.pk])
        assert cursor.fetchone()[0] == colleague.pk


@pytest.mark.parametrize("role", Role.values)
def test_the_database_reads_roles_as_the_table_does(lab, project, role):
    person = member_of(lab, role)
    may_ask = role in roles_with("request_access")
    assert may_own(person, project) is may_ask
    narrowed = membership_of(person, lab)
    narrowed.project_roles.create(tenant=lab, project=project, role="viewer")
    assert may_own(person, project) is (role in (Role.OWNER, Role.ADMIN))
    narrowed.project_roles.update(role="developer")
    assert may_own(person, project) is True


def test_the_database_takes_no_owner_who_may_not_ask(grant, finance, stranger):
    for person in (finance, stranger, None):
        with pytest.raises(DatabaseError, match="a member who may request access"), transaction.atomic():
            Grant.objects.across_tenants().filter(pk=grant.pk).update(owner=person)


def test_leaving_suspends_it_until_somebody_takes_it_over(
    grant, claimed_key, developer, owner, colleague, lab
):
    assert callable_models() == {"glm-4.6"}
    shown = {kind.kind: kind.count for kind in owned_resources_of(developer, lab)}
    assert shown["grants"] == 1
    remove_member(membership_of(developer, lab).pk, by=owner, choices=dict.fromkeys(shown, END))
    assert (state_of(grant), callable_models()) == ("suspended", set())
    assert owner.email in told("grant.suspended")
    with pytest.raises(DatabaseError, match="a member who may request access"), transaction.atomic():
        Grant.objects.across_tenants().filter(pk=grant.pk).update(suspended_at=None)

    take_over_grant(grant.pk, by=colleague)
    assert (state_of(grant), grant.owner, callable_models()) == ("in_force", colleague, {"glm-4.6"})
    verbs = AuditEntry.objects.in_tenant(lab).filter(subject_id=str(grant.pk)).order_by("id")
    assert list(verbs.values_list("verb", flat=True)) == [
        "grant.given",
        "grant.suspended",
        "grant.handed_over",
        "grant.resumed",
    ]


def test_leaving_can_hand_it_over_instead(grant, claimed_key, developer, owner, colleague, finance, lab):
    kinds = [kind.kind for kind in owned_resources_of(developer, lab)]
    to = {kind: str(membership_of(finance, lab).pk) for kind in kinds}
    with pytest.raises(ValidationError, match="cannot answer for it"):
        remove_member(membership_of(developer, lab).pk, by=owner, choices=to)
    to = {kind: str(membership_of(colleague, lab).pk) for kind in kinds}
    remove_member(membership_of(developer, lab).pk, by=owner, choices=to)
    assert (state_of(grant), grant.owner, callable_models()) == ("in_force", colleague, {"glm-4.6"})


def test_a_lost_role_suspends_and_the_role_again_resumes(grant, claimed_key, developer, owner, lab):
    change_role(membership_of(developer, lab).pk, role="viewer", by=owner)
    assert (state_of(grant), callable_models()) == ("suspended", set())
    change_role(membership_of(developer, lab).pk, role="developer", by=owner)
    assert (state_of(grant), callable_models()) == ("in_force", {"glm-4.6"})


def test_a_project_role_that_narrows_suspends(grant, developer, owner, lab, project):
    set_project_role(project.pk, membership_of(developer, lab).pk, "viewer", by=owner)
    assert state_of(grant) == "suspended"


def test_deactivation_suspends_in_every_tenant_and_reactivation_resumes(
    grant, claimed_key, developer, operator
):
    deactivate_person(developer, by=operator, reason="Left the company.")
    assert (state_of(grant), callable_models()) == ("suspended", set())
    reactivate_person(developer, by=operator, reason="Back.")
    assert (state_of(grant), callable_models()) == ("in_force", {"glm-4.6"})


def test_what_nothing_followed_is_found_later(grant, claimed_key, developer, lab):
    Membership.objects.in_tenant(lab).filter(user=developer).delete()
    assert suspend_the_ownerless() == 1
    assert (state_of(grant), callable_models(), suspend_the_ownerless()) == ("suspended", set(), 0)


def test_nobody_takes_over_without_the_right_or_from_somebody_who_answers(
    grant, developer, colleague, finance, stranger, operator, owner
):
    with pytest.raises(Grant.DoesNotExist):
        take_over_grant(grant.pk, by=stranger)
    for person in (finance, operator):
        with pytest.raises(PermissionDenied):
            take_over_grant(grant.pk, by=person)
    with pytest.raises(PermissionDenied, match="answers for this grant"):
        take_over_grant(grant.pk, by=colleague)
    with pytest.raises(Conflict, match="already answer"):
        take_over_grant(grant.pk, by=developer)
    assert take_over_grant(grant.pk, by=owner).owner == owner


def test_an_ended_grant_is_neither_suspended_nor_taken_over(grant, developer, owner, lab):
    Grant.objects.across_tenants().filter(pk=grant.pk).update(
        valid_from=now() - timedelta(days=2), valid_until=now() - timedelta(days=1)
    )
    change_role(membership_of(developer, lab).pk, role="viewer", by=owner)
    grant.refresh_from_db()
    assert grant.suspended_at is None
    with pytest.raises(Conflict, match="has ended"):
        take_over_grant(grant.pk, by=owner)


def test_revoking_says_why_for_good_to_those_concerned(grant, claimed_key, developer, owner, colleague):
    with pytest.raises(ValidationError, match="Give a reason"):
        revoke_grant(grant.pk, by=colleague, reason=" ")
    revoke_grant(grant.pk, by=colleague, reason="The pilot is over.")
    grant.refresh_from_db()
    assert (grant.state, grant.revoked_by, grant.revoked_reason) == (
        "revoked",
        colleague,
        "The pilot is over.",
    )
    assert told("grant.revoked") == {developer.email, owner.email}
    with pytest.raises(DatabaseError, match="stays revoked"), transaction.atomic():
        Grant.objects.across_tenants().filter(pk=grant.pk).update(revoked_reason="Another one.")


@pytest.mark.django_db(transaction=True)
def test_who_is_deactivated_at_the_same_moment_owns_no_grant(ask, review_of, developer, operator):
    review = review_of(ask())
    reviewer = staff("security-reviewer")
    outcome = queued_behind(
        lambda: decide_review(review.pk, by=reviewer, verdict="approve"),
        first=lambda: deactivate_person(developer, by=operator, reason="Left."),
    )
    assert isinstance(outcome, Conflict), outcome
    assert not Grant.objects.across_tenants().filter(owner=developer, suspended_at=None).exists()
