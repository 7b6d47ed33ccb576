"""The language of pages: that of the person's account, else what Django's LocaleMiddleware found."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

Answer = Callable[[HttpRequest], HttpResponse]

# Programs say their language in each request, whoever they act for.
_OF_PROGRAMS = ("/api/", "/scim/", "/internal/")


class LanguageMiddleware:
    """Speak the language that a signed-in person chose.

    Without a choice, and for programs, it stays as LocaleMiddleware left it: the cookie of the sign-in page, else the
    Accept-Language header.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = "" if request.path_info.startswith(_OF_PROGRAMS) else getattr(request.user, "language", "")
        if not language:
            return self.get_response(request)
        request.LANGUAGE_CODE = language
        translation.activate(language)
        response = self.get_response(request)
        response.headers["Content-Language"] = language
        patch_vary_headers(response, ("Cookie",))
        return response
