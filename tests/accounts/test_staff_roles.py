"""Who works for the platform: assigned by somebody else, ended at once, never the last operator's."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from accounts.actions import end_staff_role, make_staff
from accounts.models import Source, StaffRoleAssignment, User
from audit.models import AuditEntry
from core.errors import Conflict
from tests.concurrency import at_the_same_time
from tests.factories import UserFactory, staff

LIST = "/admin/accounts/staffroleassignment/"


def roles_of(user):
    return User.objects.get(pk=user.pk).staff_roles


def test_an_operator_assigns_and_ends_roles_and_the_audit_log_says_so(operator):
    person = UserFactory()
    make_staff(person, "auditor", by=operator)
    assert roles_of(person) == {"auditor"}
    end_staff_role(person, "auditor", by=operator)
    assert roles_of(person) == frozenset()
    assert not User.objects.get(pk=person.pk).is_staff
    lines = AuditEntry.objects.across_tenants().filter(subject_id=str(person.pk), actor=operator)
    assert [line.verb for line in lines.order_by("at")] == ["staff_role.given", "staff_role.taken"]


def test_ending_a_role_acts_at_the_next_request(client, operator):
    person = staff("auditor")
    client.force_login(person)
    assert client.get("/admin/tenants/tenant/").status_code == 200
    end_staff_role(person, "auditor", by=operator)
    assert client.get("/admin/tenants/tenant/").status_code == 302


def test_one_role_goes_the_others_stay(operator):
    person = staff("auditor")
    make_staff(person, "controller", by=operator)
    end_staff_role(person, "auditor", by=operator)
    assert roles_of(person) == {"controller"}


@pytest.mark.parametrize("role", ["auditor", "controller", "security-reviewer"])
def test_only_operators_assign_roles(db, role):
    with pytest.raises(PermissionDenied, match="staff roles"):
        make_staff(UserFactory(), "auditor", by=staff(role))


def test_nobody_assigns_or_ends_their_own_role(operator):
    staff("operator")
    with pytest.raises(PermissionDenied, match="your own"):
        make_staff(operator, "security-reviewer", by=operator)
    with pytest.raises(PermissionDenied, match="your own"):
        end_staff_role(operator, "operator", by=operator)


def test_the_last_operator_stays(operator):
    with pytest.raises(Conflict, match="last operator"):
        end_staff_role(operator, "operator", by=None)
    other = staff("operator")
    end_staff_role(operator, "operator", by=None)
    with pytest.raises(Conflict, match="last operator"):
        end_staff_role(other, "operator", by=None)


def test_one_who_cannot_sign_in_is_no_operator_left(operator):
    gone = staff("operator")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    with pytest.raises(Conflict, match="last operator"):
        end_staff_role(operator, "operator", by=None)


def test_what_a_rule_gave_a_person_does_not_take(operator):
    person = staff("auditor")
    StaffRoleAssignment.objects.filter(user=person).update(source=Source.GROUP)
    with pytest.raises(Conflict, match="group mapping"):
        end_staff_role(person, "auditor", by=operator)
    make_staff(person, "auditor", by=operator)
    assert StaffRoleAssignment.objects.get(user=person).source == Source.PERSON
    end_staff_role(person, "auditor", by=operator)


def test_repeating_changes_and_writes_nothing(operator):
    person = staff("auditor")
    before = AuditEntry.objects.across_tenants().count()
    make_staff(person, "auditor", by=operator)
    end_staff_role(person, "controller", by=operator)
    assert AuditEntry.objects.across_tenants().count() == before


def test_programs_and_the_inactive_are_not_staff(lab, operator):
    with pytest.raises(ValidationError, match="service account"):
        make_staff(UserFactory(service_of=lab), "auditor", by=operator)
    with pytest.raises(Conflict, match="no active account"):
        make_staff(UserFactory(is_active=False), "auditor", by=operator)


@pytest.mark.django_db(transaction=True)
def test_two_operators_who_end_each_others_role_leave_one(operator):
    other = staff("operator", name="Olga")
    at_the_same_time(
        lambda: end_staff_role(
            User.objects.get(pk=other.pk), "operator", by=User.objects.get(pk=operator.pk)
        ),
        lambda: end_staff_role(
            User.objects.get(pk=operator.pk), "operator", by=User.objects.get(pk=other.pk)
        ),
    )
    assert StaffRoleAssignment.objects.filter(role="operator").count() == 1


def test_the_admin_assigns_and_ends_roles(client, operator):
    person = UserFactory(email="ada@example.org")
    client.force_login(operator)
    assert (
        client.post(f"{LIST}assign/", {"email": "nobody@example.org", "role": "auditor"}).status_code == 422
    )
    assert client.post(f"{LIST}assign/", {"email": operator.email, "role": "auditor"}).status_code == 422
    assert client.post(f"{LIST}assign/", {"email": "ADA@example.org", "role": "auditor"}).status_code == 302
    assert roles_of(person) == {"auditor"}
    assignment = StaffRoleAssignment.objects.get(user=person)
    assert (
        "ada@example.org" in client.get(LIST).content.decode()
        or str(person) in client.get(LIST).content.decode()
    )
    client.post(f"{LIST}{assignment.pk}/end/", {"_form_submitted": "True"})
    assert roles_of(person) == frozenset()


def test_auditors_look_and_do_nothing(db, client):
    auditor, person = staff("auditor"), UserFactory()
    client.force_login(auditor)
    assert client.get(LIST).status_code == 200
    assert client.post(f"{LIST}assign/", {"email": person.email, "role": "auditor"}).status_code == 403
