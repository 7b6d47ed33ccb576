"""A person's address in a chat."""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from core.ids import uuid7
from core.reading import Noted


class ChatChannel(Noted):
    """Where a person is told things in a chat. The address lets whoever has it write there, so nobody is shown it."""

    person_column = "user_id"

    class Service(models.TextChoices):
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"
        DINGTALK = "dingtalk", _("DingTalk")
        WECOM = "wecom", _("WeCom")
        FEISHU = "feishu", _("Feishu")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.OneToOneField(User, models.CASCADE, verbose_name=_("person"), related_name="chat_channel")
    service = models.CharField(_("service"), max_length=10, choices=Service)
    # Encrypted (accounts/outbox/chat.py).
    ciphertext = models.BinaryField(editable=False)
    # Its last characters, by which the person recognizes it.
    hint = models.CharField(_("address ends with"), max_length=4, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta:
        verbose_name = _("chat channel")
        verbose_name_plural = _("chat channels")

    def __str__(self) -> str:
        return f"{self.get_service_display()} …{self.hint}"
