"""Signing out: at the provider too when a person leaves here, and here when they leave there."""

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
    """End the session here, and then at the provider if it opened the session and offers to be told.

    The way there is a page that refreshes itself to it: the content security policy lets no form lead elsewhere,
    a redirect after one included.
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
    """Where the provider signs somebody out (RP-Initiated Logout 1.0); nothing if it does not, or is away."""
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
    """The provider tells that a session, or all of a person, has ended (Back-Channel Logout 1.0).

    200 means ended; 400 with a reason for every token that is not to be obeyed, one obeyed before included.
    """

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            if not settings.OIDC_ISSUER:
                raise TokenRejected("no provider is configured")
            accept_logout_token(request.POST.get("logout_token", ""))
        except (TokenRejected, ProviderProblem) as rejection:
            # Holds up no sign-out of the provider's.
            limit_rate("back_channel_logout", caller_place(request))
            log.warning("oidc.logout_token_rejected", reason=str(rejection))
            body = {"error": "invalid_request", "error_description": "The logout token was rejected."}
            return JsonResponse(body, status=400, headers={"Cache-Control": "no-store"})
        return HttpResponse(status=200, headers={"Cache-Control": "no-store"})


def accept_logout_token(token: str) -> int:
    """End the sessions that a logout token names; return how many. Raises TokenRejected, for a replay too."""

    claims = verify_logout_token(token)
    issuer, sid, subject = claims["iss"], claims.get("sid", ""), claims.get("sub", "")
    with (
        platform_scope("back-channel logout: the provider speaks of people, not of tenants"),
        transaction.atomic(),
    ):
        _spend(claims)
        subjects = {subject} if subject else set(_subjects_of(issuer, sid))
        concerned = FederatedIdentity.objects.filter(issuer=issuer, subject__in=subjects)
        # Before the person, as at a sign-in.
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
    """Forget what the provider revokes when a session ends, unless it was given for beyond (`offline_access`).

    Else the next periodic check would take signing out for being disabled, and suspend the person's keys.
    """
    if "offline_access" not in settings.OIDC_RP_SCOPES.split():
        FederatedIdentity.objects.filter(issuer=issuer, subject=subject).update(refresh_token=None)


def _spend(claims: Claims) -> None:
    """Write down that this token was obeyed. Raises TokenRejected when it was before."""
    SpentLogoutToken.objects.filter(expires_at__lt=now()).delete()
    kept_until = datetime.fromtimestamp(int(claims["iat"]), UTC) + timedelta(
        seconds=LOGOUT_SECONDS + LEEWAY_SECONDS + 60
    )
    try:
        with transaction.atomic():
            SpentLogoutToken.objects.create(issuer=claims["iss"], jti=claims["jti"], expires_at=kept_until)
    except IntegrityError as error:
        raise TokenRejected("it was obeyed before") from error
