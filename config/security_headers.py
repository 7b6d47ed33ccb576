"""Headers that Django's own middleware does not send (docs/security/headers.md)."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class SecurityHeadersMiddleware:
    """What pages may ask of the browser, who may embed answers, and that nobody keeps what is personal.

    An answer to somebody signed in, by cookie or by token, is kept by no cache unless its view said otherwise:
    it shows what that person may see, today. One to nobody is shared with nobody else and asked for anew.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.permissions = ", ".join(f"{name}=({who})" for name, who in settings.PERMISSIONS_POLICY.items())

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", self.permissions)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        kept = "private, no-store" if _is_personal(request) else "private, no-cache"
        response.headers.setdefault("Cache-Control", kept)
        return response


def _is_personal(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)
    return bool(user is not None and user.is_authenticated)
