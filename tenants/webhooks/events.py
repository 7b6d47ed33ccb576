"""What webhooks are sent: actions as the audit log records them, so none is told that did not happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.action_words import ACTIONS
from tenants import tasks
from tenants.models import Webhook, WebhookDelivery

if TYPE_CHECKING:
    from audit.models import AuditEntry

# Of the actions that `audit.record` records. A name is a promise to receivers, so none changes or goes.
EVENTS: Final = (
    "access_request.raised",
    "access_request.returned",
    "access_request.resent",
    "access_request.approved",
    "access_request.rejected",
    "access_request.withdrawn",
    "access_request.commented",
    "grant.given",
    "grant.revoked",
    "api_key.prepared",
    "api_key.claimed",
    "api_key.revoked",
    "limits.set",
    "project.created",
    "project.changed",
    "membership.added",
    "membership.changed",
    "membership.removed",
    "export.created",
    "tenant.suspended",
    "tenant.resumed",
)
# What the button of a webhook's page sends.
TEST: Final = "webhook.test"


def event_label(name: str) -> str | Promise:
    """What pages call an event: as they call the action in the audit log."""
    return _("Test") if name == TEST else ACTIONS.get(name, name)


def queue(entry: AuditEntry) -> None:
    """Let what the audit log records wait for the webhooks of its tenant that want it, in the same transaction."""
    if entry.verb not in EVENTS or entry.tenant_id is None:
        return
    wanted = Webhook.objects.across_tenants().enabled()
    wanted = wanted.filter(tenant=entry.tenant_id, events__contains=[entry.verb])
    deliveries = [
        WebhookDelivery(
            tenant_id=entry.tenant_id,
            webhook_id=pk,
            event=entry.verb,
            subject_id=entry.subject_id,
            occurred_at=entry.at,
        )
        for pk in wanted.values_list("pk", flat=True)
    ]
    if deliveries:
        WebhookDelivery.objects.bulk_create(deliveries)
        # A broker that is away is no error of what happened: the clock sends it, too.
        transaction.on_commit(tasks.send_webhooks_due.delay, robust=True)
