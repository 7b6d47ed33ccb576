"""Signing in at the provider: the redirect there, the way back, and the page for a failed sign-in."""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import login
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.views.generic import View
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from core.client_address import caller_place
from core.context import current_origin
from core.rate_limits import limit_rate
from directory.oidc.errors import ProviderProblem, ProviderUnavailable, SignInRefused, StaleSignIn
from directory.oidc.provider import current_provider

log = structlog.get_logger(__name__)

# How long a person may take at the provider.
STATE_SECONDS = 900
# Errors that the provider may return instead of a code (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6).
NEEDS_A_PERSON = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required"}
)


def problem_page(request: HttpRequest, problem: ProviderProblem) -> HttpResponse:
    """A page that says what happened and what to do. Its reference finds the reason in the log."""
    log.warning("oidc.sign_in_failed", problem=type(problem).__name__, reason=problem.reason)
    context = {
        "heading": problem.heading,
        "message": problem.message,
        "reference": current_origin.get().request_id,
        "status": problem.status,
    }
    response = render(request, "registration/provider_problem.html", context, status=problem.status)
    if isinstance(problem, ProviderUnavailable):
        response["Retry-After"] = "60"
    return response


class ProviderPageMixin(View):
    """Answers 404 without a provider, shows the provider's problems on a page, and keeps all answers out of caches."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.OIDC_ISSUER:
            raise Http404
        try:
            response = super().dispatch(request, *args, **kwargs)
        except ProviderProblem as problem:
            response = problem_page(request, problem)
        add_never_cache_headers(response)
        return response


class ProviderSignInStart(ProviderPageMixin, OIDCAuthenticationRequestView):  # type: ignore[misc]
    """Send the browser to the provider, with state, nonce and PKCE."""

    def __init__(self, **kwargs: Any) -> None:
        View.__init__(self, **kwargs)
        self.OIDC_RP_CLIENT_ID = settings.OIDC_RP_CLIENT_ID

    def get(self, request: HttpRequest) -> HttpResponse:
        limit_rate("provider_sign_in", caller_place(request))
        response: HttpResponse = super().get(request)
        return response

    @property
    def OIDC_OP_AUTH_ENDPOINT(self) -> str:
        return current_provider().endpoint("authorization_endpoint")

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        """Extra parameters for this provider. A renewal does not send them, because its `prompt` is always none."""
        return dict(settings.OIDC_SIGN_IN_PARAMETERS)


class ProviderCallback(ProviderPageMixin, OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """Where the provider sends the browser back to."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Sign the person in, or say why not. Only the answer to a sign-in that this browser began has an effect."""
        state = request.GET.get("state", "")
        begun = request.session.get("oidc_states", {}).get(state)
        if begun is None:
            raise StaleSignIn("no such state in this session")
        if begun["added_on"] < time.time() - STATE_SECONDS:
            del request.session["oidc_states"][state]
            request.session.modified = True
            raise StaleSignIn("the state is too old")
        self._check_who_answers(request)
        try:
            response: HttpResponse = super().get(request)
        except (SuspiciousOperation, UpdateError) as error:
            raise StaleSignIn(str(error)) from error
        return response

    def _check_who_answers(self, request: HttpRequest) -> None:
        """Require the configured issuer in the answer (RFC 9207), so that providers cannot be mixed up.

        Only a provider that does not announce `iss` in its answers may omit it.
        """
        named = request.GET.get("iss")
        if named is None and not current_provider().names_itself_in_answers():
            return
        if named != settings.OIDC_ISSUER:
            raise StaleSignIn("the answer is of another issuer, or of none")

    def login_failure(self) -> HttpResponse:
        """Handle an answer of the provider without a code."""
        error = self.request.GET.get("error", "")
        if error in NEEDS_A_PERSON:
            raise SignInRefused(_("Your sign-in at the provider has ended. Sign in again."), reason=error)
        if error == "access_denied":
            raise SignInRefused(
                _(
                    "The identity provider rejected the sign-in, or you canceled it. Sign in again, or "
                    "ask its administrators."
                ),
                reason=error,
            )
        if error == "temporarily_unavailable":
            raise ProviderUnavailable(error)
        raise SignInRefused(
            _("The identity provider refused to sign you in. Send the reference to your platform team."),
            reason=f"the provider says {error[:60]!r}",
        )

    def login_success(self) -> HttpResponse:
        """Open the session under a new key, and store in it who vouched for the person."""
        sign_in = self.user.provider_sign_in
        person, session = sign_in.person, self.request.session
        before = self.request.user
        if before != self.user:
            next_url = None if before.is_authenticated else session.get("oidc_login_next")
            login(self.request, self.user)
            session = self.request.session
            session["oidc_login_next"] = next_url  # belongs to the initiator
        session["qm_issuer"], session["qm_subject"] = person.issuer, person.subject
        session["qm_provider_session"] = person.provider_session
        # A second factor confirmed here (accounts/views/second_factor.py) survives a renewal that does not mention it.
        session["qm_has_second_factor"] = (
            person.has_second_factor or session.get("qm_has_second_factor") is True
        )
        session["oidc_id_token"] = sign_in.id_token
        response: HttpResponse = super().login_success()
        session.pop("oidc_login_next", None)
        return response
