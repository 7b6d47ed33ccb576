"""Disabling a webhook, and telling the owners of its tenant when nobody did it by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

import audit
from accounts.mail import quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declare
from accounts.outbox.posting import tell
from tenants.emergency_mail import owners_of
from tenants.models import Membership, Webhook, WebhookDelivery
from tenants.roles import roles_with
from tenants.stored_sentences import WEBHOOK_IS_DISABLED


class WebhookDisabled(Event):
    """A webhook was disabled because it failed for days. Whoever manages the tenant is told, as long as they do."""

    name = "webhook.disabled"
    label = gettext_lazy("A webhook was disabled because it failed")
    channels = (OutboxMessage.Channel.MAIL, OutboxMessage.Channel.INBOX)

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        webhooks = Webhook.objects.across_tenants().filter(
            pk__in=[message.subject_id for message in messages],
            tenant__memberships__user=messages[0].user_id,
            tenant__memberships__role__in=roles_with("manage_tenant"),
        )
        if messages[0].channel == OutboxMessage.Channel.MAIL:
            webhooks = webhooks.filter(disabled_at__isnull=False)
        found = {webhook.pk: webhook for webhook in webhooks.select_related("tenant")}
        return {one.pk: found[one.subject_id] for one in messages if one.subject_id in found}

    def concerns(self, user: User) -> bool:
        managers = Membership.objects.across_tenants().filter(role__in=roles_with("manage_tenant"))
        return managers.filter(user=user).exists()

    def title(self, message: OutboxMessage, subject: Webhook) -> str:
        words = {"webhook": quoted(subject.name), "tenant": quoted(subject.tenant)}
        return _("The webhook %(webhook)s of %(tenant)s was disabled, because it failed") % words

    def lines(self, message: OutboxMessage, subject: Webhook) -> Sequence[str]:
        if subject.disabled_by == Webhook.Off.GONE:
            why = _("Its receiver answered that it is gone (status 410).")
        else:
            why = _("Its receiver took nothing for several days.")
        return [
            why,
            _(
                "Its page shows what failed. When the receiver works again, enable it and send what it missed."
            ),
        ]

    def path(self, message: OutboxMessage, subject: Webhook) -> str:
        return reverse("webhook-detail", args=[subject.tenant.slug, subject.pk])


WEBHOOK_DISABLED: Final = declare(WebhookDisabled())


def disable(webhook: Webhook, why: str, *, by: User | None = None) -> None:
    """Disable a webhook that this transaction has locked: nothing more is sent, and what waits has failed.

    Unless a person did it, the owners of the tenant are told.
    """
    webhook.disabled_at, webhook.disabled_by = now(), why
    webhook.save(update_fields=["disabled_at", "disabled_by"])
    waiting = WebhookDelivery.objects.in_tenant(webhook.tenant).waiting().filter(webhook=webhook)
    waiting.update(
        state=WebhookDelivery.State.FAILED, problem=WEBHOOK_IS_DISABLED(), settled_at=webhook.disabled_at
    )
    audit.record("webhook.disabled", actor=by, subject=webhook, how=str(why))
    if by is None:
        tell(
            WEBHOOK_DISABLED,
            owners_of(webhook.tenant_id),
            subject=webhook,
            tenant=webhook.tenant,
            occasion=webhook.disabled_at.isoformat(),
        )
