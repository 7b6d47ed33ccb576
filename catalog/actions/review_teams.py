"""Making teams of reviewers, and changing who belongs to them."""

from __future__ import annotations

from types import NoneType
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from guardian.models import GroupObjectPermission

import audit
from accounts.declared import action
from accounts.models import User
from catalog.actions.tracks import MANAGE
from catalog.models import ReviewTeam
from catalog.review_scopes import DECIDE
from core.addresses import address_or_none
from core.editing import assign
from core.errors import Conflict
from core.ids import uuid7


@action(NoneType, permission=MANAGE)
@transaction.atomic
def add_review_team(*, name: str, by: User) -> ReviewTeam:
    """Add a team of reviewers, without people and scopes.

    Raises:
        PermissionDenied: `by` may not manage tracks.
        ValidationError: another team has the name, or it is none.
    """
    add_review_team.require(by, None)
    team = ReviewTeam(pk=uuid7())
    assign(team, {"name": name})
    team.full_clean(exclude=["group"])
    team.group = Group.objects.create(name=f"review-team:{team.pk}")
    team.save(force_insert=True)
    audit.record("review_team.added", actor=by, subject=team)
    return team


@action(ReviewTeam, permission=MANAGE)
@transaction.atomic
def set_team_member(pk: UUID | str, *, email: str, belongs: bool, by: User) -> ReviewTeam:
    """Add a reviewer to a team, or remove them. Safe to repeat.

    Args:
        pk: id of the team.
        email: of a person with a reviewer's role. Without one the scopes of the team would give them nothing.
        belongs: False removes them.
        by: an operator.

    Raises:
        ReviewTeam.DoesNotExist: there is no such team.
        PermissionDenied: `by` may not manage tracks, or adds themselves: nobody gives themselves the right to decide.
        ValidationError: there is no such person, or they have no reviewer's role.
    """
    team = _lock(pk)
    set_team_member.require(by, team)
    person = User.objects.filter(email=address_or_none(email) or "", service_of=None).first()
    if person is None:
        raise ValidationError({"email": _("Nobody has this address.")})
    if belongs and person == by:
        raise PermissionDenied(_("Nobody gives themselves the right to decide. Ask another operator."))
    if belongs and not person.has_perm(DECIDE):
        raise ValidationError(
            {"email": _("Give this person a reviewer's role first, so that they see requests.")}
        )
    if team.group.user_set.filter(pk=person.pk).exists() != belongs:
        (team.group.user_set.add if belongs else team.group.user_set.remove)(person)
        verb = "review_team.person_added" if belongs else "review_team.person_removed"
        audit.record(verb, actor=by, subject=team, person=person.email)
    return team


def _require_no_scopes(_by: User | None, team: ReviewTeam) -> None:
    if GroupObjectPermission.objects.filter(group=team.group_id).exists():
        raise Conflict(_("This team still decides in review scopes. Take it out of them first."))


@action(ReviewTeam, permission=MANAGE, state=_require_no_scopes)
@transaction.atomic
def delete_review_team(pk: UUID | str, *, by: User) -> ReviewTeam:
    """Delete a team that decides nowhere. Its people stay reviewers by their roles.

    Raises:
        ReviewTeam.DoesNotExist: there is no such team.
        PermissionDenied: `by` may not manage tracks.
        Conflict: it has review scopes.
    """
    team = _lock(pk)
    delete_review_team.require(by, team)
    audit.record("review_team.deleted", actor=by, subject=team)
    # The group stays, empty: only migrations delete groups, because they delete their permissions with them.
    team.group.user_set.clear()
    team.delete()
    return team


def leave_teams(sender: type[User], user: User, by: User | None, **kwargs: Any) -> None:
    """Receive accounts.signals.staff_roles_changed: who reviews no longer leaves the teams, too.

    Otherwise the next reviewer's role that they get would bring the rights of the teams back.
    """
    teams = list(ReviewTeam.objects.filter(group__user=user).select_related("group"))
    # Asked of a fresh copy: Django keeps the answers on the person, and more may change in this transaction.
    if not teams or User.objects.get(pk=user.pk).has_perm(DECIDE):
        return
    for team in teams:
        team.group.user_set.remove(user)
        audit.record("review_team.person_removed", actor=by, subject=team, person=user.email)


def _lock(pk: UUID | str) -> ReviewTeam:
    return ReviewTeam.objects.select_related("group").select_for_update(of=("self",)).get(pk=pk)
