"""Who works for the platform."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from tenants import audit
from tenants.models import StaffAppointment, User
from tenants.permissions import require
from tenants.roles import StaffRole


@transaction.atomic
def make_staff(user: User, role: StaffRole | str, *, by: User | None) -> None:
    """Give `user` a platform-side role. `by` None means the platform (set-up). Safe to repeat.

    Raises:
        PermissionDenied: `by` may not appoint staff, or appoints themselves.
        ValidationError: `user` is a service account, which no person answers for.
    """
    _may_appoint(by, user)
    if user.is_service_account:
        raise ValidationError("A service account belongs to a tenant; give staff roles to people.")
    appointment, is_new = StaffAppointment.objects.get_or_create(user=user, role=StaffRole(role))
    if not is_new and user.is_staff and user.groups.filter(name=appointment.role).exists():
        return
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    user.groups.add(Group.objects.get(name=appointment.role))
    _forget(user)
    audit.record("staff_role.given", actor=by, subject=user, role=appointment.role)


@transaction.atomic
def end_staff_role(user: User, role: StaffRole | str, *, by: User | None) -> None:
    """Take a platform-side role from `user`, who is no longer staff without any. Safe to repeat.

    Raises:
        PermissionDenied: `by` may not appoint staff, or would end their own role.
    """
    _may_appoint(by, user)
    role = StaffRole(role)
    ended, _ = StaffAppointment.objects.filter(user=user, role=role).delete()
    user.groups.remove(Group.objects.get(name=role))
    if not user.is_superuser and not StaffAppointment.objects.filter(user=user).exists():
        user.is_staff = False
        user.save(update_fields=["is_staff"])
    _forget(user)
    if ended:
        audit.record("staff_role.taken", actor=by, subject=user, role=str(role))


def _may_appoint(by: User | None, user: User) -> None:
    if by is None:
        return
    require(by, "tenants.appoint_staff")
    if by.pk == user.pk:
        raise PermissionDenied("You cannot give or take your own staff roles; another operator can.")


def _forget(user: User) -> None:
    """Let this instance ask anew: Django remembers permissions on it."""
    for name in ("staff_roles", "_perm_cache", "_user_perm_cache", "_group_perm_cache"):
        user.__dict__.pop(name, None)
