"""The admin site's exception to the content security policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from csp.decorators import csp_replace
from django.conf import settings
from django.http import HttpRequest, HttpResponse

Answer = Callable[[HttpRequest], HttpResponse]


def relax_policy_for_admin(get_response: Answer) -> Answer:
    """Middleware: responses below /admin/ get the policy that Unfold needs; the portal's stays strict."""
    relaxed = cast(Answer, csp_replace(settings.ADMIN_CONTENT_SECURITY_POLICY)(get_response))

    def middleware(request: HttpRequest) -> HttpResponse:
        return (relaxed if request.path.startswith("/admin/") else get_response)(request)

    return middleware
