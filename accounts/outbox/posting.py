"""Writing to the outbox, within the transaction of what happened."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, OuterRef
from django.utils.timezone import now

from accounts import tasks
from accounts.models import OutboxMessage, User
from accounts.outbox.choices import channels_of, wants
from accounts.outbox.events import Event
from core.scope import platform_scope

Channel: Final = OutboxMessage.Channel
# The sweep of unmarked people reads the messages of this time, by `outbox_message_settled`.
MISSED_WITHIN: Final = timedelta(days=1)
MARKED_AT_ONCE: Final = 1000


def tell(
    event: Event,
    recipients: Iterable[User | str],
    *,
    subject: models.Model,
    tenant: models.Model | None = None,
    occasion: str = "",
) -> None:
    """Tell people, or addresses, that `event` happened to `subject`, as soon as this transaction commits.

    People are told by those channels of the event that they have not switched off; addresses by mail.

    Telling the same again changes nothing, so an action that is repeated tells once.

    Args:
        event: what happened, as its app declares it.
        recipients: people and addresses.
        subject: the row that it happened to.
        tenant: whose rows say what happened; None: the platform's.
        occasion: tells this time from others of the same event and subject.
    """
    rows = [
        _row(event, channel, recipient, subject, tenant, occasion)
        for recipient in recipients
        for channel in channels_of(event)
        if (wants(recipient, event, channel) if isinstance(recipient, User) else channel == Channel.MAIL)
    ]
    # The database knows what was told before, to whomever this connection may see or not.
    OutboxMessage.objects.bulk_create(rows, ignore_conflicts=True)
    if people := [row.user_id for row in rows if row.user_id and row.channel == Channel.INBOX]:
        _mark_unread(people)
    if any(row.channel == Channel.MAIL for row in rows):
        # A broker that is away is no error of what happened: the clock sends it, too.
        transaction.on_commit(tasks.send_mail_due.delay, robust=True)
    if any(row.channel == Channel.CHAT for row in rows):
        transaction.on_commit(tasks.send_chat_due.delay, robust=True)


def _row(
    event: Event,
    channel: str,
    recipient: User | str,
    subject: models.Model,
    tenant: models.Model | None,
    occasion: str,
) -> OutboxMessage:
    row = OutboxMessage(
        event=event.name,
        channel=channel,
        user=recipient if isinstance(recipient, User) else None,
        address="" if isinstance(recipient, User) else recipient,
        of_tenant_id=tenant.pk if tenant else None,
        subject_id=subject.pk,
        occasion=occasion,
    )
    if channel == Channel.INBOX:
        # It has arrived as soon as it is written.
        row.state, row.settled_at = OutboxMessage.State.SENT, row.created_at
    return row


def _mark_unread(people: Collection[UUID]) -> None:
    """Let the pages of these people ask for what is unread, from the commit on.

    After it, because an action holds locks of rows by now, and whoever locks a person first may wait for those. One by
    one for the same reason. Also those who are marked: reading may be about to unmark them, which this waits for. Whom
    a process that died did not mark, `mark_the_missed` does.
    """

    def mark() -> None:
        for pk in people:
            User.objects.filter(pk=pk).update(has_unread=True)

    transaction.on_commit(mark, robust=True)


def mark_the_missed() -> int:
    """Mark people who have something unread of the last MISSED_WITHIN and are not marked; return how many.

    Safe to repeat. At most MARKED_AT_ONCE people; the next run finds the others.
    """
    with platform_scope("people with something unread", is_routine=True):
        unread = OutboxMessage.objects.filter(channel=Channel.INBOX, read_at=None, user__has_unread=False)
        recent = unread.filter(settled_at__gte=now() - MISSED_WITHIN).order_by()
        people = list(recent.values_list("user", flat=True).distinct()[:MARKED_AT_ONCE])
        return sum(_mark_if_unread(pk) for pk in people)


@transaction.atomic
def _mark_if_unread(pk: UUID) -> int:
    # Whoever reads holds this row, too, so the next query sees what they have read.
    User.objects.select_for_update(of=("self",), no_key=True).filter(pk=pk).first()
    unread = OutboxMessage.objects.filter(channel=Channel.INBOX, read_at=None, user=OuterRef("pk"))
    return User.objects.filter(Exists(unread), pk=pk).update(has_unread=True)
