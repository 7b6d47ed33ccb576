"""The outbox: what people are to be told, one row for each recipient and channel."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from core.addresses import AddressField, is_address
from core.ids import uuid7
from core.prefix import prefix_index
from core.reading import Noted


class OutboxQuerySet(models.QuerySet["OutboxMessage"]):
    def in_inbox_of(self, user: User) -> Self:
        """What a person finds in their inbox, newest first."""
        return self.filter(user=user, channel=OutboxMessage.Channel.INBOX).order_by("-id")


class OutboxMessage(Noted):
    """One thing that one recipient is told by one channel.

    An action writes it in its own transaction. It names what happened and the row that it happened to, never the words
    or a secret: those are made when it is sent, in the recipient's language, from what the recipient may see then.
    """

    tenant_column, person_column = "of_tenant_id", "user_id"

    class Channel(models.TextChoices):
        MAIL = "mail", _("E-mail")
        INBOX = "inbox", _("Inbox")
        CHAT = "chat", _("Chat")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        # There is nothing left to say: the subject is gone, or the recipient may no longer see it.
        DROPPED = "dropped", _("No longer needed")
        # A dead letter: nobody tries again unless a person says so.
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The name of a declared event (accounts/outbox/events.py).
    event = models.CharField(_("event"), max_length=60)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    # The recipient: a person, or an address that may have no account.
    user = models.ForeignKey(User, models.CASCADE, verbose_name=_("person"), null=True, related_name="+")
    address = AddressField(_("address"), blank=True)
    # Whose rows are read to say it. The row itself belongs to its recipient (core/rls.py).
    of_tenant = models.ForeignKey(
        "tenants.Tenant",
        models.PROTECT,
        verbose_name=_("tenant"),
        null=True,
        db_index=False,
        related_name="+",
    )
    # The row that it is about.
    subject_id = models.UUIDField(_("object"))
    # Tells two messages about one subject apart, such as an invitation that is sent again.
    occasion = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    state = models.CharField(_("state"), max_length=7, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # When the next attempt may begin. A running attempt has moved it on: if its process dies, it becomes due again.
    due_at = models.DateTimeField(_("next attempt"), default=now)
    # What the last attempt ran into, in English.
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    settled_at = models.DateTimeField(_("settled"), null=True)
    # In the inbox: when its recipient opened it.
    read_at = models.DateTimeField(_("read"), null=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        permissions: ClassVar[list[tuple[str, Any]]] = [("manage_outbox", "Send messages again")]
        constraints = [
            UniqueConstraint(
                fields=["subject_id", "event", "occasion", "channel", "user", "address"],
                name="outbox_message_once",
                nulls_distinct=False,
            ),
            CheckConstraint(
                name="outbox_message_to_somebody",
                condition=Q(user__isnull=False, address="") | Q(user__isnull=True) & ~Q(address=""),
            ),
            CheckConstraint(
                name="outbox_message_settled_unless_waiting",
                condition=Q(state="waiting", settled_at__isnull=True)
                | ~Q(state="waiting") & Q(settled_at__isnull=False),
            ),
            is_address("address", of="outbox_message"),
        ]
        indexes = [
            Index(fields=["channel", "due_at"], name="outbox_message_due", condition=Q(state="waiting")),
            Index(fields=["-id"], name="outbox_message_failed", condition=Q(state="failed")),
            Index(
                fields=["settled_at"], name="outbox_message_settled", condition=Q(settled_at__isnull=False)
            ),
            Index(fields=["event", "-id"], name="outbox_message_by_event"),
            Index(fields=["user", "-id"], name="outbox_message_inbox", condition=Q(channel="inbox")),
            Index(
                fields=["user"],
                name="outbox_message_unread",
                condition=Q(channel="inbox", read_at__isnull=True),
            ),
            prefix_index("address", "outbox_message_address_prefix"),
        ]

    def __str__(self) -> str:
        return f"{self.event}: {self.recipient}"

    @property
    def recipient(self) -> str:
        """The recipient's address."""
        return str(self.user.email if self.user else self.address)
