"""Renew sessions that the provider opened, regularly and in the background. A session that is not renewed ends."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from mozilla_django_oidc.middleware import SessionRefresh

from accounts.session_middleware import PROVIDER_BACKEND
from accounts.sessions import speaks_by_token
from core.context import current_origin
from core.problems import plain_problem
from directory.oidc.errors import ProviderProblem
from directory.oidc.provider import current_provider

# Paths without renewal: signing in and out, and whatever requires no person.
EXEMPT = ("/oidc/", "/login/", "/logout/", "/healthz", "/readyz", "/metrics", "/internal/", "/static/")


class ProviderSessionMiddleware(SessionRefresh):  # type: ignore[misc]
    """Sends a browser with an expired session to the provider, which answers without a prompt (prompt=none).

    The library does so only for GET and lets an expired session continue to POST. Here an expired session does
    nothing: a page renews it first, htmx gets a redirect to the provider, and everything else gets 401.
    """

    def __init__(self, get_response: Any) -> None:
        """Make no request, because the provider may be unavailable when the console starts."""
        MiddlewareMixin.__init__(self, get_response)
        self.OIDC_EXEMPT_URLS: list[str] = []
        self.OIDC_STATE_SIZE = self.OIDC_NONCE_SIZE = 32
        self.OIDC_AUTHENTICATION_CALLBACK_URL = "oidc_authentication_callback"
        self.OIDC_RP_SCOPES = settings.OIDC_RP_SCOPES
        self.OIDC_USE_NONCE = True

    @property
    def OIDC_RP_CLIENT_ID(self) -> str:
        return str(settings.OIDC_RP_CLIENT_ID)

    @property
    def OIDC_OP_AUTHORIZATION_ENDPOINT(self) -> str:
        return current_provider().endpoint("authorization_endpoint")

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Return None to let the request through, or the response for a session that must be renewed."""
        session = request.session
        if speaks_by_token(request) or request.path.startswith(EXEMPT):
            return None
        if session.get(BACKEND_SESSION_KEY) != PROVIDER_BACKEND:
            return None
        if session.get("qm_issuer") != settings.OIDC_ISSUER:
            # The session is from a provider that is no longer configured.
            logout(request)
            return None
        if session.get("oidc_id_token_expiration", 0) > time.time() or not request.user.is_authenticated:
            return None
        is_htmx = request.headers.get("HX-Request") == "true"
        if request.path.startswith("/api/") or (request.method not in ("GET", "HEAD") and not is_htmx):
            return _expired(request)
        try:
            answer = self._set_out(request)
        except ProviderProblem as problem:
            from directory.oidc.views import problem_page

            return problem_page(request, problem)
        if answer is None or not is_htmx:
            return answer
        session["oidc_login_next"] = _page_of(request)
        return HttpResponse(status=204, headers={"HX-Redirect": answer["Location"]})

    def _set_out(self, request: HttpRequest) -> HttpResponse | None:
        """The library's redirect. It checks the method, so an htmx POST or a HEAD counts as the GET that follows."""
        method, request.method = request.method, "GET"
        try:
            answer: HttpResponse | None = super().process_request(request)
        finally:
            request.method = method
        return answer

    def is_refreshable_url(self, request: HttpRequest) -> bool:
        # Called only after process_request above has found the session due.
        return True


def _expired(request: HttpRequest) -> HttpResponse:
    """401: nothing was changed. Opening any page renews the session."""
    message = _(
        "Nothing was changed. Open any page in another tab, which renews your sign-in, then submit this again."
    )
    reference = current_origin.get().request_id
    if request.path.startswith("/api/"):
        return plain_problem(401, message, code="session_expired")
    context = {
        "heading": _("Your sign-in must be renewed"),
        "message": message,
        "reference": reference,
        "status": 401,
    }
    return render(request, "registration/provider_problem.html", context, status=401)


def _page_of(request: HttpRequest) -> str:
    """The page that htmx reports, if it is on this host; otherwise the start page."""
    current = request.headers.get("HX-Current-URL", "")
    if url_has_allowed_host_and_scheme(current, {request.get_host()}, request.is_secure()):
        parts = urlsplit(current)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return "/"
