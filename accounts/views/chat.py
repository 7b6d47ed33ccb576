"""A person's own chat channel. The page of notifications shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views import View

from accounts.actions import add_chat_channel, remove_chat_channel, try_chat_channel
from accounts.models import User
from accounts.permissions import signed_in


class ChatAct(LoginRequiredMixin, View):
    """What a person does to their channel without a question; a GET leads to the page."""

    act: Callable[[User], Any]
    done: Any

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("notifications")

    def post(self, request: HttpRequest) -> HttpResponse:
        type(self).act(signed_in(request))
        messages.success(request, self.done)
        return redirect("notifications")


class ChatRemove(ChatAct):
    """Remove the channel."""

    act, done = staticmethod(remove_chat_channel), _("The chat channel is removed.")


class ChatTry(ChatAct):
    """Send a test to the channel."""

    act, done = (
        staticmethod(try_chat_channel),
        _("A test is on its way. Reload in a moment to see whether it arrived."),
    )


class ChatAdd(LoginRequiredMixin, View):
    """Add a channel, or change its address."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("notifications")

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            add_chat_channel(signed_in(request), address=request.POST.get("address", ""))
        except ValidationError as error:
            # Never the address itself.
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, _("The chat channel is added. Choose above what you are told there."))
        return redirect("notifications")
