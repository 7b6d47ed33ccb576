"""What a person is told, and how: a page of their account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from accounts.actions import choose_digest, choose_notifications
from accounts.models import ChatChannel, OutboxMessage, User
from accounts.outbox.choices import channels_of, events_for, switch_of, wants
from accounts.permissions import signed_in
from accounts.roles import REVIEWERS
from core.form_errors import show_errors
from core.local_days import zones_to_choose

Channel = OutboxMessage.Channel


def _channels(user: User) -> list[OutboxMessage.Channel]:
    """The columns of the table."""
    return [Channel.INBOX, Channel.MAIL, *([Channel.CHAT] if user.has_chat else [])]


class DigestForm(forms.Form):
    """When a reviewer is sent what waits for them."""

    digest_hour = forms.TypedChoiceField(
        label=gettext_lazy("Daily summary by e-mail at"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[("", gettext_lazy("Never")), *((hour, f"{hour:02}:00") for hour in range(24))],
    )
    time_zone = forms.CharField(
        label=gettext_lazy("Your time zone"),
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"list": "timezones", "autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy("Such as Europe/Berlin. Empty: UTC."),
    )


@dataclass(frozen=True)
class Switch:
    """A box of the page: checked if the person is told of the event by the channel."""

    name: str
    label: str
    is_on: bool


@method_decorator(never_cache, name="dispatch")
class Notifications(LoginRequiredMixin, TemplateView):
    """Show what the person is told by which channel, and store what they choose."""

    template_name = "accounts/notifications.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        rows = [(event.label, _switches(user, event)) for event in events_for(user)]
        channels = [channel.label for channel in _channels(user)]
        zones = sorted(zone for zone in zones_to_choose() if "/" in zone and not zone.startswith("Etc/"))
        chosen = {"digest_hour": user.digest_hour, "time_zone": user.time_zone}
        digest = {
            "is_reviewer": bool(user.staff_roles & REVIEWERS),
            "form": kwargs.get("form") or DigestForm(initial=chosen),
            "timezones": ["UTC", *zones],
        }
        return (
            super().get_context_data(**kwargs) | {"rows": rows, "channels": channels} | digest | _chat(user)
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        user = signed_in(request)
        # Both forms of the page come here.
        if "time_zone" in request.POST:
            return self._choose_digest(user)
        chosen = set(request.POST.getlist("told"))
        offered = {switch.name for event in events_for(user) for switch in _switches(user, event)}
        choose_notifications(user, muted=offered - chosen)
        messages.success(request, _("Saved."))
        return redirect("notifications")

    def _choose_digest(self, user: User) -> HttpResponse:
        if not user.staff_roles & REVIEWERS:
            raise PermissionDenied(_("Only reviewers are sent a summary of reviews."))
        form = DigestForm(self.request.POST)
        if form.is_valid():
            try:
                choose_digest(
                    user,
                    hour=form.cleaned_data["digest_hour"],
                    time_zone=form.cleaned_data["time_zone"].strip(),
                )
            except ValidationError as error:
                show_errors(form, error)
            else:
                messages.success(self.request, _("Saved."))
                return redirect("notifications")
        return self.render_to_response(self.get_context_data(form=form), status=422)


def _chat(user: User) -> dict[str, Any]:
    """The person's chat channel, and what became of the last message to it."""
    if not user.has_chat:
        return {"chat": None}
    last = OutboxMessage.objects.filter(user=user, channel=Channel.CHAT).order_by("-id").first()
    return {"chat": ChatChannel.objects.filter(user=user).first(), "last_in_chat": last}


def _switches(user: User, event: Any) -> list[Switch]:
    return [
        Switch(switch_of(event, channel), str(channel.label), wants(user, event, channel))
        for channel in _channels(user)
        if channel in channels_of(event)
    ]
