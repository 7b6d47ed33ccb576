"""Membership and project role say who has which role, and one table what it permits; the database asks the same."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import DatabaseError, connection, transaction
from django.db.migrations.state import ProjectState
from guardian.models import GroupObjectPermission
from guardian.shortcuts import assign_perm

from accounts.models import User
from accounts.roles import PEOPLE_PERMISSIONS, PLATFORM_PERMISSIONS, STAFF_PERMISSIONS
from tenants import actions
from tenants.models import Membership, ProjectRole, Tenant
from tenants.permissions import permissions_in
from tenants.roles import NEVER_NARROWED, PROJECT_PERMISSIONS, PROJECT_ROLES, ROLE_PERMISSIONS, Role
from tests.emergency import browser_of, may_claim, open_in
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, member_of

pytestmark = pytest.mark.django_db
ALL = frozenset().union(*ROLE_PERMISSIONS.values())


def test_no_tenant_role_holds_an_action_of_the_platform():
    assert not PLATFORM_PERMISSIONS & ALL


def test_every_role_names_permissions_that_there_are():
    tenant_actions = ALL | PLATFORM_PERMISSIONS
    known = set(Permission.objects.filter(content_type__model="tenant").values_list("codename", flat=True))
    assert tenant_actions <= known
    declared = {codename for codename, _ in Tenant._meta.permissions}
    assert declared == tenant_actions, "every action declared on Tenant is somebody's"
    every = {
        f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")
    }
    assert set().union(*STAFF_PERMISSIONS.values()) <= every


@pytest.mark.parametrize("role", [*Role.values, "somebody", ""])
def test_the_database_knows_which_roles_make_tokens(role):
    """Four eyes rests on it: a role that gains or loses one of the two permissions needs a migration of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenants_role_makes_tokens(%s)", [role])
        (in_sql,) = cursor.fetchone()
    held = ROLE_PERMISSIONS.get(role, frozenset())
    assert in_sql is bool({"manage_tokens", "manage_service_accounts"} & held)


def test_the_database_takes_no_role_that_the_table_lacks(lab, project, developer):
    membership = Membership.objects.in_tenant(lab).get(user=developer)
    with pytest.raises(DatabaseError, match="membership_role_is_known"), transaction.atomic():
        Membership.objects.in_tenant(lab).filter(pk=membership.pk).update(role="root")
    with pytest.raises(DatabaseError, match="project_role_is_known"), transaction.atomic():
        ProjectRole.objects.create(tenant=lab, membership=membership, project=project, role="owner")


def group_of(kind, row, role, people):
    """A group as earlier versions kept it, with the permissions of its role on its object."""
    group = Group.objects.create(name=f"{kind}:{row.pk}:{role}")
    held = ROLE_PERMISSIONS[role] if kind == "tenant" else ROLE_PERMISSIONS[role] & PROJECT_PERMISSIONS
    for codename in held:
        assign_perm(f"tenants.{codename}", group, row)
    group.user_set.add(*people)
    return group


def as_groups_said(person, tenant, project):
    """What the groups of an earlier version permitted a person on a project, by their rows alone."""

    def held(**where):
        return GroupObjectPermission.objects.filter(group__user=person, **where)

    in_tenant = held(object_pk=str(tenant.pk))
    found = set(in_tenant.values_list("permission__codename", flat=True))
    roles = {name.rpartition(":")[2] for name in in_tenant.values_list("group__name", flat=True)}
    if (
        person.groups.filter(name__startswith=f"project:{project.pk}:").exists()
        and not roles & NEVER_NARROWED
    ):
        own = held(object_pk=str(project.pk)).values_list("permission__codename", flat=True)
        found = (found - PROJECT_PERMISSIONS) | set(own)
    return found - PEOPLE_PERMISSIONS if person.is_service_account else found


@pytest.fixture
def installation(lab, owner, project):
    """Tenants with a member of every role, project roles, a service account and emergency access, and their groups."""
    tenants = [lab, TenantFactory()]
    far = ProjectFactory(tenant=tenants[1])
    people = {role: [member_of(tenant, role) for tenant in tenants] for role in Role.values}
    people["owner"].append(owner)
    actions.add_member(tenants[1], people["developer"][0], "viewer", by=None)
    account = actions.create_service_account(lab, name="Nightly", role="admin", by=owner)
    for narrowed, role in zip(people["developer"] + people["finance"], PROJECT_ROLES, strict=True):
        place = Membership.objects.across_tenants().filter(user=narrowed).first()
        where = project if place.tenant_id == lab.pk else far
        ProjectRole.objects.create(tenant=place.tenant, membership=place, project=where, role=role)
    for tenant in tenants:
        for role in Role.values:
            memberships = Membership.objects.in_tenant(tenant).filter(role=role).select_related("user")
            group_of("tenant", tenant, role, [one.user for one in memberships])
    for given in ProjectRole.objects.across_tenants().select_related("project", "membership__user"):
        group_of("project", given.project, given.role, [given.membership.user])
    return tenants, [project, far], [account, *(person for some in people.values() for person in some)]


@pytest.mark.as_owner
def test_an_installation_of_before_keeps_every_right_and_loses_the_groups(installation, operator):
    tenants, projects, everybody = installation
    key = ApiKeyFactory.claimable(tenant=tenants[0], project=projects[0])
    browser = browser_of(operator)
    assert open_in(browser, tenants[0]).status_code == 302
    kept = Group.objects.create(name="tenant:payments security")
    assign_perm("tenants.view_cost", kept, tenants[0])
    staff_groups = set(Group.objects.exclude(name__regex="^(tenant|project):"))
    before = {
        (person.pk, project.pk): as_groups_said(person, project.tenant, project)
        for person in everybody
        for project in projects
    }
    assert sum(map(bool, before.values())) > 10

    migration = import_module("tenants.migrations.0010_no_groups_of_roles").Migration
    with connection.schema_editor(atomic=False) as editor:
        migration("0010_no_groups_of_roles", "tenants").apply(ProjectState(), editor)

    for person in everybody:
        person = User.objects.get(pk=person.pk)
        for project in projects:
            now = {name for name in ALL if person.has_perm(f"tenants.{name}", project)}
            assert now == before[person.pk, project.pk], (person, project)
            assert now == permissions_in(person, project)
    assert may_claim(browser, key)
    assert set(Group.objects.all()) == staff_groups | {kept}
    left = GroupObjectPermission.objects.filter(content_type__app_label="tenants")
    assert set(left.values_list("group", flat=True)) == {kept.pk}
    assert not User.groups.through.objects.exclude(group__in=Group.objects.all()).exists()
    connection.check_constraints()
