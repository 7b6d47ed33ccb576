"""Groups that the organization's directory provisions (SCIM), and the roles that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from core.errors import Conflict
from core.names import is_one_line
from directory.actions.due_group_mappings import follow, note_group_mappings_due
from directory.actions.people import reason_of, speaking_for_a_directory
from directory.models import DirectoryGroup
from directory.scope import people

# An audit entry names at most this many people.
MOST_NAMED = 50
LONGEST_NAME = 200
Member = DirectoryGroup.members.through


class Action(Enum):
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True)
class MemberChange:
    """One change to a group's members: the people with these ids or, to remove, the ones that `matching` finds."""

    action: Action
    people: frozenset[UUID] = frozenset()
    # Filters membership rows.
    matching: Q | None = None


@dataclass(frozen=True)
class GroupFacts:
    """A group as the directory describes it, and the changes to its members, in order."""

    display_name: str
    external_id: str = ""
    members: tuple[MemberChange, ...] = ()


Edit = Callable[[DirectoryGroup], GroupFacts]


def provision_group(facts: GroupFacts, *, directory: str) -> DirectoryGroup:
    """Add a group from the directory, and give its members the roles that group mappings define.

    Raises:
        Conflict: (uniqueness) a group of that name exists; mappings refer to groups by name.
        ValidationError: the group has no name, or the directory does not know one of the members.
    """
    _check(facts)
    with speaking_for_a_directory():
        try:
            with transaction.atomic():
                group = DirectoryGroup.objects.create(
                    display_name=facts.display_name, external_id=facts.external_id
                )
        except IntegrityError as error:
            raise _taken(facts.display_name) from error
        added, _removed = _change_members(group, facts.members)
        audit.record(
            "directory_group.provisioned", actor=None, subject=group, directory=directory, members=len(added)
        )
        note_group_mappings_due(added, reason=reason_of(directory))
    follow(added)
    return group


def change_group(pk: UUID | str, edit: Edit, *, directory: str) -> DirectoryGroup:
    """Update a group from the directory, and the roles of everyone affected. Safe to repeat.

    Args:
        edit: takes the locked group and returns the new facts; an exception from it cancels the change.

    Raises:
        DirectoryGroup.DoesNotExist: there is no such group.
        Conflict: (uniqueness) another group has that name.
        ValidationError: the group would have no name, or the directory does not know one of the new members.
    """
    with speaking_for_a_directory():
        group = DirectoryGroup.objects.select_for_update().get(pk=pk)
        facts = edit(group)
        _check(facts)
        changes = {
            name: (old, new)
            for name, old, new in (
                ("display_name", group.display_name, facts.display_name),
                ("external_id", group.external_id, facts.external_id),
            )
            if old != new
        }
        added, removed = _change_members(group, facts.members)
        if not (changes or added or removed):
            return group
        group.display_name, group.external_id, group.changed_at = facts.display_name, facts.external_id, now()
        try:
            with transaction.atomic():
                group.save(update_fields=["display_name", "external_id", "changed_at"])
        except IntegrityError as error:
            raise _taken(facts.display_name) from error
        concerned = added | removed
        if "display_name" in changes:
            concerned |= set(Member.objects.filter(directorygroup=group).values_list("user_id", flat=True))
        audit.record(
            "directory_group.changed",
            actor=None,
            subject=group,
            directory=directory,
            changes=changes,
            added=_named(added),
            removed=_named(removed),
        )
        note_group_mappings_due(concerned, reason=reason_of(directory))
    follow(concerned)
    return group


def deprovision_group(pk: UUID | str, *, directory: str, check: Callable[[DirectoryGroup], object]) -> None:
    """Remove a group that the directory deleted; its members lose the roles that they had through it.

    Args:
        check: takes the locked group; an exception from it cancels the action.

    Raises:
        DirectoryGroup.DoesNotExist: there is no such group.
    """
    with speaking_for_a_directory():
        group = DirectoryGroup.objects.select_for_update().get(pk=pk)
        check(group)
        members = set(Member.objects.filter(directorygroup=group).values_list("user_id", flat=True))
        audit.record(
            "directory_group.deprovisioned",
            actor=None,
            subject=group,
            directory=directory,
            members=len(members),
        )
        group.delete()
        note_group_mappings_due(members, reason=reason_of(directory))
    follow(members)


def _change_members(group: DirectoryGroup, changes: Iterable[MemberChange]) -> tuple[set[UUID], set[UUID]]:
    """Apply the changes in order; return who joined and who left overall. Each takes a constant number of queries."""
    came: set[UUID] = set()
    went: set[UUID] = set()
    rows = Member.objects.filter(directorygroup=group)
    for change in changes:
        if change.action is not Action.ADD:
            gone = rows
            if change.action is Action.REPLACE:
                gone = rows.exclude(user__in=change.people)
            elif change.matching is not None:
                gone = rows.filter(change.matching)
            elif change.people:
                gone = rows.filter(user__in=change.people)
            leavers = set(gone.values_list("user_id", flat=True))
            rows.filter(user__in=leavers).delete()
            went |= leavers - came
            came -= leavers
        if change.action is not Action.REMOVE:
            newcomers = change.people - set(
                rows.filter(user__in=change.people).values_list("user_id", flat=True)
            )
            _check_known(newcomers)
            Member.objects.bulk_create(
                [Member(directorygroup=group, user_id=pk) for pk in sorted(newcomers)], ignore_conflicts=True
            )
            came |= newcomers - went
            went -= newcomers
    return came, went


def _check_known(ids: Iterable[UUID]) -> None:
    wanted = set(ids)
    known = set(people().filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()
    if missing := sorted(str(pk) for pk in wanted - known):
        raise ValidationError(
            _("There is no User %(id)s. Create people before you add them to groups.") % {"id": missing[0]}
        )


def _named(ids: set[UUID]) -> list[str]:
    """Ids of people for the audit log: at most the first MOST_NAMED, and the number of the others."""
    return [str(pk) for pk in sorted(ids)[:MOST_NAMED]] + (
        [f"and {len(ids) - MOST_NAMED} more"] if len(ids) > MOST_NAMED else []
    )


def _taken(name: str) -> Conflict:
    return Conflict(_("A group named %(name)s already exists.") % {"name": name}, code="uniqueness")


def _check(facts: GroupFacts) -> None:
    if not facts.display_name:
        raise ValidationError(_("A group needs a displayName."))
    if not is_one_line(facts.display_name):
        raise ValidationError(
            _(
                "displayName must be one line in Unicode's form NFC, without surrounding spaces and "
                "invisible characters."
            )
        )
    for name, value in (("displayName", facts.display_name), ("externalId", facts.external_id)):
        if len(value) > LONGEST_NAME:
            raise ValidationError(
                _("%(name)s is longer than %(longest)d characters.") % {"name": name, "longest": LONGEST_NAME}
            )
