"""Pages for errors. Below /api/ the same content is a problem document (RFC 9457).

Signed-in people keep the shell of the site where the error occurred: its menu is the way on. If it cannot be rendered,
the page does without, so it needs neither a database nor a tenant.
"""

from __future__ import annotations

import sys
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.session_middleware import lacks_second_factor
from core.context import current_origin
from core.errors import Conflict, TooManyRequests
from core.problems import CODES, plain_problem
from core.scope import NOBODY, scoped
from tenants.request_scope import enter_scope_of, enter_tenant
from tenants.views.header import slug_in
from tenants.views.mixins import tenant_context, tenant_of

log = structlog.get_logger(__name__)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, _("The console could not read this request."))


def invalid(request: HttpRequest, exception: ValidationError) -> HttpResponse:
    return _answer(request, 400, " ".join(exception.messages))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, str(exception) or _("Your role does not allow this."))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, _("There is no such thing, or you may not know of it."))


def conflict(request: HttpRequest, error: Conflict) -> HttpResponse:
    return _page(request, 409, {"message": error.message})


def too_many_requests(request: HttpRequest, error: TooManyRequests) -> HttpResponse:
    response = _answer(request, 429, error.message)
    response["Retry-After"] = str(error.retry_after_seconds)
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(
        request, 500, _("Something went wrong on our side. Check whether it was done before you try again.")
    )


def _answer(request: HttpRequest, status: int, message: str) -> HttpResponse:
    reference = current_origin.get().request_id
    if request.path.startswith(("/api/", "/internal/")):
        return plain_problem(status, message, code=CODES.get(status, "error"))
    return _page(request, status, {"message": message, "reference": reference})


def _page(request: HttpRequest, status: int, context: dict[str, Any]) -> HttpResponse:
    template = f"{status}.html"
    # A database that has just failed is not asked again.
    if not isinstance(sys.exception(), DatabaseError):
        try:
            with scoped(NOBODY):
                shell = _shell_of(request)
                if shell:
                    return render(request, template, context | shell, status=status)
        except Http404:
            # No tenant that this person may know of: the page does not tell which of the two.
            pass
        except Exception:
            log.exception("error_page_without_shell", status=status)
    return render(request, template, context, status=status)


def _shell_of(request: HttpRequest) -> dict[str, Any]:
    """Enter the person's scope, and return the context of the shell around the page; empty if none fits.

    htmx takes only the error from the page.
    """
    # Requests for another host are rejected before the user is known.
    user = getattr(request, "user", None)
    if request.headers.get("HX-Request") == "true" or not isinstance(user, User) or not user.is_active:
        return {}
    # The gate looks at views, and an address without one has just been asked for.
    if lacks_second_factor(request):
        return {}
    if request.path_info.startswith("/admin/"):
        enter_scope_of(user)
        return {"error_layout": "shell.html"} if user.is_staff else {}
    if slug := slug_in(request.path_info):
        enter_scope_of(user, page_of=slug)
        tenant = tenant_of(user, slug)
        # Reading another's tenant is recorded, and an error is no reading.
        if user.is_staff and not user.own_tenants().filter(tenant=tenant).exists():
            return {}
        enter_tenant(user, tenant)
        return {"error_layout": "base.html", **tenant_context(user, tenant)}
    return {}
