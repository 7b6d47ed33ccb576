"""Writing to the outbox, within the transaction of what happened."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models

from accounts import tasks
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event


def tell(
    event: Event,
    recipients: Iterable[User | str],
    *,
    subject: models.Model,
    tenant: models.Model | None = None,
    occasion: str = "",
) -> None:
    """Tell people, or addresses, that `event` happened to `subject`, as soon as this transaction commits.

    Telling the same again changes nothing, so an action that is repeated tells once.

    Args:
        event: what happened, as its app declares it.
        recipients: people and addresses.
        subject: the row that it happened to.
        tenant: whose rows say what happened; None: the platform's.
        occasion: tells this time from others of the same event and subject.
    """
    rows = [
        OutboxMessage(
            event=event.name,
            channel=OutboxMessage.Channel.MAIL,
            user=recipient if isinstance(recipient, User) else None,
            address="" if isinstance(recipient, User) else recipient,
            of_tenant_id=tenant.pk if tenant else None,
            subject_id=subject.pk,
            occasion=occasion,
        )
        for recipient in recipients
    ]
    # The database knows what was told before, to whomever this connection may see or not.
    OutboxMessage.objects.bulk_create(rows, ignore_conflicts=True)
    tasks.send_mail_due.delay_on_commit()  # type: ignore[attr-defined]
