"""What operators do with messages of the outbox."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts import tasks
from accounts.declared import action
from accounts.models import OutboxMessage, User
from core.errors import Conflict


def _require_failed(by: User | None, message: OutboxMessage) -> None:
    if message.state != OutboxMessage.State.FAILED:
        raise Conflict(_("Only a message that failed can be sent again."), code="not_failed")


@action(OutboxMessage, permission="accounts.manage_outbox", state=_require_failed)
@transaction.atomic
def send_message_again(pk: UUID | str, *, by: User) -> OutboxMessage:
    """Let a message that failed wait for new attempts, as many as at first. Its recipient is checked again, too.

    Raises:
        OutboxMessage.DoesNotExist: there is no such message.
        PermissionDenied: `by` may not send messages again.
        Conflict: it has not failed.
    """
    message = OutboxMessage.objects.select_for_update(of=("self",)).select_related("of_tenant").get(pk=pk)
    send_message_again.require(by, message)
    message.state, message.settled_at = OutboxMessage.State.WAITING, None
    message.attempts, message.due_at = 0, now()
    message.save(update_fields=["state", "settled_at", "attempts", "due_at"])
    # Not to whom: the log outlives the person.
    audit.record(
        "outbox_message.sent_again",
        actor=by,
        subject=message,
        tenant=message.of_tenant,
        event=message.event,
        problem=message.problem,
    )
    is_chat = message.channel == OutboxMessage.Channel.CHAT
    send = tasks.send_chat_due if is_chat else tasks.send_mail_due
    transaction.on_commit(send.delay, robust=True)
    return message
