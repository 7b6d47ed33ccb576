"""Webhooks: where programs of a tenant are told what happened there, and what each was told."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from core.ids import uuid7
from core.names import NameField, one_line
from core.stored_labels import StoredLabel
from core.tenant_managers import TenantOwned
from tenants.webhook_querysets import DeliveryQuerySet, WebhookQuerySet

LONGEST_ADDRESS: Final = 2_000

_DELIVERY = StoredLabel("tenants.webhookdelivery", _("%(event)s to %(webhook)s"))


class Webhook(TenantOwned):
    """An address of a tenant's own that is sent what happens in the tenant, signed with a secret that both know."""

    queryset_class = WebhookQuerySet["Webhook"]
    visible_to_staff = frozenset({"operator"})

    class Off(models.TextChoices):
        PERSON = "person", _("A person disabled it")
        FAILING = "failing", _("It failed for days")
        GONE = "gone", _("Its receiver said that it is gone")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = NameField(_("name"), max_length=80)
    url = models.CharField(_("address"), max_length=LONGEST_ADDRESS)
    # Names as in tenants/webhooks/events.py, which are those of the audit log.
    events = ArrayField(models.CharField(max_length=60), verbose_name=_("events"))
    # Encrypted (tenants/webhooks/signing.py). The old one signs as well until its time is over.
    secret = models.BinaryField(editable=False)
    old_secret = models.BinaryField(null=True, editable=False)
    old_secret_until = models.DateTimeField(_("old secret signs until"), null=True, editable=False)
    # The last characters of the secret, by which people recognize it.
    hint = models.CharField(_("secret ends with"), max_length=4, editable=False)
    disabled_at = models.DateTimeField(_("disabled"), null=True, editable=False)
    disabled_by = models.CharField(_("why disabled"), max_length=7, choices=Off, blank=True, editable=False)
    # Since its last success, the first failure.
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    created_by = models.ForeignKey(
        User, models.SET_NULL, verbose_name=_("created by"), null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints = [
            # For the foreign key of its deliveries (tenants/migrations/0013).
            UniqueConstraint(fields=["tenant", "id"], name="webhook_of_tenant"),
            one_line("name", of="webhook"),
            CheckConstraint(
                name="webhook_disabled_for_a_reason",
                condition=Q(disabled_at__isnull=True, disabled_by="")
                | Q(disabled_at__isnull=False) & ~Q(disabled_by=""),
            ),
            CheckConstraint(
                name="webhook_old_secret_ends",
                condition=Q(old_secret__isnull=True, old_secret_until__isnull=True)
                | Q(old_secret__isnull=False, old_secret_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """The state in one word: "active", "failing" or "disabled"."""
        if self.disabled_at is not None:
            return "disabled"
        return "failing" if self.failing_since is not None else "active"

    @property
    def host(self) -> str:
        """Where it leads, without path and query, which may hold a token."""
        return self.url.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0]

    def has_old_secret(self, at: datetime) -> bool:
        """Whether the secret before the last rotation signs as well at that time."""
        return self.old_secret_until is not None and at < self.old_secret_until


class WebhookDelivery(TenantOwned):
    """One event that a webhook is sent. It names the row that it happened to; the body is made when it is sent."""

    queryset_class = DeliveryQuerySet["WebhookDelivery"]
    visible_to_staff = frozenset({"operator"})

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DELIVERED = "delivered", pgettext_lazy("a webhook", "Delivered")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    webhook = models.ForeignKey(
        Webhook, models.CASCADE, verbose_name=_("webhook"), related_name="deliveries", db_index=False
    )
    event = models.CharField(_("event"), max_length=60)
    subject_id = models.CharField(_("object"), max_length=64)
    occurred_at = models.DateTimeField(_("happened"), default=now)
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # When the next attempt may begin. A running attempt has moved it on: if its process dies, it becomes due again.
    due_at = models.DateTimeField(_("next attempt"), default=now)
    # What the receiver answered last: the status of HTTP, and after how long. Null without an answer.
    status_code = models.PositiveSmallIntegerField(_("answer"), null=True)
    milliseconds = models.PositiveIntegerField(_("answered in (ms)"), null=True)
    # What the last attempt ran into, in English.
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    settled_at = models.DateTimeField(_("settled"), null=True)

    class Meta(TenantOwned.Meta):
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        constraints = [
            CheckConstraint(
                name="webhook_delivery_settled_unless_waiting",
                condition=Q(state="waiting", settled_at__isnull=True)
                | ~Q(state="waiting") & Q(settled_at__isnull=False),
            ),
        ]
        indexes = [
            Index(fields=["due_at"], name="webhook_delivery_due", condition=Q(state="waiting")),
            Index(
                fields=["webhook", "due_at"], name="webhook_delivery_waiting", condition=Q(state="waiting")
            ),
            Index(fields=["webhook", "-id"], name="webhook_delivery_of_webhook"),
            Index(fields=["-id"], name="webhook_delivery_failed", condition=Q(state="failed")),
            Index(
                fields=["settled_at"], name="webhook_delivery_settled", condition=Q(settled_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return _DELIVERY(event=self.event, webhook=self.webhook)
