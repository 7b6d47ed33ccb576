"""Signing out: a sign-out here also ends the session at the provider, and a sign-out there ends the session here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.contrib.auth.views import LogoutView
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.utils.timezone import now
from django.views import View
from django.views.decorators.csrf import csrf_exempt

import audit
from accounts.models import Session
from accounts.sessions import end_provider_sessions
from core.client_address import caller_place
from core.rate_limits import limit_rate
from core.scope import platform_scope
from directory.models import FederatedIdentity, SpentLogoutToken
from directory.oidc.errors import ProviderProblem
from directory.oidc.provider import current_provider
from directory.oidc.tokens import LEEWAY_SECONDS, LOGOUT_SECONDS, Claims, TokenRejected, verify_logout_token

log = structlog.get_logger(__name__)


class SignOut(LogoutView):
    """End the session here, and then at the provider if it opened the session and supports sign-out.

    The browser gets there by a page that refreshes to the provider, because the content security policy does not let a
    form lead elsewhere, even by a redirect.
    """

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        session = request.session
        id_token = session.get("oidc_id_token", "")
        if session.get("qm_issuer") == settings.OIDC_ISSUER and session.get("qm_subject"):
            forget_refresh_token(settings.OIDC_ISSUER, subject=session["qm_subject"])
        response = super().post(request, *args, **kwargs)
        if id_token and (address := provider_sign_out(request, id_token)):
            response = render(request, "registration/signing_out.html", {"address": address})
            add_never_cache_headers(response)
        return response


def provider_sign_out(request: HttpRequest, id_token: str) -> str:
    """The provider's sign-out address (RP-Initiated Logout 1.0). Empty if it has none or does not answer."""
    if not settings.OIDC_ISSUER:
        return ""
    try:
        endpoint = current_provider().optional_endpoint("end_session_endpoint")
    except ProviderProblem as problem:
        log.warning("oidc.not_signed_out_at_provider", reason=problem.reason)
        return ""
    if not endpoint:
        return ""
    parameters = {
        "id_token_hint": id_token,
        "client_id": settings.OIDC_RP_CLIENT_ID,
        "post_logout_redirect_uri": request.build_absolute_uri(reverse("login")),
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


@method_decorator(csrf_exempt, name="dispatch")
class BackChannelLogout(View):
    """The provider reports that one session, or all sessions of a person, ended (Back-Channel Logout 1.0).

    The answer is 200 if the sessions ended here, and 400 for every rejected token, including a repeated one.
    """

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            if not settings.OIDC_ISSUER:
                raise TokenRejected("no provider is configured")
            accept_logout_token(request.POST.get("logout_token", ""))
        except (TokenRejected, ProviderProblem) as rejection:
            # Only rejected tokens count, so the provider's own sign-outs are never delayed.
            limit_rate("back_channel_logout", caller_place(request))
            log.warning("oidc.logout_token_rejected", reason=str(rejection))
            body = {"error": "invalid_request", "error_description": "The logout token was rejected."}
            return JsonResponse(body, status=400, headers={"Cache-Control": "no-store"})
        return HttpResponse(status=200, headers={"Cache-Control": "no-store"})


def accept_logout_token(token: str) -> int:
    """End the sessions that a logout token names; return how many. Raises TokenRejected, also for a replay."""

    claims = verify_logout_token(token)
    issuer, sid, subject = claims["iss"], claims.get("sid", ""), claims.get("sub", "")
    with (
        platform_scope("back-channel logout: the provider speaks of people, not of tenants"),
        transaction.atomic(),
    ):
        _spend(claims)
        subjects = {subject} if subject else set(_subjects_of(issuer, sid))
        concerned = FederatedIdentity.objects.filter(issuer=issuer, subject__in=subjects)
        # Lock the identities before the person, as a sign-in does.
        identities = list(concerned.select_for_update().order_by("pk"))
        ended = end_provider_sessions(issuer, sid=sid, subject=subject)
        for identity in identities:
            forget_refresh_token(issuer, subject=identity.subject)
            audit.record("identity.signed_out_by_provider", actor=None, subject=identity, sessions=ended)
    log.info("oidc.signed_out_by_provider", sessions=ended)
    return ended


def _subjects_of(issuer: str, sid: str) -> Iterable[str]:
    sessions = Session.objects.filter(issuer=issuer, provider_session=sid)
    return sessions.values_list("subject", flat=True)


def forget_refresh_token(issuer: str, *, subject: str) -> None:
    """Delete the refresh token that the provider revokes when a session ends, unless it outlives it (`offline_access`).

    Otherwise the next periodic check would mistake the sign-out for a disabled person, and suspend their keys.
    """
    if "offline_access" not in settings.OIDC_RP_SCOPES.split():
        FederatedIdentity.objects.filter(issuer=issuer, subject=subject).update(refresh_token=None)


def _spend(claims: Claims) -> None:
    """Record that this token was used. Raises TokenRejected if it was used before."""
    SpentLogoutToken.objects.filter(expires_at__lt=now()).delete()
    kept_until = datetime.fromtimestamp(int(claims["iat"]), UTC) + timedelta(
        seconds=LOGOUT_SECONDS + LEEWAY_SECONDS + 60
    )
    try:
        with transaction.atomic():
            SpentLogoutToken.objects.create(issuer=claims["iss"], jti=claims["jti"], expires_at=kept_until)
    except IntegrityError as error:
        raise TokenRejected("it was obeyed before") from error
