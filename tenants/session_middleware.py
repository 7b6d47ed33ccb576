"""Notes when a session was last seen, so that its owner can tell a forgotten browser from a used one."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from tenants.sessions import note_seen


class SessionSeenMiddleware:
    """After the answer, at most once a minute per session; a session that nobody asked for costs nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.session.accessed:
            note_seen(request)
        return response
