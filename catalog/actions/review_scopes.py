"""Giving people and roles the right to decide reviews, and taking it from them."""

from __future__ import annotations

from types import NoneType
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from guardian.models import GroupObjectPermission, UserObjectPermission
from guardian.shortcuts import assign_perm, remove_perm

import audit
from accounts.declared import action
from accounts.models import User
from accounts.roles import REVIEWERS, StaffRole
from catalog.actions.tracks import MANAGE
from catalog.models import CatalogModel, ReviewScope, ReviewTeam, Track
from catalog.review_scopes import DECIDE, DECIDE_LATE
from core.addresses import address_or_none
from core.errors import Conflict
from tenants.models import Tenant

EVERYTHING: Final = ""
_CODENAMES: Final = {name: name.removeprefix("catalog.") for name in (DECIDE, DECIDE_LATE)}


def _require_part(_by: User | None, scope: ReviewScope) -> None:
    if scope.is_everything:
        raise Conflict(
            _("The scope of a track for all tenants and models stays, so that somebody decides it.")
        )


@action(NoneType, permission=MANAGE)
@transaction.atomic
def add_review_scope(
    *, track: str, tenant: str = EVERYTHING, model: str = EVERYTHING, by: User
) -> ReviewScope:
    """Add a scope, in which nobody decides yet.

    Args:
        track: code of the track.
        tenant: slug of the one tenant; "": all.
        model: public name of the one model; "": all.
        by: an operator.

    Raises:
        PermissionDenied: `by` may not manage tracks.
        ValidationError: there is no such track, tenant or model.
        Conflict: there is such a scope.
    """
    add_review_scope.require(by, None)
    found_track = Track.objects.filter(code=track).first()
    found_tenant = Tenant.objects.visible_to(by).filter(slug=tenant).first() if tenant else None
    found_model = CatalogModel.objects.filter(name=model).first() if model else None
    problems = {}
    if found_track is None:
        problems["track"] = _("There is no such track.")
    if tenant and found_tenant is None:
        problems["tenant"] = _("There is no tenant with this name in its address.")
    if model and found_model is None:
        problems["model"] = _("The catalog has no model with this name.")
    if found_track is None or problems:
        raise ValidationError(problems)
    scope, is_new = ReviewScope.objects.get_or_create(
        track=found_track, tenant=found_tenant, model=found_model
    )
    if not is_new:
        raise Conflict(_("There is such a scope already."), code="already_there")
    audit.record("review_scope.added", actor=by, subject=scope, track=track)
    return scope


@action(ReviewScope, permission=MANAGE)
@transaction.atomic
def set_scope_person(
    pk: UUID | str, *, email: str, decides: bool, is_late: bool = False, by: User
) -> ReviewScope:
    """Let a reviewer decide in a scope, or no longer. Safe to repeat.

    Args:
        pk: id of the scope.
        email: of a person with a reviewer's role. Without one a person sees no requests, and the right gives nothing.
        decides: False takes the right; that of a role or group stays.
        is_late: the right is for reviews that are escalated, only.
        by: an operator.

    Raises:
        ReviewScope.DoesNotExist: there is no such scope.
        PermissionDenied: `by` may not manage tracks, or is that person: nobody gives themselves the right to decide.
        ValidationError: there is no such person, or they have no reviewer's role.
        Conflict: nobody would be left to decide the track for all tenants and models.
    """
    scope = _lock(pk)
    set_scope_person.require(by, scope)
    person = User.objects.filter(email=address_or_none(email) or "", service_of=None).first()
    if person is None:
        raise ValidationError({"email": _("Nobody has this address.")})
    if decides and person == by:
        raise PermissionDenied(_not_oneself())
    if decides and not person.has_perm(DECIDE):
        raise ValidationError(
            {"email": _("Give this person a reviewer's role first, so that they see requests.")}
        )
    if _set(scope, person, decides, DECIDE_LATE if is_late else DECIDE):
        verb = "review_scope.person_added" if decides else "review_scope.person_removed"
        audit.record(verb, actor=by, subject=scope, person=person.email, **_only_late(is_late))
    return scope


@action(ReviewScope, permission=MANAGE)
@transaction.atomic
def set_scope_role(pk: UUID | str, *, role: str, decides: bool, by: User) -> ReviewScope:
    """Let everybody with a reviewer's role decide in a scope, or no longer. Safe to repeat.

    Args:
        pk: id of the scope.
        role: a `StaffRole` of REVIEWERS.
        decides: False takes the right; that of a person stays.
        by: an operator.

    Raises:
        ReviewScope.DoesNotExist: there is no such scope.
        PermissionDenied: `by` may not manage tracks, or has that role: nobody gives themselves the right to decide.
        ValidationError: it is no reviewer's role.
        Conflict: nobody would be left to decide the track for all tenants and models.
    """
    scope = _lock(pk)
    set_scope_role.require(by, scope)
    if role not in REVIEWERS:
        raise ValidationError({"role": _("Choose a reviewer's role.")})
    group, _is_new = Group.objects.get_or_create(name=str(StaffRole(role)))
    if decides and by.groups.filter(pk=group.pk).exists():
        raise PermissionDenied(_not_oneself())
    if _set(scope, group, decides):
        verb = "review_scope.role_added" if decides else "review_scope.role_removed"
        audit.record(verb, actor=by, subject=scope, role=role)
    return scope


@action(ReviewScope, permission=MANAGE)
@transaction.atomic
def set_scope_team(
    pk: UUID | str, *, team: UUID | str, decides: bool, is_late: bool = False, by: User
) -> ReviewScope:
    """Let a team of reviewers decide in a scope, or no longer. Safe to repeat.

    Args:
        pk: id of the scope.
        team: id of the team.
        decides: False takes the right; that of a person stays.
        is_late: the right is for reviews that are escalated, only.
        by: an operator.

    Raises:
        ReviewScope.DoesNotExist, ReviewTeam.DoesNotExist: there is no such scope or team.
        PermissionDenied: `by` may not manage tracks, or is in the team: nobody gives themselves the right to decide.
        Conflict: nobody would be left to decide the track for all tenants and models.
    """
    scope = _lock(pk)
    set_scope_team.require(by, scope)
    # Locked, so that it is not deleted meanwhile.
    found = ReviewTeam.objects.select_related("group").select_for_update(of=("self",)).get(pk=team)
    if decides and by.groups.filter(pk=found.group_id).exists():
        raise PermissionDenied(_not_oneself())
    if _set(scope, found.group, decides, DECIDE_LATE if is_late else DECIDE):
        verb = "review_scope.team_added" if decides else "review_scope.team_removed"
        audit.record(verb, actor=by, subject=scope, team=found.name, **_only_late(is_late))
    return scope


@action(ReviewScope, permission=MANAGE, state=_require_part)
@transaction.atomic
def delete_review_scope(pk: UUID | str, *, by: User) -> ReviewScope:
    """Delete a scope, and with it the rights on it. Decisions that were made stay.

    Raises:
        ReviewScope.DoesNotExist: there is no such scope.
        PermissionDenied: `by` may not manage tracks.
        Conflict: it is the scope of its track for all tenants and models.
    """
    scope = _lock(pk)
    delete_review_scope.require(by, scope)
    for permission in (DECIDE, DECIDE_LATE):
        for person in people_of(scope, permission):
            remove_perm(permission, person, scope)
        for group in groups_of(scope, permission):
            remove_perm(permission, group, scope)
    audit.record("review_scope.deleted", actor=by, subject=scope)
    scope.delete()
    return scope


def drop_rights_of_former_reviewers(sender: type[User], user: User, by: User | None, **kwargs: Any) -> None:
    """Receive accounts.signals.staff_roles_changed: who reviews no longer loses the rights on scopes, too.

    Otherwise the next reviewer's role that they get, for another track perhaps, would bring the old rights back.
    """
    held = list(UserObjectPermission.objects.filter(user=user, permission__codename__in=_CODENAMES.values()))
    # Asked of a fresh copy: Django keeps the answers on the person, and more may change in this transaction.
    if not held or User.objects.get(pk=user.pk).has_perm(DECIDE):
        return
    scopes = ReviewScope.objects.select_related("track", "tenant", "model")
    for scope in scopes.filter(pk__in=[row.object_pk for row in held]):
        for permission in (DECIDE, DECIDE_LATE):
            remove_perm(permission, user, scope)
        audit.record("review_scope.person_removed", actor=by, subject=scope, person=user.email)


def people_of(scope: ReviewScope, permission: str = DECIDE) -> list[User]:
    """The people who decide in the scope in their own right, by address."""
    held = UserObjectPermission.objects.filter(
        object_pk=str(scope.pk), permission__codename=_CODENAMES[permission]
    )
    return list(User.objects.filter(pk__in=held.values("user")).order_by("email"))


def groups_of(scope: ReviewScope, permission: str = DECIDE) -> list[Group]:
    """The groups whose members decide in the scope, by name."""
    held = GroupObjectPermission.objects.filter(
        object_pk=str(scope.pk), permission__codename=_CODENAMES[permission]
    )
    return list(Group.objects.filter(pk__in=held.values("group")).order_by("name"))


def _only_late(is_late: bool) -> dict[str, Any]:
    """What the audit log says of a right that is for escalated reviews only."""
    return {"only_late": True} if is_late else {}


def _not_oneself() -> str:
    return _("Nobody gives themselves the right to decide. Ask another operator.")


def _lock(pk: UUID | str) -> ReviewScope:
    return (
        ReviewScope.objects.select_related("track", "tenant", "model")
        .select_for_update(of=("self",))
        .get(pk=pk)
    )


def _set(scope: ReviewScope, holder: User | Group, decides: bool, permission: str = DECIDE) -> bool:
    """Give or take the right; whether that changed anything."""
    people, groups = people_of(scope, permission), groups_of(scope, permission)
    has = holder in (people if isinstance(holder, User) else groups)
    if has == decides:
        return False
    if permission == DECIDE and scope.is_everything and not decides and len(people) + len(groups) == 1:
        raise Conflict(_("Let somebody else decide here first: nobody would be left to decide this track."))
    (assign_perm if decides else remove_perm)(permission, holder, scope)
    return True
