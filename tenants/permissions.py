"""What a person's roles let them do in a tenant and its projects. Actions, pages and the API all ask here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q, QuerySet
from guardian.backends import ObjectPermissionBackend

from accounts.models import User
from accounts.permissions import require
from accounts.roles import PEOPLE_PERMISSIONS
from tenants.emergency import emergency_of
from tenants.models.tenancy import Membership, Project, ProjectRole, Tenant
from tenants.roles import NEVER_NARROWED, PROJECT_PERMISSIONS, ROLE_PERMISSIONS, Role, roles_with


def require_somewhere(user: User, permission: str, tenant: Tenant) -> None:
    """Raise PermissionDenied unless `user` holds `permission` on the tenant or on any of its projects."""
    if not may_somewhere(user, permission, tenant):
        require(user, permission, tenant)


def permissions_in(user: Any, subject: models.Model) -> set[str]:
    """Return the codenames of everything `user` may do in a tenant or project, such as "view_cost", at once."""
    return set(user.get_all_permissions(subject)) | _as_staff(user)


def tenants_where(user: Any, permission: str) -> QuerySet[Tenant]:
    """Return the tenants where `user` holds `permission`, by their role there or as staff; for use as a subquery."""
    tenants = Tenant.objects.visible_to(user)
    codename = permission.removeprefix("tenants.")
    if not user.is_active or user.is_superuser or codename in _as_staff(user):
        return tenants
    if user.is_service_account and codename in PEOPLE_PERMISSIONS:
        return tenants.none()
    here = Q(pk__in=user.memberships.filter(role__in=roles_with(codename)).values("tenant"))
    emergency = emergency_of(user)
    if emergency is not None and codename in AS_OWNER.in_tenant:
        here |= Q(pk=emergency.tenant_id)
    return tenants.filter(here)


def projects_where(user: Any, permission: str, tenant: Tenant) -> QuerySet[Project]:
    """Return the projects of `tenant` where `user` holds `permission`, by the tenant's role or the project's own."""
    projects = Project.objects.visible_to(user).in_tenant(tenant)
    codename = permission.removeprefix("tenants.")
    if user.is_superuser or codename in _as_staff(user):
        return projects
    permissions = permissions_of(user, tenant.pk)
    wider = [pk for pk, here in permissions.by_project.items() if codename in here]
    if codename not in permissions.in_tenant:
        return projects.filter(pk__in=wider) if wider else projects.none()
    narrower = [pk for pk, here in permissions.by_project.items() if codename not in here]
    return projects.exclude(pk__in=narrower) if narrower else projects


def service_accounts_where(permission: str, project: Project) -> QuerySet[User]:
    """Return the active service accounts that hold `permission` on a project, by tenant role or project role."""
    codename = permission.removeprefix("tenants.")
    roles = roles_with(codename)
    here = ProjectRole.objects.in_tenant(project.tenant).filter(project=project)
    here = here.exclude(membership__role__in=NEVER_NARROWED)
    by_role = Q(role__in=roles) & ~Q(pk__in=here.exclude(role__in=roles).values("membership"))
    by_project = Q(pk__in=here.filter(role__in=roles).values("membership"))
    members = Membership.objects.in_tenant(project.tenant).filter(by_role | by_project)
    return User.objects.filter(service_of=project.tenant, is_active=True, pk__in=members.values("user"))


def may_somewhere(user: Any, permission: str, tenant: Tenant) -> bool:
    """Whether `user` holds `permission` on the tenant or on any of its projects."""
    return user.has_perm(permission, tenant) or projects_where(user, permission, tenant).exists()


@dataclass(frozen=True)
class Permissions:
    """What a person's roles in one tenant let them do, as codenames."""

    in_tenant: frozenset[str] = frozenset()
    # Only the projects where the person has a project role.
    by_project: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def on_project(self, pk: UUID | str) -> frozenset[str]:
        """The project role decides project permissions, if there is one; the tenant role decides everything else."""
        here = self.by_project.get(str(pk))
        if here is None:
            return self.in_tenant
        return (self.in_tenant - PROJECT_PERMISSIONS) | here


NOTHING = Permissions()
AS_OWNER = Permissions(ROLE_PERMISSIONS[Role.OWNER])


def permissions_of(user: Any, tenant_id: UUID) -> Permissions:
    """Return what `user` may do in a tenant by their roles there, without staff roles. One query, cached on `user`.

    Every request loads its person anew, so a changed role takes effect at the next request. Inactive people and
    service accounts of another tenant get nothing. Emergency access gives an owner's permissions.
    """
    if not user.is_active or user.service_of_id not in (None, tenant_id):
        return NOTHING
    emergency = emergency_of(user)
    if emergency is not None and emergency.tenant_id == tenant_id:
        return AS_OWNER
    known: dict[UUID, Permissions] | None = getattr(user, "_permissions_by_tenant", None)
    if known is None:
        # Set through the attribute: request.user is a lazy wrapper around the person.
        known = user._permissions_by_tenant = {}
    if tenant_id not in known:
        known[tenant_id] = _ask_for_permissions(user, tenant_id)
    return known[tenant_id]


def forget_permissions(user: Any) -> None:
    """Clear the cache, because the person's roles have just changed."""
    user._permissions_by_tenant = {}


def _ask_for_permissions(user: Any, tenant_id: UUID) -> Permissions:
    # A row for each project role, or one row without any.
    rows = list(
        user.memberships.filter(tenant=tenant_id).values_list(
            "role", "project_roles__project", "project_roles__role"
        )
    )
    if not rows:
        return NOTHING
    role = rows[0][0]
    in_tenant = ROLE_PERMISSIONS[role]
    if user.is_service_account:
        in_tenant -= PEOPLE_PERMISSIONS
    if role in NEVER_NARROWED:
        return Permissions(in_tenant)
    by_project = {str(pk): ROLE_PERMISSIONS[here] & PROJECT_PERMISSIONS for _, pk, here in rows if pk}
    return Permissions(in_tenant, by_project)


def _as_staff(user: Any) -> set[str]:
    """Return the codenames in `tenants` that a staff role gives, in every tenant."""
    if not (user.is_staff and user.is_active):
        return set()
    names = user.get_all_permissions()
    return {name.removeprefix("tenants.") for name in names if name.startswith("tenants.")}


class RolePermissionBackend(ObjectPermissionBackend):
    """Checks permissions on tenants and their projects by the person's roles there: one query per tenant, cached.

    Only roles give permissions on these: rows of django-guardian for a tenant or project give none. django-guardian
    handles all other objects.
    """

    def has_perm(self, user_obj: Any, perm: str, obj: models.Model | None = None) -> bool:
        if not _is_ours(obj):
            return bool(super().has_perm(user_obj, perm, obj))
        app_label, _, codename = perm.rpartition(".")
        return app_label in ("", "tenants") and codename in self.get_all_permissions(user_obj, obj)

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not _is_ours(obj):
            return set(super().get_all_permissions(user_obj, obj))
        if not user_obj.is_authenticated or not user_obj.is_active:
            return set()
        if user_obj.is_superuser:
            return set().union(*ROLE_PERMISSIONS.values())
        tenant_id = getattr(obj, "tenant_id", None)
        if tenant_id is None:
            return set(permissions_of(user_obj, obj.pk).in_tenant)
        return set(permissions_of(user_obj, tenant_id).on_project(obj.pk))

    def get_group_permissions(self, user_obj: Any, obj: models.Model | None = None) -> set[str]:
        if not _is_ours(obj):
            return set(super().get_group_permissions(user_obj, obj))
        return self.get_all_permissions(user_obj, obj)


def _is_ours(obj: models.Model | None) -> bool:
    return isinstance(obj, Tenant | Project)
