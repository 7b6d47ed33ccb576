"""Writing to the outbox, within the transaction of what happened."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

from django.db import models, transaction

from accounts import tasks
from accounts.models import OutboxMessage, User
from accounts.outbox.choices import wants
from accounts.outbox.events import Event

Channel: Final = OutboxMessage.Channel


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
        for channel in event.channels
        if (wants(recipient, event, channel) if isinstance(recipient, User) else channel == Channel.MAIL)
    ]
    # The database knows what was told before, to whomever this connection may see or not.
    OutboxMessage.objects.bulk_create(rows, ignore_conflicts=True)
    if people := [row.user_id for row in rows if row.user_id and row.channel == Channel.INBOX]:
        _mark_unread(people)
    if any(row.channel == Channel.MAIL for row in rows):
        tasks.send_mail_due.delay_on_commit()  # type: ignore[attr-defined]


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
    one for the same reason. Also those who are marked: reading may be about to unmark them, which this waits for.
    """

    def mark() -> None:
        for pk in people:
            User.objects.filter(pk=pk).update(has_unread=True)

    transaction.on_commit(mark)
