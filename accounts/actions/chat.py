"""A person's own chat channel: add, try, remove."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.actions.own_account import record_own
from accounts.models import ChatChannel, User
from accounts.outbox.chat import LONGEST_ADDRESS, sealed, service_of
from accounts.outbox.chat_test import CHAT_TEST
from accounts.outbox.posting import tell
from core.errors import Conflict


@transaction.atomic
def add_chat_channel(user: User, *, address: str) -> ChatChannel:
    """Tell this person things at this address of a chat from now on, instead of at their former one.

    Raises ValidationError unless it is an address that Slack, Teams, DingTalk, WeCom or Feishu gave for a channel.
    """
    address = address.strip().rstrip("/")
    service = service_of(address) if len(address) <= LONGEST_ADDRESS else None
    if service is None:
        raise ValidationError(
            {"address": [_("This is no webhook address of Slack, Teams, DingTalk, WeCom or Feishu.")]}
        )
    User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)
    ChatChannel.objects.filter(user=user).delete()
    channel = ChatChannel.objects.create(
        user=user, service=service, ciphertext=sealed(address), hint=address[-4:]
    )
    _note(user, has_chat=True)
    record_own("person.chat_added", user, service=str(service))
    return channel


@transaction.atomic
def remove_chat_channel(user: User) -> None:
    """Tell this person nothing more in a chat. What waits is no longer needed. Safe to repeat."""
    if ChatChannel.objects.filter(user=user).delete()[0]:
        _note(user, has_chat=False)
        record_own("person.chat_removed", user)


@transaction.atomic
def try_chat_channel(user: User) -> None:
    """Send a test to this person's chat. Raises Conflict without a channel."""
    channel = ChatChannel.objects.filter(user=user).first()
    if channel is None:
        raise Conflict(_("You have no chat channel. Add one first."), code="no_chat")
    # One a minute, however often somebody clicks.
    tell(CHAT_TEST, [user], subject=channel, occasion=f"{now():%Y-%m-%d %H:%M}")


def _note(user: User, *, has_chat: bool) -> None:
    user.has_chat = has_chat
    user.save(update_fields=["has_chat"])
