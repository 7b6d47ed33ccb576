"""Roles that must follow because somebody's groups changed: noted in the action's transaction, done right after it.

The note is the truth and the task only a hint: who is noted stays so until their roles are computed, by whoever
noted them, by the task, or by the clock within a minute. Roles are computed in a transaction of each person's own,
so that two changes of large groups never wait for each other in a circle.
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

# People; for more than these a task computes the roles.
MANY = 50
LONGEST_REASON = 200


def note_group_mappings_due(people: Iterable[UUID], *, reason: str) -> None:
    """Note, in the caller's transaction, whose groups changed. Noted again they are done again."""
    GroupMappingsDue.objects.bulk_create(
        [GroupMappingsDue(user_id=pk, reason=reason[:LONGEST_REASON], since=now()) for pk in sorted(people)],
        update_conflicts=True,
        unique_fields=["user"],
        update_fields=["reason", "since"],
    )


def note_changed_access(sender: Any, *, user: User, is_active: bool, reason: str, **kwargs: Any) -> None:
    """Receive tenants.signals.person_access_changed: the directory hears of it, and roles are computed anew.

    Args:
        sender: the sender of the signal.
        user: whose access changed.
        is_active: the person may sign in.
        reason: why, in words.
    """
    if is_active:
        note_group_mappings_due([user.pk], reason=reason)
    DirectoryPerson.objects.filter(user=user).update(changed_at=now())


def follow(people: Iterable[UUID]) -> None:
    """After the action's transaction: compute the roles at once if these are few people, else let a task do it."""
    few = sorted(people)
    if len(few) > MANY:
        transaction.on_commit(tasks.apply_due_group_mappings.delay, robust=True)
        return
    for pk in few:
        _apply(pk)


def apply_due_group_mappings(limit: int = 500) -> int:
    """Compute the roles of up to `limit` people who are noted, and return of how many. Safe to repeat."""
    noted = GroupMappingsDue.objects.order_by("since", "pk").values_list("pk", flat=True)[:limit]
    return sum(_apply(pk) for pk in list(noted))


def _apply(pk: UUID) -> bool:
    """Compute somebody's roles; say whether that went well. Who fails is noted on and keeps nobody else waiting.

    A task whose time is up stops here (SoftTimeLimitExceeded); who is left stays noted.
    """
    due = GroupMappingsDue.objects.select_related("user").filter(pk=pk).first()
    if due is None:
        return False
    if not group_mappings.try_to_apply(due.user, reason=due.reason):
        GroupMappingsDue.objects.filter(pk=pk, since=due.since).update(since=now())
        return False
    # Not if noted again meanwhile.
    GroupMappingsDue.objects.filter(pk=pk, since=due.since).delete()
    return True
