"""Webhooks of a tenant: add, change, test, rotate the secret, disable and enable, delete, and send again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.egress import EgressRefused, read_endpoint
from core.errors import Conflict
from core.names import read_field
from tenants import tasks
from tenants.models import Tenant, Webhook, WebhookDelivery
from tenants.models.webhooks import LONGEST_ADDRESS
from tenants.status import in_active_tenant, in_open_tenant, lock_tenant_shared
from tenants.webhooks.disabling import disable
from tenants.webhooks.events import EVENTS, TEST
from tenants.webhooks.sending import networks
from tenants.webhooks.signing import new_webhook_secret, sealed

MOST_WEBHOOKS: Final = 20
# For how long the old secret may sign as well.
OVERLAPS_HOURS: Final = (0, 1, 24, 168)
PERMISSION: Final = "tenants.manage_tenant"


@action(Tenant, permission=PERMISSION, on=lambda tenant: tenant, state=in_active_tenant)
@transaction.atomic
def add_webhook(
    tenant: Tenant, *, name: str, url: str, events: Iterable[str], by: User
) -> tuple[Webhook, str]:
    """Add a webhook. The secret with which receivers check what they get is shown now and never again.

    Args:
        tenant: whose events it is sent.
        name: what people call it.
        url: where it leads: https, and a public address unless operators allow others.
        events: which events, as in tenants/webhooks/events.py.
        by: who adds it.

    Raises:
        PermissionDenied: `by` may not manage the tenant.
        ValidationError: a name, address or event that cannot be.
        Conflict: the tenant is not active, or has as many webhooks as it may have.
    """
    tenant = lock_tenant_shared(tenant)
    add_webhook.require(by, tenant)
    wanted = {"name": _read_name(name), "url": read_address(url), "events": read_events(events)}
    if Webhook.objects.in_tenant(tenant).count() >= MOST_WEBHOOKS:
        raise Conflict(
            _("A tenant has at most %(most)d webhooks. Delete one that nobody needs.")
            % {"most": MOST_WEBHOOKS},
            code="too_many_webhooks",
        )
    secret = new_webhook_secret()
    webhook = Webhook.objects.create(
        tenant=tenant, secret=sealed(secret), hint=secret[-4:], created_by=by, **wanted
    )
    audit.record("webhook.added", actor=by, subject=webhook, host=webhook.host, events=wanted["events"])
    return webhook, secret


@action(Webhook, permission=PERMISSION, on=lambda webhook: webhook.tenant, state=in_active_tenant)
@transaction.atomic
def change_webhook(pk: UUID | str, *, name: str, url: str, events: Iterable[str], by: User) -> Webhook:
    """Change what a webhook is called, where it leads and which events it is sent. Its secret stays.

    Args:
        pk: the webhook.
        name: what people call it.
        url: where it leads.
        events: which events.
        by: who changes it.

    Raises:
        Webhook.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not manage the tenant.
        ValidationError: a name, address or event that cannot be.
        Conflict: the tenant is not active.
    """
    webhook = _locked(pk, by)
    change_webhook.require(by, webhook)
    before = {"name": webhook.name, "host": webhook.host, "events": sorted(webhook.events)}
    # The rest of an address may hold a token, so the log has only its host and whether it changed.
    is_moved = webhook.url != url.strip()
    webhook.name, webhook.url, webhook.events = _read_name(name), read_address(url), read_events(events)
    webhook.save(update_fields=["name", "url", "events"])
    after = {"name": webhook.name, "host": webhook.host, "events": sorted(webhook.events)}
    changes = {field: (before[field], after[field]) for field in before}
    audit.record("webhook.changed", actor=by, subject=webhook, changes=changes, address_changed=is_moved)
    return webhook


@action(Webhook, permission=PERMISSION, on=lambda webhook: webhook.tenant, state=in_active_tenant)
@transaction.atomic
def rotate_webhook_secret(pk: UUID | str, *, overlap_hours: int, by: User) -> tuple[Webhook, str]:
    """Give a webhook a new secret, shown now and never again. The old one signs as well until the overlap is over.

    Raises:
        Webhook.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not manage the tenant.
        ValidationError: an overlap that is not offered.
        Conflict: the tenant is not active.
    """
    webhook = _locked(pk, by)
    rotate_webhook_secret.require(by, webhook)
    if overlap_hours not in OVERLAPS_HOURS:
        raise ValidationError({"overlap_hours": [_("Choose 0, 1, 24 or 168 hours.")]})
    secret = new_webhook_secret()
    webhook.old_secret = webhook.secret if overlap_hours else None
    webhook.old_secret_until = now() + timedelta(hours=overlap_hours) if overlap_hours else None
    webhook.secret, webhook.hint = sealed(secret), secret[-4:]
    webhook.save(update_fields=["secret", "hint", "old_secret", "old_secret_until"])
    until = webhook.old_secret_until.isoformat() if webhook.old_secret_until else None
    audit.record("webhook.secret_rotated", actor=by, subject=webhook, until=until)
    return webhook, secret


def _require_enabled(by: User | None, webhook: Webhook) -> None:
    in_open_tenant(by, webhook)
    if webhook.disabled_at is not None:
        raise Conflict(_("This webhook is already disabled."), code="already_disabled")


@action(Webhook, permission=PERMISSION, on=lambda webhook: webhook.tenant, state=_require_enabled)
@transaction.atomic
def disable_webhook(pk: UUID | str, *, by: User) -> Webhook:
    """Send nothing more to a webhook. What waits for it has failed, and can be sent again once it is enabled.

    Raises:
        Webhook.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not manage the tenant.
        Conflict: it is disabled already, or the tenant is closed.
    """
    webhook = _locked(pk, by)
    disable_webhook.require(by, webhook)
    disable(webhook, Webhook.Off.PERSON, by=by)
    return webhook


def _require_disabled(by: User | None, webhook: Webhook) -> None:
    in_active_tenant(by, webhook)
    if webhook.disabled_at is None:
        raise Conflict(_("This webhook is enabled."), code="not_disabled")


@action(Webhook, permission=PERMISSION, on=lambda webhook: webhook.tenant, state=_require_disabled)
@transaction.atomic
def enable_webhook(pk: UUID | str, *, by: User) -> Webhook:
    """Send what happens from now on to a disabled webhook again.

    Raises:
        Webhook.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not manage the tenant.
        Conflict: it is not disabled, or the tenant is not active.
    """
    webhook = _locked(pk, by)
    enable_webhook.require(by, webhook)
    webhook.disabled_at, webhook.disabled_by, webhook.failing_since = None, "", None
    webhook.save(update_fields=["disabled_at", "disabled_by", "failing_since"])
    audit.record("webhook.enabled", actor=by, subject=webhook)
    return webhook


@action(Webhook, permission=PERMISSION, on=lambda webhook: webhook.tenant, state=in_open_tenant)
@transaction.atomic
def delete_webhook(pk: UUID | str, *, by: User) -> None:
    """Delete a webhook with the list of what it was sent.

    Raises:
        Webhook.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not manage the tenant.
        Conflict: the tenant is closed.
    """
    webhook = _locked(pk, by)
    delete_webhook.require(by, webhook)
    audit.record("webhook.deleted", actor=by, subject=webhook, host=webhook.host)
    webhook.delete()


def _require_working(by: User | None, webhook: Webhook) -> None:
    in_active_tenant(by, webhook)
    if webhook.disabled_at is not None:
        raise Conflict(_("This webhook is disabled. Enable it first."), code="disabled")


@action(Webhook, permission=PERMISSION, on=lambda webhook: webhook.tenant, state=_require_working)
@transaction.atomic
def try_webhook(pk: UUID | str, *, by: User) -> WebhookDelivery:
    """Send a webhook an event that means nothing, so that its receiver can be tried.

    Raises:
        Webhook.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not manage the tenant.
        Conflict: it is disabled, a test still waits, or the tenant is not active.
    """
    webhook = _locked(pk, by)
    try_webhook.require(by, webhook)
    tests = WebhookDelivery.objects.in_tenant(webhook.tenant).waiting().filter(webhook=webhook, event=TEST)
    if tests.exists():
        raise Conflict(_("A test is still on its way."), code="test_waits")
    delivery = WebhookDelivery.objects.create(
        tenant=webhook.tenant, webhook=webhook, event=TEST, subject_id=str(webhook.pk)
    )
    audit.record("webhook.tested", actor=by, subject=webhook)
    transaction.on_commit(tasks.send_webhooks_due.delay, robust=True)
    return delivery


def _require_settled(by: User | None, delivery: WebhookDelivery) -> None:
    _require_working(by, delivery.webhook)
    if delivery.state == WebhookDelivery.State.WAITING:
        raise Conflict(_("This is still being sent."), code="still_waits")


@action(WebhookDelivery, permission=PERMISSION, on=lambda delivery: delivery.tenant, state=_require_settled)
@transaction.atomic
def send_delivery_again(pk: UUID | str, *, by: User) -> WebhookDelivery:
    """Send a webhook again what it was sent, or missed: with the same id, and as many attempts as at first.

    Raises:
        WebhookDelivery.DoesNotExist: `by` cannot see it.
        PermissionDenied: `by` may not manage the tenant.
        Conflict: it is still being sent, the webhook is disabled, or the tenant is not active.
    """
    visible = WebhookDelivery.objects.visible_to(by).select_related("webhook", "tenant")
    delivery = visible.select_for_update(of=("self",)).get(pk=pk)
    send_delivery_again.require(by, delivery)
    delivery.state, delivery.settled_at = WebhookDelivery.State.WAITING, None
    delivery.attempts, delivery.due_at = 0, now()
    delivery.save(update_fields=["state", "settled_at", "attempts", "due_at"])
    audit.record("webhook_delivery.sent_again", actor=by, subject=delivery, event=delivery.event)
    transaction.on_commit(tasks.send_webhooks_due.delay, robust=True)
    return delivery


def _locked(pk: UUID | str, by: User) -> Webhook:
    visible = Webhook.objects.visible_to(by).select_related("tenant")
    return visible.select_for_update(of=("self",), no_key=True).get(pk=pk)


def _read_name(name: str) -> str:
    return read_field(
        "name", name, missing=_("Give the webhook a name, in at most 80 characters."), longest=80
    )


def read_address(url: str) -> str:
    """The address of a webhook. Raises ValidationError for one that is no address, or that may not be reached."""
    url = url.strip()
    if not url or len(url) > LONGEST_ADDRESS:
        raise ValidationError(
            {"url": [_("Enter an address such as https://hooks.example.com/quartermaster")]}
        )
    try:
        read_endpoint(url, networks())
    except EgressRefused as refused:
        raise ValidationError({"url": [_in_words(refused)]}) from refused
    return url


def _in_words(refused: EgressRefused) -> str:
    """Why an address cannot be: how it is written, or one sentence about networks, which says nothing about ours."""
    if refused.code == "scheme":
        return _("The address begins with https://")
    if refused.code in ("url", "port", "path", "host", "user_info"):
        return gettext(refused.template) % refused.facts
    return _("Webhooks reach public addresses only. Ask an operator whether yours can be allowed.")


def read_events(events: Iterable[str]) -> list[str]:
    """The events in their order, each once. Raises ValidationError without one, and for one that there is not."""
    wanted = set(events)
    if unknown := sorted(wanted - set(EVENTS)):
        raise ValidationError({"events": [_("There is no event %(name)s.") % {"name": unknown[0]}]})
    if not wanted:
        raise ValidationError({"events": [_("Choose at least one event.")]})
    return [event for event in EVENTS if event in wanted]
