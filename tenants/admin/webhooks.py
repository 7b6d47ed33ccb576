"""Staff pages: webhooks of all tenants, and what they were sent."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin.base import Colors, ReadOnlyAdmin
from accounts.admin.dialogs import Dialog
from core.stored_words import retold
from tenants.actions import disable_webhook, send_delivery_again
from tenants.models import Webhook, WebhookDelivery
from tenants.webhooks.events import event_label

WORDS = {"active": _("Active"), "failing": _("Failing"), "disabled": _("Disabled")}


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    """Where programs of tenants are told what happens there; never path and query, which may hold a token."""

    page_badge = "state_label"
    list_display = ["name", "tenant", "leads_to", "state_label", "failing_since", "created_at"]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__name"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "tenant", "name", "leads_to", "events", "state_label", "failing_since", "disabled_at", "why_disabled",
        "old_secret_until", "created_by", "created_at",
    ]  # fmt: skip
    actions_detail = ["disable"]
    empty_title = _("No webhooks")
    empty_text = _("Webhooks that tenants add are listed here.")

    @display(description=_("Leads to"))
    def leads_to(self, webhook: Webhook) -> str:
        return webhook.host

    @display(description=_("State"), label=Colors(active="success", failing="warning"))
    def state_label(self, webhook: Webhook) -> tuple[str, str]:
        return webhook.state, str(WORDS[webhook.state])

    @display(description=_("Why disabled"))
    def why_disabled(self, webhook: Webhook) -> str:
        return webhook.get_disabled_by_display()

    disable = Dialog(
        disable_webhook,
        label=_("Disable"),
        url_path="disable",
        is_dangerous=True,
        title=_("Disable this webhook?"),
        text=_("Nothing more is sent to it. The tenant's managers can enable it again."),
        button=_("Disable"),
        done=_("The webhook is disabled."),
    )


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """What webhooks were sent, and what they answered."""

    page_badge = "state_label"
    list_display = [
        "event_label",
        "webhook",
        "tenant",
        "occurred_at",
        "attempts",
        "status_code",
        "state_label",
    ]
    list_filter = ["state"]
    list_select_related = ["webhook", "tenant"]
    ordering = ["-pk"]
    fields = readonly_fields = [
        "event_label", "webhook", "tenant", "subject_id", "occurred_at", "state_label", "attempts", "next_attempt",
        "status_code", "milliseconds", "what_went_wrong", "settled_at",
    ]  # fmt: skip
    actions_detail = ["again"]
    empty_title = _("No deliveries")
    empty_text = _("What webhooks are sent is listed here, until it is deleted after some months.")

    @display(description=_("Event"))
    def event_label(self, delivery: WebhookDelivery) -> str:
        return str(event_label(delivery.event))

    @display(description=_("State"), label=Colors(failed="danger", waiting="info"))
    def state_label(self, delivery: WebhookDelivery) -> tuple[str, str]:
        return delivery.state, delivery.get_state_display()

    @display(description=_("Next attempt"))
    def next_attempt(self, delivery: WebhookDelivery) -> object:
        return delivery.due_at if delivery.state == WebhookDelivery.State.WAITING else None

    @display(description=_("Last problem"))
    def what_went_wrong(self, delivery: WebhookDelivery) -> str:
        return retold(delivery.problem)

    again = Dialog(
        send_delivery_again,
        label=_("Send again"),
        url_path="again",
        title=_("Send this again?"),
        text=_("It keeps its ID, so that the receiver recognizes it, and is tried as often as at first."),
        button=_("Send again"),
        done=_("It waits to be sent."),
    )
