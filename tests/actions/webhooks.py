"""Actions with webhooks of a tenant."""

from __future__ import annotations

from django.utils.timezone import now

from tenants import actions
from tenants.models import Webhook, WebhookDelivery
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
UNSEEN = ("page", "API")
WEBHOOK = {"name": "CI", "url": "https://hooks.example.com/ci", "events": ["grant.given"]}


def webhook(world, actor):
    it, _secret = actions.add_webhook(world.tenant, **WEBHOOK, by=world.members["owner"])
    return it


def disabled(world, actor):
    it = webhook(world, actor)
    return actions.disable_webhook(it.pk, by=world.members["owner"])


def failed(world, actor):
    return WebhookDelivery.objects.create(
        tenant=world.tenant,
        webhook=webhook(world, actor),
        event="grant.given",
        subject_id="7",
        state="failed",
        settled_at=now(),
    )


def without_any(world, actor):
    """A tenant has few, and each try adds one."""
    Webhook.objects.in_tenant(world.tenant).delete()


def _act(name, verb, subject=webhook, admin=""):
    return Action(
        f"{name} a webhook",
        f"tenants.actions.{verb}_webhook",
        subject=subject,
        page=EntryPoint(f"POST /t/{{w.tenant.slug}}/webhooks/{{it.pk}}/{name}/"),
        api=EntryPoint(f"POST /api/v1/webhooks/{{it.pk}}/{name}/"),
        admin=EntryPoint(admin, SENT) if admin else None,
        unseen_at=UNSEEN,
    )


WEBHOOK_ACTIONS = [
    Action(
        "add a webhook",
        "tenants.actions.add_webhook",
        subject=without_any,
        page=EntryPoint("POST /t/{w.tenant.slug}/webhooks/new/", WEBHOOK),
        api=EntryPoint("POST /api/v1/webhooks/", {"tenant": "{w.tenant.slug}", **WEBHOOK}),
    ),
    Action(
        "change a webhook",
        "tenants.actions.change_webhook",
        subject=webhook,
        page=EntryPoint("POST /t/{w.tenant.slug}/webhooks/{it.pk}/edit/", WEBHOOK),
        api=EntryPoint("PATCH /api/v1/webhooks/{it.pk}/", {"name": "Ticket system"}),
        unseen_at=UNSEEN,
    ),
    Action(
        "rotate a webhook's secret",
        "tenants.actions.rotate_webhook_secret",
        subject=webhook,
        page=EntryPoint("POST /t/{w.tenant.slug}/webhooks/{it.pk}/rotate/", {"overlap_hours": "24"}),
        api=EntryPoint("POST /api/v1/webhooks/{it.pk}/rotate/", {"overlap_hours": 24}),
        unseen_at=UNSEEN,
    ),
    _act("test", "try"),
    _act("disable", "disable", admin="POST /admin/tenants/webhook/{it.pk}/disable/"),
    _act("enable", "enable", disabled),
    Action(
        "delete a webhook",
        "tenants.actions.delete_webhook",
        subject=webhook,
        page=EntryPoint("POST /t/{w.tenant.slug}/webhooks/{it.pk}/delete/"),
        api=EntryPoint("DELETE /api/v1/webhooks/{it.pk}/"),
        unseen_at=UNSEEN,
    ),
    Action(
        "send a webhook again what it missed",
        "tenants.actions.send_delivery_again",
        subject=failed,
        page=EntryPoint("POST /t/{w.tenant.slug}/webhook-deliveries/{it.pk}/again/"),
        api=EntryPoint("POST /api/v1/webhook-deliveries/{it.pk}/send-again/"),
        admin=EntryPoint("POST /admin/tenants/webhookdelivery/{it.pk}/again/", SENT),
        unseen_at=UNSEEN,
    ),
]
