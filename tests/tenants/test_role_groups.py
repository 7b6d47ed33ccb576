"""The groups that carry roles hold what tenants/roles.py says, also after it has changed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from guardian.models import GroupObjectPermission
from guardian.shortcuts import get_group_perms

from accounts.models import User
from accounts.roles import PLATFORM_PERMISSIONS, STAFF_PERMISSIONS
from tenants import role_groups, roles
from tenants.models import Tenant
from tenants.role_groups import follow_roles, project_role_group, role_group
from tenants.roles import PROJECT_PERMISSIONS, PROJECT_ROLES, ROLE_PERMISSIONS, Role
from tests.factories import TenantFactory


@pytest.mark.parametrize("role", Role.values)
def test_a_tenants_group_holds_its_roles_actions_on_that_tenant(lab, role):
    group = role_group(lab, role)
    assert group.name == f"tenant:{lab.pk}:{role}"
    assert set(get_group_perms(group, lab)) == ROLE_PERMISSIONS[role]
    assert not get_group_perms(group, TenantFactory())


@pytest.mark.parametrize("role", PROJECT_ROLES)
def test_a_projects_group_holds_what_its_role_may_do_with_a_project(project, role):
    held = set(get_group_perms(project_role_group(project, role), project))
    assert held == (ROLE_PERMISSIONS[role] & PROJECT_PERMISSIONS) | {"view_project"}


def test_a_project_has_no_owner(project):
    with pytest.raises(ValueError, match="no owner"):
        project_role_group(project, "owner")


def test_no_tenant_role_holds_an_action_of_the_platform():
    assert not PLATFORM_PERMISSIONS & set().union(*ROLE_PERMISSIONS.values())


def test_every_role_names_permissions_that_there_are(db):
    tenant_actions = set().union(*ROLE_PERMISSIONS.values()) | PLATFORM_PERMISSIONS
    known = set(Permission.objects.filter(content_type__model="tenant").values_list("codename", flat=True))
    assert tenant_actions <= known
    declared = {codename for codename, _ in Tenant._meta.permissions}
    assert declared == tenant_actions, "every action declared on Tenant is somebody's"
    every = {
        f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")
    }
    assert set().union(*STAFF_PERMISSIONS.values()) <= every


@pytest.fixture
def changed_roles(monkeypatch):
    """Roles of tomorrow: developers may not claim keys any more, and may change limits."""
    developer = (ROLE_PERMISSIONS[Role.DEVELOPER] - {"claim_key"}) | {"manage_limits"}
    tomorrow = ROLE_PERMISSIONS | {Role.DEVELOPER: developer}
    monkeypatch.setattr(role_groups, "ROLE_PERMISSIONS", tomorrow)
    assert roles.ROLE_PERMISSIONS is not tomorrow


def test_groups_follow_a_role_that_changes_with_the_next_migrate(lab, developer, project, changed_roles):
    theirs = project_role_group(project, "viewer")
    GroupObjectPermission.objects.filter(group=theirs).delete()  # lost somehow
    assert developer.has_perm("tenants.claim_key", lab)

    call_command("migrate", verbosity=0)
    developer = User.objects.get(pk=developer.pk)
    assert not developer.has_perm("tenants.claim_key", lab)
    assert developer.has_perm("tenants.manage_limits", lab)
    assert set(get_group_perms(theirs, project)) == {"view_project"}


def test_following_again_changes_nothing_and_leaves_other_groups_alone(lab, operator):
    for role in Role.values:
        role_group(lab, role)
    others = Group.objects.get(name="operator").permissions.count()
    assert follow_roles() == 0
    assert Group.objects.get(name="operator").permissions.count() == others


def test_a_permission_on_the_wrong_object_is_taken(lab):
    group = role_group(lab, "viewer")
    elsewhere = TenantFactory()
    held = GroupObjectPermission.objects.filter(group=group).first()
    held.pk, held.object_pk = None, str(elsewhere.pk)
    held.save()
    assert follow_roles() == 1
    assert not get_group_perms(group, elsewhere)
