"""Small layers around every request: where it came from, whose rows it may touch, what a Conflict looks like."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.sessions import digest_of_session, session_has_second_factor
from core.client_address import client_address
from core.context import Origin, current_origin, trace_id_of
from core.database_conflicts import conflict_for
from core.errors import Conflict, TooManyRequests
from core.scope import NOBODY, scoped
from tenants.emergency import within_emergency
from tenants.request_scope import enter_scope_of
from tenants.views.errors import invalid, page_not_found, too_many_requests

Answer = Callable[[HttpRequest], HttpResponse]
# These know by themselves who asks.
OWN_PATHS = (
    "/api/",
    "/internal/",
    "/scim/",
    "/healthz",
    "/readyz",
    "/metrics",
)


class RequestContextMiddleware:
    """Notes the request's origin for audit lines, and returns the request id to the caller."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
        origin = Origin(
            request_id,
            client_address(request),
            request.headers.get("User-Agent", ""),
            has_second_factor=session_has_second_factor(request),
            session=digest_of_session(request),
            trace_id=trace_id_of(request.headers.get("traceparent", "")),
        )
        token = current_origin.set(origin)
        try:
            response = self.get_response(request)
        finally:
            current_origin.reset(token)
        response["X-Request-ID"] = request_id
        return response


class ScopeMiddleware:
    """Gives every request the narrowest scope that serves it (core/scope.py), and nobody's until then.

    Below /t/<tenant>/ it is that tenant, if the person belongs to it (and see TenantPageMixin). Elsewhere it is the
    tenants they belong to; staff on their own pages and in the API work on the platform's rows, as their log lines say.
    On the pages of a tenant to which they opened emergency access, whatever they do is done by it.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with scoped(NOBODY), within_emergency(request):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: dict[str, str]) -> None:
        """Enter the scope of the person before Django calls the `view` of a `request` with `args` and `kwargs`."""
        if request.user.is_authenticated and not request.path_info.startswith(OWN_PATHS):
            page_of = kwargs["tenant"] if request.path_info.startswith("/t/") else None
            enter_scope_of(request.user, page_of=page_of)


class RefusalMiddleware:
    """What an action raises behind a page, in the API's words: Conflict is 409, not found 404, invalid 400,
    too often 429.

    So is what the database refuses because somebody else was first (core/database_conflicts.py). htmx takes the
    page's error block (see layout.html); a dialog of the admin has none, and shows its page again with the message.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        error = conflict_for(request, error) or error
        if isinstance(error, Conflict):
            return _conflict(request, error)
        if isinstance(error, TooManyRequests):
            return too_many_requests(request, error)
        if isinstance(error, ObjectDoesNotExist):
            return page_not_found(request, error)
        if isinstance(error, ValidationError):
            return invalid(request, error)
        return None


def _conflict(request: HttpRequest, error: Conflict) -> HttpResponse:
    match = request.resolver_match
    if match is not None and match.app_name == "admin" and request.headers.get("HX-Request"):
        messages.error(request, error.message)
        return HttpResponse(status=409, headers={"HX-Refresh": "true"})
    return render(request, "409.html", {"message": error.message}, status=409)
