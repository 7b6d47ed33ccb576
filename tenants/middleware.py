"""Two small layers around every request: where it came from, and what a Conflict looks like."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from tenants.context import Origin, current_origin, trace_id_of
from tenants.errors import Conflict
from tenants.views.errors import invalid, page_not_found

Answer = Callable[[HttpRequest], HttpResponse]


class RequestContextMiddleware:
    """Notes the request's origin for audit lines, and returns the request id to the caller."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
        origin = Origin(
            request_id,
            request.META.get("REMOTE_ADDR"),
            request.headers.get("User-Agent", ""),
            trace_id=trace_id_of(request.headers.get("traceparent", "")),
        )
        token = current_origin.set(origin)
        try:
            response = self.get_response(request)
        finally:
            current_origin.reset(token)
        response["X-Request-ID"] = request_id
        return response


class ConflictMiddleware:
    """What an action raises behind a page, in the API's words: Conflict is 409, not found 404, invalid 400.

    htmx takes the page's error block (see layout.html).
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, Conflict):
            return render(request, "409.html", {"message": error.message}, status=409)
        if isinstance(error, ObjectDoesNotExist):
            return page_not_found(request, error)
        if isinstance(error, ValidationError):
            return invalid(request, error)
        return None
