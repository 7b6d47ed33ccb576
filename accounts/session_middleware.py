"""Middleware for every session: note that it was seen, and require a second factor of staff."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, logout
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.session_store import BY_LINK
from accounts.sessions import note_seen, session_has_second_factor, speaks_by_token

PROVIDER_BACKEND = "directory.oidc.backend.ProviderBackend"


class SessionSeenMiddleware:
    """Notes after the answer that the session was seen, so that its owner can tell a forgotten browser from an
    active one. It writes at most once a minute per session, and nothing if the request did not use the session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.session.accessed:
            note_seen(request)
        return response


class LocalSessionMiddleware:
    """Ends sessions that a password opened, at their next request, if local accounts are off.

    A session that an administrator's link opened continues: it is the way in when the provider is unavailable.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.LOCAL_ACCOUNTS:
            backend = request.session.get(BACKEND_SESSION_KEY, PROVIDER_BACKEND)
            if backend != PROVIDER_BACKEND and not request.session.get(BY_LINK):
                logout(request)
        return self.get_response(request)


class SecondFactorGate:
    """Redirects staff who must have a second factor, but lack it in this session, to confirm or set up theirs.

    This includes portal pages, where staff see every tenant. The HTTP API answers 403 to their session; bearer tokens
    have rules of their own (docs/security/sign-in.md).
    """

    OPEN = frozenset({
        "login", "logout", "second-factor", "second-factor-confirm", "second-factor-enrol", "second-factor-codes",
        "second-factor-off", "session-list", "session-end", "session-end-all", "password-change",
        "administrator-link", "oidc_authentication_init", "oidc_authentication_callback",
        "language", "healthz", "readyz", "metrics", "api-schema", "admin:logout", "admin:login",
    })  # fmt: skip

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.view_name in self.OPEN or not lacks_second_factor(request):
            return None
        confirm = f"{reverse('second-factor-confirm')}?{urlencode({'next': request.get_full_path()})}"
        if request.path.startswith("/api/"):
            raise PermissionDenied(
                _(
                    "Staff of this installation must have a second factor. Confirm one at %(page)s, or use "
                    "a token."
                )
                % {"page": reverse("second-factor-confirm")}
            )
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=204, headers={"HX-Redirect": confirm})
        return HttpResponseRedirect(confirm)


def lacks_second_factor(request: HttpRequest) -> bool:
    """Whether the request's person is staff who must confirm a second factor in this session and have not."""
    if settings.STAFF_SECOND_FACTOR != "required":
        return False
    if speaks_by_token(request):
        return False
    is_staff = request.user.is_authenticated and request.user.is_staff
    return bool(is_staff) and not session_has_second_factor(request)
