"""What people do with their inbox. Nothing here is recorded: it is theirs alone, and changes nothing else."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from accounts.models import OutboxMessage, User


def mark_read(pk: UUID | str, *, reader: User) -> OutboxMessage:
    """Mark one message of one's own inbox as read. Safe to repeat. Raises OutboxMessage.DoesNotExist for any other."""
    message = OutboxMessage.objects.in_inbox_of(reader).select_related("user").get(pk=pk)
    if message.read_at is None:
        _mark(reader, [message.pk])
    return message


def mark_all_read(*, reader: User) -> None:
    """Mark everything in one's own inbox as read. Safe to repeat."""
    _mark(reader, None)


@transaction.atomic
def _mark(user: User, keys: list[UUID] | None) -> None:
    # What is told from here on marks the person after this transaction (`tell`).
    User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    unread = OutboxMessage.objects.in_inbox_of(user).filter(read_at=None)
    (unread if keys is None else unread.filter(pk__in=keys)).order_by().update(read_at=now())
    user.has_unread = unread.exists()
    User.objects.filter(pk=user.pk).update(has_unread=user.has_unread)
    user.__dict__.pop("unread", None)
