"""Webhooks of a tenant: the list, one with what it was sent, and what its managers do with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.timezone import now
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from django.views.generic import DetailView, FormView, TemplateView
from django.views.generic.detail import SingleObjectMixin

from accounts.declared import Action
from accounts.permissions import signed_in
from core.form_errors import show_errors
from core.keyset import requested_page
from core.page_parts import Badge, Fact
from core.stored_words import retold
from tenants.actions import (
    add_webhook,
    change_webhook,
    delete_webhook,
    disable_webhook,
    enable_webhook,
    rotate_webhook_secret,
    send_delivery_again,
    try_webhook,
)
from tenants.models import Webhook, WebhookDelivery
from tenants.views.mixins import TenantPageMixin, TenantScopedMixin
from tenants.webhook_querysets import DeliveryQuerySet, WebhookQuerySet
from tenants.webhooks.events import EVENTS, event_label

PAGE_SIZE = 25
STATES = {
    "active": ("ok", _("Active")),
    "failing": ("warn", _("Failing")),
    "disabled": ("", _("Disabled")),
}
DELIVERIES = {
    "waiting": ("info", _("Waiting")),
    "delivered": ("", pgettext_lazy("a webhook", "Delivered")),
    "failed": ("bad", _("Failed")),
}
OVERLAPS = [(24, _("24 hours")), (1, _("1 hour")), (168, _("7 days")), (0, _("Not at all"))]


class WebhookForm(forms.Form):
    """What a webhook is called, where it leads, and which events it is sent."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("What receives it, such as “ticket system”.")
    )
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        widget=forms.URLInput(),
        help_text=_(
            "Begins with https:// and is reachable from the Internet, unless operators allowed a network."
        ),
    )
    events = forms.MultipleChoiceField(
        label=_("Events"),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        error_messages={"required": _("Choose at least one event.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["events"].choices = [  # type: ignore[attr-defined]
            (event, event_label(event)) for event in EVENTS
        ]


class RotateForm(forms.Form):
    """For how long the old secret signs as well."""

    overlap_hours = forms.TypedChoiceField(
        label=_("The old secret signs as well for"), choices=OVERLAPS, coerce=int, initial=24
    )


class WebhookPage(TenantScopedMixin[WebhookQuerySet[Webhook]]):
    """A page about one webhook; 404 for those who do not manage the tenant."""

    object: Webhook

    model = Webhook

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"webhook": self.object} | kwargs)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response["Cache-Control"] = "private, no-store"
        return response

    def get_queryset(self) -> WebhookQuerySet[Webhook]:
        return super().get_queryset().select_related("tenant", "created_by")


@dataclass(frozen=True)
class WebhookRow:
    """A row of the list."""

    webhook: Webhook
    badge: Badge
    events: int


class WebhookList(TenantPageMixin, TemplateView):
    """The tenant's webhooks; 403 for members who do not manage the tenant."""

    model = Webhook
    template_name = "tenants/webhook_list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        add_webhook.require_permission(signed_in(request), self.tenant)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        webhooks = Webhook.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant)
        rows = [
            WebhookRow(webhook, Badge(*STATES[webhook.state]), len(webhook.events))
            for webhook in webhooks.order_by("name", "pk")
        ]
        return super().get_context_data(**kwargs) | {"rows": rows}


class WebhookNew(TenantPageMixin, FormView):  # type: ignore[type-arg]
    """Add a webhook. The answer shows its secret once."""

    form_class = WebhookForm
    template_name = "tenants/webhook_form.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        add_webhook.require_permission(signed_in(request), self.tenant)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        add_webhook.require(signed_in(request), self.tenant)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: WebhookForm) -> HttpResponse:
        try:
            webhook, secret = add_webhook(self.tenant, by=signed_in(self.request), **form.cleaned_data)
        except ValidationError as error:
            show_errors(form, error)
            return self.form_invalid(form)
        return _shown_once(self, webhook, secret)

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


@dataclass(frozen=True)
class DeliveryRow:
    """What a webhook was sent."""

    pk: Any
    label: Any
    event: str
    occurred_at: datetime
    badge: Badge
    answer: str
    problem: str
    attempts: int
    due_at: datetime | None
    can_be_sent_again: bool


class WebhookDetail(WebhookPage, DetailView):  # type: ignore[type-arg]
    """One webhook: where it leads, its events, and what it was sent."""

    template_name = "tenants/webhook_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        webhook, user = self.object, signed_in(self.request)
        sent = WebhookDelivery.objects.visible_to(user).in_tenant(self.tenant).filter(webhook=webhook)
        page = requested_page(
            self.request, sent.select_related("webhook", "tenant"), ("-pk",), size=PAGE_SIZE
        )
        return super().get_context_data(**kwargs) | {
            "badge": Badge(*STATES[webhook.state]),
            "has_old_secret": webhook.has_old_secret(now()),
            "events": [event_label(event) for event in webhook.events],
            "rows": [
                _row(delivery, send_delivery_again.is_possible(user, delivery)) for delivery in page.rows
            ],
            "may_change": change_webhook.is_possible(user, webhook),
            "may_delete": delete_webhook.is_possible(user, webhook),
            "may_disable": disable_webhook.is_possible(user, webhook),
            "may_enable": enable_webhook.is_possible(user, webhook),
            "may_try": try_webhook.is_possible(user, webhook),
            **page.links(),
        }


def _row(delivery: WebhookDelivery, can_be_sent_again: bool) -> DeliveryRow:
    is_waiting = delivery.state == WebhookDelivery.State.WAITING
    answer = "" if delivery.status_code is None else f"{delivery.status_code} · {delivery.milliseconds} ms"
    return DeliveryRow(
        pk=delivery.pk,
        label=event_label(delivery.event),
        event=delivery.event,
        occurred_at=delivery.occurred_at,
        badge=Badge(*DELIVERIES[delivery.state]),
        answer=answer,
        problem=retold(delivery.problem),
        attempts=delivery.attempts,
        due_at=delivery.due_at if is_waiting else None,
        can_be_sent_again=can_be_sent_again,
    )


class WebhookEdit(WebhookPage, SingleObjectMixin, FormView):  # type: ignore[type-arg]
    """Change what a webhook is called, where it leads and which events it is sent."""

    form_class = WebhookForm
    template_name = "tenants/webhook_form.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.page_for(change_webhook)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.subject_of(change_webhook)
        return super().post(request, *args, **kwargs)

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.object.name, "url": self.object.url, "events": self.object.events}

    def form_valid(self, form: WebhookForm) -> HttpResponse:
        try:
            change_webhook(self.object.pk, by=signed_in(self.request), **form.cleaned_data)
        except ValidationError as error:
            show_errors(form, error)
            return self.form_invalid(form)
        messages.success(self.request, gettext("Saved."))
        return redirect("webhook-detail", self.tenant.slug, self.object.pk)

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


class WebhookRotate(WebhookPage, SingleObjectMixin, FormView):  # type: ignore[type-arg]
    """Give a webhook a new secret. The answer shows it once."""

    form_class = RotateForm
    template_name = "tenants/webhook_rotate.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.page_for(rotate_webhook_secret)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.subject_of(rotate_webhook_secret)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: RotateForm) -> HttpResponse:
        hours = form.cleaned_data["overlap_hours"]
        webhook, secret = rotate_webhook_secret(
            self.object.pk, overlap_hours=hours, by=signed_in(self.request)
        )
        return _shown_once(self, webhook, secret)

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


class WebhookAct(WebhookPage, DetailView):  # type: ignore[type-arg]
    """What is done to a webhook without a question; a GET leads to its page."""

    action: Action[Webhook, Any, Any]
    done: Any

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("webhook-detail", self.tenant.slug, self.get_object().pk)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        webhook = self.subject_of(self.action)
        self.action(webhook.pk, by=signed_in(request))
        messages.success(request, self.done)
        return redirect("webhook-detail", self.tenant.slug, webhook.pk)


class WebhookEnable(WebhookAct):
    """Enable a disabled webhook."""

    action, done = enable_webhook, _("The webhook is enabled. Send again what it missed.")


class WebhookTry(WebhookAct):
    """Send a webhook a test."""

    action, done = try_webhook, _("A test is on its way. Reload in a moment to see the answer.")


class WebhookDisable(WebhookPage, DetailView):  # type: ignore[type-arg]
    """Ask whether to disable a webhook, and disable it."""

    template_name = "tenants/webhook_disable.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.page_for(disable_webhook)
        waiting = WebhookDelivery.objects.in_tenant(self.tenant).waiting().filter(webhook=self.object)
        facts = [Fact(_("Waiting to be sent"), gettext("yes") if waiting.exists() else gettext("nothing"))]
        return self.render_to_response(self.get_context_data(facts=facts))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        webhook = self.subject_of(disable_webhook)
        disable_webhook(webhook.pk, by=signed_in(request))
        messages.success(request, gettext("The webhook is disabled"))
        return redirect("webhook-detail", self.tenant.slug, webhook.pk)


class WebhookDelete(WebhookPage, DetailView):  # type: ignore[type-arg]
    """Ask whether to delete a webhook, and delete it."""

    template_name = "tenants/webhook_delete.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.page_for(delete_webhook)
        return self.render_to_response(self.get_context_data())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        webhook = self.subject_of(delete_webhook)
        delete_webhook(webhook.pk, by=signed_in(request))
        messages.success(request, gettext("The webhook is deleted"))
        return redirect("webhook-list", self.tenant.slug)


class DeliveryAgain(TenantScopedMixin[DeliveryQuerySet[WebhookDelivery]], DetailView):  # type: ignore[type-arg]
    """Send a webhook again what it was sent or missed; a GET leads to the webhook."""

    model = WebhookDelivery

    def get_queryset(self) -> DeliveryQuerySet[WebhookDelivery]:
        return super().get_queryset().select_related("webhook", "tenant")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("webhook-detail", self.tenant.slug, self.get_object().webhook_id)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        delivery = self.subject_of(send_delivery_again)
        send_delivery_again(delivery.pk, by=signed_in(request))
        messages.success(request, gettext("It waits to be sent."))
        return redirect("webhook-detail", self.tenant.slug, delivery.webhook_id)


def _shown_once(view: Any, webhook: Webhook, secret: str) -> HttpResponse:
    """Return the page with the secret. Nobody may cache it."""
    view.template_name = "tenants/webhook_secret.html"
    response: HttpResponse = view.render_to_response(view.get_context_data(webhook=webhook, secret=secret))
    response["Cache-Control"] = "private, no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
