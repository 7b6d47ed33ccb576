"""A person's own sessions: show where they are signed in, and sign out there."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import logout_then_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from accounts import sessions
from accounts.actions import end_session, sign_out_everywhere
from accounts.permissions import signed_in


@method_decorator(never_cache, name="dispatch")
class SessionList(LoginRequiredMixin, TemplateView):
    """Show where the person is signed in."""

    template_name = "accounts/session_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        browsers = sessions.signed_in_browsers(
            signed_in(self.request), current_key=self.request.session.session_key
        )
        return super().get_context_data(**kwargs) | {"browsers": browsers}


@method_decorator(never_cache, name="dispatch")
class SessionEnd(LoginRequiredMixin, TemplateView):
    """Ask whether to sign out one browser, and do it."""

    template_name = "accounts/session_end.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        session = sessions.find_session(signed_in(self.request), kwargs["handle"])
        return super().get_context_data(**kwargs) | {"device": sessions.device_of(session.user_agent)}

    def post(self, request: HttpRequest, handle: str) -> HttpResponse:
        own = request.session.session_key
        is_own = own is not None and sessions.handle_of(own) == handle
        device = end_session(signed_in(request), handle)
        if is_own:
            return logout_then_login(request)
        messages.success(request, _("%(device)s is signed out") % {"device": device})
        return redirect("session-list")


@method_decorator(never_cache, name="dispatch")
class SignOutEverywhere(LoginRequiredMixin, TemplateView):
    """Ask whether to sign out every browser, this one too, and do it."""

    template_name = "accounts/session_end_all.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        count = sessions.live_sessions(signed_in(self.request)).count()
        return super().get_context_data(**kwargs) | {"count": count}

    def post(self, request: HttpRequest) -> HttpResponse:
        sign_out_everywhere(signed_in(request))
        return logout_then_login(request)
