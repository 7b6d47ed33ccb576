"""What a person is told, and how: a page of their account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from accounts.actions import choose_notifications
from accounts.models import OutboxMessage, User
from accounts.outbox.choices import events_for, switch_of, wants
from accounts.permissions import signed_in

CHANNELS = (OutboxMessage.Channel.INBOX, OutboxMessage.Channel.MAIL)


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
        channels = [channel.label for channel in CHANNELS]
        return super().get_context_data(**kwargs) | {"rows": rows, "channels": channels}

    def post(self, request: HttpRequest) -> HttpResponse:
        user = signed_in(request)
        chosen = set(request.POST.getlist("told"))
        offered = {switch.name for event in events_for(user) for switch in _switches(user, event)}
        choose_notifications(user, muted=offered - chosen)
        messages.success(request, _("Saved."))
        return redirect("notifications")


def _switches(user: User, event: Any) -> list[Switch]:
    return [
        Switch(switch_of(event, channel), str(channel.label), wants(user, event, channel))
        for channel in CHANNELS
        if channel in event.channels
    ]
