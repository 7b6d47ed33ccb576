"""Rights that are given past the actions bar like those that actions give: to a group, to a person, by a new row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now
from guardian.shortcuts import assign_perm

from accounts.actions import end_staff_role, make_staff
from accounts.models import User
from catalog.actions import decide_review, raise_access_request
from catalog.models import RequestDelegate, Review, ReviewDecision
from tenants import actions
from tenants.models import EmergencyAccess, PersonalAccessToken
from tests.factories import TenantFactory, member_of, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def review(lab, project, priced_model, owner):
    """The security review of what a service account of `owner` asked."""
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    given = {"purpose": "Letters.", "expected_tokens_per_day": 1000, "data_class": "internal"}
    asked = raise_access_request(project, priced_model.name, by=account, **given)
    return Review.objects.in_tenant(lab).get(access_request=asked)


@pytest.fixture
def reviewer(db):
    return staff("security-reviewer")


def capacities(review, person):
    rows = RequestDelegate.objects.in_tenant(review.tenant).filter(person=person)
    return set(rows.values_list("capacity", flat=True))


def decide(review, person):
    return decide_review(review.pk, by=User.objects.get(pk=person.pk), verdict="approve")


def run(statement, *values):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_a_role_that_somebody_had_for_a_minute(review, reviewer, lab, role):
    member = member_of(lab, "viewer")
    make_staff(member, "security-reviewer", by=None)
    for given in (role, "viewer"):
        run("UPDATE tenants_membership SET role = %s WHERE user_id = %s", given, member.pk)
    assert (capacities(review, member), capacities(review, reviewer)) == ({"manager"}, set())
    with pytest.raises(PermissionDenied, match="could create its tokens"):
        decide(review, member)
    assert decide(review, reviewer).state == "approved"


def test_a_membership_that_became_one_of_this_tenant(review, lab):
    """An admin's row of another tenant is moved here; the row of a viewer bars nobody."""
    admin, viewer = (member_of(TenantFactory(), role) for role in ("admin", "viewer"))
    assert not capacities(review, admin)
    for person in (admin, viewer):
        run("UPDATE tenants_membership SET tenant_id = %s WHERE user_id = %s", lab.pk, person.pk)
    assert (capacities(review, admin), capacities(review, viewer)) == ({"manager"}, set())


def test_rows_of_guardian_for_a_tenant_make_nobody_a_delegate(review, reviewer, lab):
    """They permit nothing there."""
    group = Group.objects.create(name="everybody")
    reviewer.groups.add(group)
    for holder in (group, reviewer):
        assign_perm("tenants.manage_tokens", holder, lab)
    assert capacities(review, reviewer) == set()
    assert decide(review, reviewer).state == "approved"


@pytest.mark.as_owner
@pytest.mark.parametrize("to", ["group", "person"])
def test_a_right_everywhere_that_staff_had_for_a_minute(review, reviewer, to):
    right = Permission.objects.get(codename="manage_tokens", content_type__model="tenant")
    holder = reviewer.user_permissions if to == "person" else reviewer.groups.get().permissions
    holder.add(right)
    holder.remove(right)
    assert capacities(review, reviewer) == {"staff"}
    with pytest.raises(PermissionDenied, match="could create its tokens"):
        decide(review, reviewer)


@pytest.mark.as_owner
def test_a_right_of_ones_own_when_it_was_asked(lab, project, priced_model, owner, reviewer):
    right = Permission.objects.get(codename="manage_service_accounts", content_type__model="tenant")
    reviewer.user_permissions.add(right)
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    given = {"purpose": "Letters.", "expected_tokens_per_day": 1000, "data_class": "internal"}
    asked = raise_access_request(project, priced_model.name, by=account, **given)
    reviewer.user_permissions.clear()
    review = Review.objects.in_tenant(lab).get(access_request=asked)
    assert capacities(review, reviewer) == {"staff"}


def test_an_administrator_who_was_made_meanwhile(review):
    late = User.objects.create_superuser("late@example.com", None)
    User.objects.filter(pk=late.pk).update(is_superuser=False)
    make_staff(late, "security-reviewer", by=None)
    assert capacities(review, late) == {"staff"}
    with pytest.raises(PermissionDenied, match="could create its tokens"):
        decide(review, late)


@pytest.mark.as_owner
@pytest.mark.parametrize("table", ["tenants_personalaccesstoken", "tenants_emergencyaccess"])
def test_who_was_written_down_by_nobody_is_known_by_their_own_row(review, reviewer, table):
    """As where a request and a token are made at the same moment, and neither transaction sees the other."""
    run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    if table == "tenants_emergencyaccess":
        opened = {
            "opened_by": reviewer,
            "reason": "Their owner is away.",
            "expires_at": now() + timedelta(minutes=9),
        }
        EmergencyAccess.objects.create(tenant=review.tenant, **opened, ended_at=now())
    else:
        PersonalAccessToken.objects.create(
            user=review.access_request.requested_by, tenant=review.tenant, name="t", prefix="qm_", digest="d",
            issued_by=reviewer, expires_at=now() + timedelta(days=1), revoked_at=now(),
        )  # fmt: skip
    assert capacities(review, reviewer) == set()
    with pytest.raises(PermissionDenied, match="could act for the requester"):
        decide(review, reviewer)
    assert not ReviewDecision.objects.in_tenant(review.tenant).exists()


def test_a_token_that_ended_before_it_was_asked_bars_nobody(lab, project, priced_model, owner, operator):
    reviewer = staff("operator")
    make_staff(reviewer, "security-reviewer", by=None)
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    token, _ = actions.issue_personal_access_token(account, name="t", life=timedelta(days=1), by=reviewer)
    actions.revoke_personal_access_token(token.pk, by=reviewer)
    end_staff_role(reviewer, "operator", by=operator)
    given = {"purpose": "Letters.", "expected_tokens_per_day": 1000, "data_class": "internal"}
    asked = raise_access_request(project, priced_model.name, by=account, **given)
    assert decide(Review.objects.in_tenant(lab).get(access_request=asked), reviewer).state == "approved"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE auth_permission SET codename = 'idle' WHERE codename = 'manage_tokens'",
        "UPDATE django_content_type SET model = 'idle' WHERE model = 'tenant'",
        "INSERT INTO auth_group_permissions (group_id, permission_id) SELECT g.id, p.id FROM auth_group g, "
        "auth_permission p WHERE g.name = 'auditor' AND p.codename = 'decide_review'",
        "INSERT INTO accounts_user_user_permissions (user_id, permission_id) SELECT u.id, p.id FROM accounts_user u, "
        "auth_permission p WHERE p.codename = 'decide_review'",
        "DELETE FROM auth_permission WHERE codename = 'manage_tokens'",
    ],
)
def test_the_console_gives_no_right_another_name_or_holder(reviewer, statement):
    with pytest.raises(DatabaseError, match="permission denied"):
        run(statement)
