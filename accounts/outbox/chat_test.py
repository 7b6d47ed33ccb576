"""The message by which a person tries their chat channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ChatChannel, OutboxMessage
from accounts.outbox.events import Event, declare


class ChatTest(Event):
    """A person tries their channel. The subject is the channel, as long as it is theirs."""

    name = "chat.test"
    label = gettext_lazy("Test of a chat channel")
    channels = (OutboxMessage.Channel.CHAT,)
    is_optional = False

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        found = {one.pk: one for one in ChatChannel.objects.filter(user=messages[0].user_id)}
        return {one.pk: found[one.subject_id] for one in messages if one.subject_id in found}

    def title(self, message: OutboxMessage, subject: ChatChannel) -> str:
        return _("This chat works")

    def path(self, message: OutboxMessage, subject: ChatChannel) -> str:
        return reverse("notifications")


CHAT_TEST: Final = declare(ChatTest())
