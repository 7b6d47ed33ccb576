"""Errors of the HTTP API as application/problem+json (RFC 9457) with a stable `code`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from core.context import current_origin
from core.database_conflicts import conflict_for
from core.errors import Conflict, InsufficientScope, TooManyRequests

CODES = {
    400: "invalid",
    401: "not_signed_in",
    403: "not_permitted",
    404: "not_found",
    405: "method_not_allowed",
    429: "too_many_requests",
}


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception of an action or of DRF into a problem document; None lets Django answer 500."""
    error = conflict_for(context["request"], error) or error
    if isinstance(error, Conflict):
        return problem(409, error.message, code=error.code)
    if isinstance(error, TooManyRequests):
        answer = problem(429, error.message)
        answer["Retry-After"] = str(error.retry_after_seconds)
        return answer
    if isinstance(error, ObjectDoesNotExist | Http404):
        return problem(404, "There is no such thing, or you may not know of it.")
    if isinstance(error, PermissionDenied):
        return problem(403, str(error) or "Your role does not allow this.")
    if isinstance(error, ValidationError):
        error = exceptions.ValidationError(
            error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        )
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        answer = problem(400, "Some fields are missing or wrong.", errors=response.data)
    else:
        code = "insufficient_scope" if isinstance(error, InsufficientScope) else None
        answer = problem(response.status_code, str(getattr(error, "detail", error)), code=code)
    for header in ("WWW-Authenticate", "Retry-After", "Allow"):
        if header in response.headers:
            answer[header] = response.headers[header]
    return answer


def problem(status: int, detail: str, *, code: str | None = None, **extra: Any) -> Response:
    """A problem document as a response of an API view. `code` is stable; `detail` is for people."""
    return Response(
        _document(status, detail, code) | extra, status=status, content_type="application/problem+json"
    )


def plain_problem(status: int, detail: str, *, code: str | None = None) -> HttpResponse:
    """Like `problem`, for middleware, error handlers and plain views, which lack the API's renderers."""
    return JsonResponse(
        _document(status, detail, code), status=status, content_type="application/problem+json"
    )


def _document(status: int, detail: str, code: str | None) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code or CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_")),
        "detail": detail,
        "request_id": current_origin.get().request_id,
    }
