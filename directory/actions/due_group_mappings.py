"""Roles to compute after a person's groups change: noted in the action's transaction, computed right after it.

The note is the truth and the task only a hint. A person stays noted until their roles are computed: by the action that
noted them, by the task, or by the schedule within a minute. Each person's roles are computed in a transaction of their
own, so two changes of large groups never deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from accounts.models import User
from directory import group_mappings, tasks
from directory.models import DirectoryPerson, GroupMappingsDue

# For more people than this, a task computes the roles.
MANY = 50
LONGEST_REASON = 200


def note_group_mappings_due(people: Iterable[UUID], *, reason: str) -> None:
    """Note, in the caller's transaction, whose groups changed. A person noted again is computed again."""
    GroupMappingsDue.objects.bulk_create(
        [GroupMappingsDue(user_id=pk, reason=reason[:LONGEST_REASON], since=now()) for pk in sorted(people)],
        update_conflicts=True,
        unique_fields=["user"],
        update_fields=["reason", "since"],
    )


def note_changed_access(sender: Any, *, user: User, is_active: bool, reason: str, **kwargs: Any) -> None:
    """Receive tenants.signals.person_access_changed: update the directory entry, and note the roles to compute.

    Args:
        sender: the sender of the signal.
        user: the person whose access changed.
        is_active: True if the person may sign in.
        reason: why, in words.
    """
    if is_active:
        note_group_mappings_due([user.pk], reason=reason)
    DirectoryPerson.objects.filter(user=user).update(changed_at=now())


def follow(people: Iterable[UUID]) -> None:
    """After the action's transaction, compute the roles: at once for a few people, by a task for more than MANY."""
    few = sorted(people)
    if len(few) > MANY:
        transaction.on_commit(tasks.apply_due_group_mappings.delay, robust=True)
        return
    for pk in few:
        _apply(pk)


def apply_due_group_mappings(limit: int = 500) -> int:
    """Compute the roles of up to `limit` noted people; return how many succeeded. Safe to repeat."""
    noted = GroupMappingsDue.objects.order_by("since", "pk").values_list("pk", flat=True)[:limit]
    return sum(_apply(pk) for pk in list(noted))


def _apply(pk: UUID) -> bool:
    """Compute one person's roles; return whether that succeeded. A failed person stays noted, behind the others.

    A task that exceeds its time limit stops here (SoftTimeLimitExceeded); the remaining people stay noted.
    """
    due = GroupMappingsDue.objects.select_related("user").filter(pk=pk).first()
    if due is None:
        return False
    if not group_mappings.try_to_apply(due.user, reason=due.reason):
        GroupMappingsDue.objects.filter(pk=pk, since=due.since).update(since=now())
        return False
    # Keep the note if the person was noted again in the meantime.
    GroupMappingsDue.objects.filter(pk=pk, since=due.since).delete()
    return True
