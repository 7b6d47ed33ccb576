"""Two small layers around every request: where it came from, and what a Conflict looks like."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from tenants.context import Origin, current_origin
from tenants.errors import Conflict

Answer = Callable[[HttpRequest], HttpResponse]


class RequestContextMiddleware:
    """Notes the request's origin for audit lines, and returns the request id to the caller."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
        origin = Origin(request_id, request.META.get("REMOTE_ADDR"), request.headers.get("User-Agent", ""))
        token = current_origin.set(origin)
        try:
            response = self.get_response(request)
        finally:
            current_origin.reset(token)
        response["X-Request-ID"] = request_id
        return response


class ConflictMiddleware:
    """A Conflict raised behind a page becomes 409; htmx takes the page's error block (see layout.html)."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, Conflict):
            return None
        return render(request, "409.html", {"message": error.message}, status=409)
