"""Pages for errors. Below /api/ the same content is a problem document (RFC 9457)."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.context import current_origin
from core.errors import TooManyRequests
from core.problems import CODES, plain_problem


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "The console could not read this request.")


def invalid(request: HttpRequest, exception: ValidationError) -> HttpResponse:
    return _answer(request, 400, " ".join(exception.messages))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, str(exception) or "Your role does not allow this.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, "There is no such thing, or you may not know of it.")


def too_many_requests(request: HttpRequest, error: TooManyRequests) -> HttpResponse:
    response = _answer(request, 429, error.message)
    response["Retry-After"] = str(error.retry_after_seconds)
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(
        request, 500, "Something went wrong on our side. Check whether it was done before you try again."
    )


def _answer(request: HttpRequest, status: int, message: str) -> HttpResponse:
    reference = current_origin.get().request_id
    if request.path.startswith(("/api/", "/internal/")):
        return plain_problem(status, message, code=CODES.get(status, "error"))
    return render(request, f"{status}.html", {"message": message, "reference": reference}, status=status)
