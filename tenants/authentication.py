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
from tenants.secrets import PERSONAL_TOKEN, digest, looks_like

SEEN_EVERY = timedelta(minutes=1)  # last use is written at most this often


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer qmp_…` (RFC 6750). Unknown, expired and revoked tokens get the same 401."""

    def authenticate(self, request: Request) -> tuple[User, PersonalAccessToken] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = None
        if looks_like(PERSONAL_TOKEN, secret):
            token = (
                PersonalAccessToken.objects.select_related("user")
                .filter(digest=digest(secret), revoked_at=None, expires_at__gt=now(), user__is_active=True)
                .first()
            )
        if token is None:
            limit_rate(
                "token_failed", client_address(request._request)
            )  # valid tokens are never held up by others
            raise AuthenticationFailed("This token is unknown, expired or revoked. Use another one.")
        limit_rate("token_use", str(token.pk))
        PersonalAccessToken.objects.filter(pk=token.pk).filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now() - SEEN_EVERY)
        ).update(last_used_at=now())
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="quartermaster"'
