"""The groups that carry staff roles hold what accounts/roles.py says, also after it has changed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from accounts import roles
from accounts.models import User
from accounts.roles import STAFF_PERMISSIONS, StaffRole
from catalog.models import Review


def held_by(role):
    permissions = Group.objects.get(name=role).permissions
    return {
        f"{label}.{codename}"
        for label, codename in permissions.values_list("content_type__app_label", "codename")
    }


@pytest.mark.parametrize("role", StaffRole.values)
def test_a_staff_group_holds_exactly_what_its_role_has(db, role):
    assert held_by(role) == STAFF_PERMISSIONS[role]


@pytest.mark.as_owner
def test_staff_groups_follow_a_role_that_changes_with_the_next_migrate(security_reviewer, monkeypatch):
    """Of the catalog the reviewer loses one permission of several, of tenants all."""
    now = STAFF_PERMISSIONS[StaffRole.SECURITY_REVIEWER]
    lost = {"catalog.decide_review"} | {name for name in now if name.startswith("tenants.")}
    assert lost < now
    tomorrow = now - lost | {"gateway.view_gateway"}
    monkeypatch.setitem(roles.STAFF_PERMISSIONS, StaffRole.SECURITY_REVIEWER, tomorrow)
    assert security_reviewer.has_perm("catalog.decide_review")

    call_command("migrate", verbosity=0)
    assert held_by("security-reviewer") == tomorrow
    assert held_by("cost-reviewer") == STAFF_PERMISSIONS[StaffRole.COST_REVIEWER]
    assert not User.objects.get(pk=security_reviewer.pk).has_perm("catalog.decide_review")


@pytest.mark.as_owner
def test_a_permission_that_somebody_added_by_hand_is_taken_unless_it_is_of_another_app(db):
    group = Group.objects.get(name="auditor")
    of_ours = Permission.objects.get(content_type__app_label=Review._meta.app_label, codename="decide_review")
    of_another = Permission.objects.get(content_type__app_label="auth", codename="view_group")
    group.permissions.add(of_ours, of_another)

    call_command("migrate", verbosity=0)
    assert held_by("auditor") == STAFF_PERMISSIONS[StaffRole.AUDITOR] | {"auth.view_group"}
