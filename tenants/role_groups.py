"""The groups behind roles: `tenant:<id>:<role>` and `project:<id>:<role>`, with django-guardian permissions.

Membership and ProjectRole decide who is in which group. The actions that change those rows call these functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import connections

from accounts.models import User
from tenants.models import Project, Tenant
from tenants.permissions import forget_permissions
from tenants.roles import PROJECT_PERMISSIONS, PROJECT_ROLES, ROLE_PERMISSIONS, Role

# Every project role has it beside its permissions, so that a role without any permission can still be found.
PROJECT_MARK = "view_project"

_FOLLOW = """
WITH wanted AS (
    SELECT w.kind, w.role, p.id AS permission_id, p.content_type_id
      FROM unnest(%(kinds)s::text[], %(roles)s::text[], %(codenames)s::text[]) AS w (kind, role, codename)
      JOIN django_content_type t ON t.app_label = 'tenants' AND t.model = w.kind
      JOIN auth_permission p ON p.content_type_id = t.id AND p.codename = w.codename
), carriers AS (
    SELECT g.id, split_part(g.name, ':', 1) AS kind, split_part(g.name, ':', 2) AS object_pk,
           split_part(g.name, ':', 3) AS role
      FROM auth_group g
     WHERE CASE WHEN %(names)s::text[] IS NULL THEN g.name LIKE 'tenant:%%' OR g.name LIKE 'project:%%'
                ELSE g.name = ANY(%(names)s::text[]) END
), taken AS (
    DELETE FROM guardian_groupobjectpermission held
     USING carriers c
     WHERE held.group_id = c.id
       AND NOT EXISTS (SELECT FROM wanted w
                        WHERE w.kind = c.kind AND w.role = c.role AND w.permission_id = held.permission_id
                          AND held.object_pk = c.object_pk)
 RETURNING held.id
), given AS (
    INSERT INTO guardian_groupobjectpermission (group_id, permission_id, content_type_id, object_pk)
    SELECT c.id, w.permission_id, w.content_type_id, c.object_pk
      FROM carriers c
      JOIN wanted w USING (kind, role)
        ON CONFLICT DO NOTHING
 RETURNING id
)
SELECT (SELECT count(*) FROM taken) + (SELECT count(*) FROM given)
"""


def tenant_group_name(tenant: UUID | str, role: str) -> str:
    return f"tenant:{tenant}:{role}"


def project_group_name(project: UUID | str, role: str) -> str:
    return f"project:{project}:{role}"


def role_group(tenant: Tenant, role: str) -> Group:
    """Return the group for `role` in `tenant`. Creates it with its object permissions on first use."""
    return _group(tenant_group_name(tenant.pk, Role(role)))


def project_role_group(project: Project, role: str) -> Group:
    """Return the group for `role` in one project. Raises ValueError for owner, which only tenants have."""
    if role not in PROJECT_ROLES:
        raise ValueError(f"A project has no {role}.")
    return _group(project_group_name(project.pk, Role(role)))


def give_tenant_role(user: User, tenant: Tenant, role: str) -> None:
    """Put `user` into the tenant's group for `role` and remove them from its other groups. Safe to repeat."""
    group = role_group(tenant, role)
    user.groups.remove(*user.groups.filter(name__in=_tenant_groups(tenant)).exclude(pk=group.pk))
    user.groups.add(group)
    forget_permissions(user)


def take_tenant_role(user: User, tenant: Tenant) -> None:
    """Remove `user` from every group of the tenant and of its projects. Safe to repeat."""
    projects = Project.objects.in_tenant(tenant).values_list("pk", flat=True)
    names = _tenant_groups(tenant)
    names += [project_group_name(project, role) for project in projects for role in PROJECT_ROLES]
    user.groups.remove(*user.groups.filter(name__in=names))
    forget_permissions(user)


def give_project_role(user: User, project: Project, role: str) -> None:
    """Put `user` into the project's group for `role` and remove them from its other groups. Safe to repeat."""
    group = project_role_group(project, role)
    user.groups.remove(*user.groups.filter(name__in=_project_groups(project)).exclude(pk=group.pk))
    user.groups.add(group)
    forget_permissions(user)


def take_project_role(user: User, project: Project) -> None:
    """Remove `user` from every group of the project. Safe to repeat."""
    user.groups.remove(*user.groups.filter(name__in=_project_groups(project)))
    forget_permissions(user)


def follow_roles(names: Iterable[str] | None = None, *, using: str = "default") -> int:
    """Give role groups (those named, or all) exactly the permissions in tenants/roles.py. Safe to repeat.

    Runs one statement, however many groups exist. Returns how many permissions were added or removed.
    """
    wanted = [
        ("tenant", str(role), permission)
        for role, permissions in ROLE_PERMISSIONS.items()
        for permission in permissions
    ]
    for role in PROJECT_ROLES:
        permissions = (ROLE_PERMISSIONS[role] & PROJECT_PERMISSIONS) | {PROJECT_MARK}
        wanted += [("project", str(role), permission) for permission in permissions]
    kinds, roles, codenames = (list(column) for column in zip(*wanted, strict=True))
    with connections[using].cursor() as cursor:
        cursor.execute(
            _FOLLOW,
            {
                "kinds": kinds,
                "roles": roles,
                "codenames": codenames,
                "names": None if names is None else list(names),
            },
        )
        (changed,) = cursor.fetchone()
    return int(changed)


def _group(name: str) -> Group:
    group, is_new = Group.objects.get_or_create(name=name)
    if is_new:
        follow_roles([name])
    return group


def _tenant_groups(tenant: Tenant) -> list[str]:
    return [tenant_group_name(tenant.pk, role) for role in Role.values]


def _project_groups(project: Project) -> list[str]:
    return [project_group_name(project.pk, role) for role in PROJECT_ROLES]
