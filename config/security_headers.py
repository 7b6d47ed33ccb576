"""Headers that Django's own middleware does not send (docs/security/headers.md)."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class SecurityHeadersMiddleware:
    """Sets which browser features pages may use, who may embed them, and that no cache keeps personal data.

    No cache stores an answer to a signed-in person, by cookie or token, unless its view says otherwise: it shows
    what that person may see today. Anonymous answers are private to the browser, which revalidates them.
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
