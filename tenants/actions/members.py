"""Who belongs to a tenant, in which role."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from guardian.shortcuts import assign_perm

from tenants import audit
from tenants.models import Membership, Tenant, User
from tenants.permissions import require
from tenants.roles import ROLE_PERMISSIONS


def role_group(tenant: Tenant, role: str) -> Group:
    """The group that carries `role` in `tenant`, made with its object permissions when first asked for."""
    group, is_new = Group.objects.get_or_create(name=f"tenant:{tenant.pk}:{role}")
    if is_new:
        for permission in ROLE_PERMISSIONS[role]:
            assign_perm(f"tenants.{permission}", group, tenant)
    return group


@transaction.atomic
def add_member(tenant: Tenant, user: User, role: str, *, by: User | None) -> Membership:
    """Give `user` a role in `tenant`, replacing the one they had. Safe to repeat.

    Raises:
        PermissionDenied: `by` may not manage members here, or raises themselves.
    """
    if by is not None:
        require(by, "tenants.manage_members", tenant)
        if by.pk == user.pk:
            raise PermissionDenied("You cannot change your own role; another owner or admin can.")
    existing = Membership.objects.in_tenant(tenant).select_for_update().filter(user=user).first()
    if existing and existing.role == role:
        return existing  # type: ignore[no-any-return]
    if existing:
        user.groups.remove(role_group(tenant, existing.role))
        before, existing.role = existing.role, role
        existing.save(update_fields=["role"])
    else:
        before, existing = None, Membership.objects.create(tenant=tenant, user=user, role=role)
    user.groups.add(role_group(tenant, role))
    audit.record(
        "membership.changed" if before else "membership.added",
        actor=by,
        subject=existing,
        user=user.email,
        role=role,
        changes={"role": (before, role)},
    )
    return existing  # type: ignore[no-any-return]
