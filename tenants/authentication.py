"""Signing in to the HTTP API with a personal access token."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils.timezone import now
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants.client_address import client_address
from tenants.models import PersonalAccessToken, User
from tenants.rate_limits import limit_rate
from tenants.scope import platform_scope
from tenants.secrets import PERSONAL_TOKEN, digest, looks_like

SEEN_EVERY = timedelta(minutes=1)  # last use is written at most this often


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer qmp_…` (RFC 6750). Unknown, expired, suspended and revoked tokens get the same 401."""

    def authenticate(self, request: Request) -> tuple[User, PersonalAccessToken] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = None
        if looks_like(PERSONAL_TOKEN, secret):
            with platform_scope("sign-in by token", is_routine=True):
                token = self._find(digest(secret))
        if token is None:
            limit_rate("token_failed", client_address(request._request))  # holds up no valid token
            raise AuthenticationFailed("This token is unknown, expired or revoked. Use another one.")
        limit_rate("token_use", str(token.pk))
        return token.user, token

    def _find(self, wanted: str) -> PersonalAccessToken | None:
        """The living token of this digest, its use noted."""
        living = PersonalAccessToken.objects.filter(
            digest=wanted, revoked_at=None, suspended_at=None, expires_at__gt=now(), user__is_active=True
        )
        token = living.select_related("user").first()
        living.filter(Q(last_used_at=None) | Q(last_used_at__lt=now() - SEEN_EVERY)).update(
            last_used_at=now()
        )
        return token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="quartermaster"'
