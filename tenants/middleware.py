"""Middleware: the origin of a request, its database scope, and the pages for rejected actions."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.http import HttpRequest, HttpResponse

from accounts.sessions import digest_of_session, session_has_second_factor
from core.client_address import client_address
from core.context import Origin, current_origin, trace_id_of
from core.database_conflicts import conflict_for
from core.errors import Conflict, TooManyRequests
from core.scope import NOBODY, scoped
from tenants.emergency import within_emergency
from tenants.request_scope import enter_scope_of
from tenants.views.errors import conflict, invalid, page_not_found, too_many_requests

Answer = Callable[[HttpRequest], HttpResponse]
# These paths identify the caller themselves.
OWN_PATHS = (
    "/api/",
    "/internal/",
    "/scim/",
    "/healthz",
    "/readyz",
    "/metrics",
)


class RequestContextMiddleware:
    """Records the request's origin for audit entries, and returns the request id to the caller."""

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
    """Gives every request the narrowest scope that serves it (core/scope.py), and no tenant's rows before that.

    Below /t/<tenant>/ the scope is that tenant, if the person belongs to it (see also TenantPageMixin). Elsewhere it
    is the tenants they belong to. Staff on their own pages and in the API work on the platform's rows, and their log
    lines say so. On the pages of a tenant to which they opened emergency access, every action uses that access.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with scoped(NOBODY), within_emergency(request):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: dict[str, str]) -> None:
        """Enter the person's scope before Django calls the `view` of a `request` with `args` and `kwargs`."""
        if request.user.is_authenticated and not request.path_info.startswith(OWN_PATHS):
            page_of = kwargs["tenant"] if request.path_info.startswith("/t/") else None
            enter_scope_of(request.user, page_of=page_of)


class RefusalMiddleware:
    """Turns what an action raises on a page into a status, as the API does: Conflict is 409, not found 404,
    invalid 400, too many requests 429.

    A database error because someone else was first also becomes a Conflict (core/database_conflicts.py). htmx shows
    the error block of the page (see layout.html). Dialogs of the admin have none, so they reload with the message.
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
    return conflict(request, error)
