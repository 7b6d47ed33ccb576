"""Staff roles, which an operator or a group mapping assigns."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import Source, StaffRoleAssignment, User
from accounts.people import lock_person
from accounts.roles import StaffRole
from accounts.signals import staff_roles_changed
from core.errors import Conflict


def _require_other(by: User, person: User) -> None:
    if by.pk == person.pk:
        raise PermissionDenied(_("You cannot give or take your own staff roles; another operator can."))


@action(User, permission="accounts.assign_staff_role", rule=_require_other)
@transaction.atomic
def make_staff(user: User, role: StaffRole | str, *, by: User | None) -> None:
    """Give `user` a platform-side role. `by` None means the platform (setup). Safe to repeat.

    A role from a group mapping becomes one that a person assigned, and outlives the group.

    Raises:
        PermissionDenied: `by` may not assign staff roles, or assigns one to themselves.
        Conflict: the account is not active.
        ValidationError: `user` is a service account; only people can have staff roles.
    """
    make_staff.require(by, user)
    if not lock_person(user):
        raise Conflict(
            _("%(person)s has no active account. Activate it first.") % {"person": user}, code="not_active"
        )
    role = StaffRole(role)
    if user.is_service_account:
        raise ValidationError(_("A service account belongs to a tenant; give staff roles to people."))
    assignment, is_new = StaffRoleAssignment.objects.get_or_create(user=user, role=role)
    was = "" if is_new else assignment.source
    has_group = user.is_staff and user.groups.filter(name=role).exists()
    if was == Source.PERSON and has_group:
        return
    assignment.source = Source.PERSON
    assignment.save(update_fields=["source"])
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    user.groups.add(Group.objects.get(name=role))
    _forget(user)
    changes = {"source": (was or None, Source.PERSON.value)}
    audit.record("staff_role.given", actor=by, subject=user, changes=changes, role=str(role))
    _announce(user, "Their staff roles have changed.", by)


@action(User, permission="accounts.assign_staff_role", rule=_require_other)
@transaction.atomic
def end_staff_role(user: User, role: StaffRole | str, *, by: User | None) -> None:
    """Take a platform-side role from `user`, from their next request on; without any role they are no longer staff.

    Safe to repeat: without the role nothing changes.

    Raises:
        PermissionDenied: `by` may not assign staff roles, or would end their own role.
        Conflict: a group mapping gives the role, or nobody would be left to assign staff roles.
    """
    end_staff_role.require(by, user)
    role = StaffRole(role)
    lock_person(user)
    # Lock the group, so that transactions that end this role run one after the other.
    group = Group.objects.select_for_update().get(name=role)
    if by is not None:
        _forget(by)
        # Check again: somebody may have ended the role of `by` meanwhile.
        end_staff_role.require(by, user)
    assignment = StaffRoleAssignment.objects.filter(user=user, role=role).first()
    if assignment is None:
        return
    if assignment.source == Source.GROUP and by is not None:
        raise Conflict(
            _(
                "A group mapping gives %(person)s this role. Change the mapping, or their groups in the directory."
            )
            % {"person": user},
            code="given_by_rule",
        )
    if role == StaffRole.OPERATOR and not operators_besides(user):
        raise Conflict(
            _("%(person)s is the last operator. Assign the role to someone else first.") % {"person": user},
            code="last_operator",
        )
    assignment.delete()
    user.groups.remove(group)
    if not user.is_superuser and not StaffRoleAssignment.objects.filter(user=user).exists():
        user.is_staff = False
        user.save(update_fields=["is_staff"])
    _forget(user)
    audit.record("staff_role.taken", actor=by, subject=user, role=str(role))
    _announce(user, "Their staff roles have changed.", by)


def operators_besides(user: User) -> bool:
    """Whether another active person can assign staff roles."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    operators = Q(is_staff=True, staff_role_assignments__role=StaffRole.OPERATOR)
    return others.filter(operators | Q(is_superuser=True)).exists()


def _announce(user: User, reason: str, by: User | None) -> None:
    staff_roles_changed.send(User, user=user, reason=reason, by=by)


def _forget(user: User) -> None:
    """Drop the permissions that Django caches on this instance."""
    for name in ("staff_roles", "_perm_cache", "_user_perm_cache", "_group_perm_cache"):
        user.__dict__.pop(name, None)
