"""Who works for the platform."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction

from tenants import audit
from tenants.models import StaffAppointment, User
from tenants.roles import StaffRole


@transaction.atomic
def make_staff(user: User, role: StaffRole | str, *, by: User | None) -> None:
    """Give `user` a platform-side role. Safe to repeat."""
    if by is not None and not by.is_superuser:
        raise PermissionDenied("Only a superuser gives staff roles.")
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    StaffAppointment.objects.get_or_create(user=user, role=StaffRole(role))
    user.groups.add(Group.objects.get(name=StaffRole(role)))
    user.__dict__.pop("staff_roles", None)
    audit.record("staff_role.given", actor=by, subject=user, role=str(role))
