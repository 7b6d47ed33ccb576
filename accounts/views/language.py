"""The language of pages: a person chooses it for their account, a visitor for this browser."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.actions import choose_language
from accounts.models import User


def page_before(request: HttpRequest) -> str:
    """The page of ours from which a form of the shell was sent; the start page if that is not known."""
    # The forms do not know their page, whose address may be long.
    back = request.POST.get("next") or request.headers.get("Referer", "")
    is_ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return back if is_ours else "/"


@never_cache
@require_POST
def language_choice(request: HttpRequest) -> HttpResponse:
    """Speak another language, and go back to the page; 400 for one that the console does not speak.

    The cookie stays when the person signs out, so that the sign-in page keeps the language.
    """
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        raise BadRequest(_("Choose one of the languages in the list."))
    if isinstance(request.user, User):
        choose_language(request.user, language)
    response = redirect(page_before(request))
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite="Lax",
    )
    return response
