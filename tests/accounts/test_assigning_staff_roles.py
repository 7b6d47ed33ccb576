"""Who gives and takes staff roles: operators and superusers, never their own."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse

from accounts.actions import end_staff_role, make_staff
from accounts.models import User
from audit.models import AuditEntry
from tests.factories import UserFactory, staff


def again(user):
    return User.objects.get(pk=user.pk)


@pytest.fixture
def colleague(db):
    return UserFactory(name="Cara Colleague")


def test_an_operator_assigns_and_ends_roles_with_an_entry_each(operator, colleague):
    make_staff(colleague, "auditor", by=operator)
    make_staff(colleague, "auditor", by=operator)  # safe to repeat
    assert again(colleague).staff_roles == {"auditor"}
    end_staff_role(colleague, "auditor", by=operator)
    end_staff_role(colleague, "auditor", by=operator)
    assert not again(colleague).is_staff
    lines = AuditEntry.objects.across_tenants().filter(subject_id=str(colleague.pk)).order_by("pk")
    assert [line.verb for line in lines] == ["staff_role.given", "staff_role.taken"]


def test_who_keeps_another_role_stays_staff(operator, colleague):
    for role in ("auditor", "controller"):
        make_staff(colleague, role, by=operator)
    end_staff_role(colleague, "auditor", by=operator)
    assert again(colleague).staff_roles == {"controller"}
    assert again(colleague).is_staff


def test_nobody_assigns_themselves_a_role_nor_ends_their_own(operator):
    with pytest.raises(PermissionDenied, match="your own"):
        make_staff(operator, "auditor", by=operator)
    with pytest.raises(PermissionDenied, match="your own"):
        end_staff_role(operator, "operator", by=operator)


def test_the_first_administrator_makes_the_first_operator(colleague):
    administrator = User.objects.create_superuser("root@example.com")
    make_staff(colleague, "operator", by=administrator)
    assert again(colleague).is_operator


@pytest.mark.parametrize("role", ["auditor", "controller", "security-reviewer"])
def test_other_staff_assign_no_role(colleague, role):
    with pytest.raises(PermissionDenied, match="staff roles"):
        make_staff(colleague, "operator", by=staff(role))


def test_an_owner_of_a_tenant_assigns_no_staff_role(owner, colleague):
    with pytest.raises(PermissionDenied):
        make_staff(colleague, "auditor", by=owner)


def test_a_service_account_is_no_staff(operator, lab):
    program = User.objects.create_user("nightly@lab.service.invalid", service_of=lab)
    with pytest.raises(ValidationError, match="people"):
        make_staff(program, "auditor", by=operator)


def test_a_person_without_their_role_is_refused_at_their_next_request(client, operator, colleague):
    make_staff(colleague, "auditor", by=operator)
    client.force_login(colleague)
    page = reverse("admin:tenants_tenant_changelist")
    assert client.get(page).status_code == 200
    end_staff_role(colleague, "auditor", by=operator)
    assert client.get(page).status_code == 302
