"""Authentication of the HTTP API with a personal access token, and what its scopes allow (docs/tokens.md)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils.timezone import now
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.models import User
from core.client_address import caller_place
from core.errors import REALM, InsufficientScope
from core.rate_limits import limit_rate
from core.scope import platform_scope
from core.secrets import PERSONAL_TOKEN, digest, looks_like
from tenants.models import PersonalAccessToken
from tenants.roles import TokenScope

# The last use is written at most this often.
SEEN_EVERY = timedelta(minutes=1)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer qmp_…` (RFC 6750).

    Unknown, expired, revoked and suspended tokens, and those of people who have left, all get the same 401.
    """

    def authenticate(self, request: Request) -> tuple[User, PersonalAccessToken] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = _usable_token(secret) if looks_like(PERSONAL_TOKEN, secret) else None
        if token is None:
            # Only failures count here, so this limit never blocks a valid token.
            limit_rate("token_failed", caller_place(request._request))
            raise AuthenticationFailed("This token is unknown, expired or revoked. Use another one.")
        limit_rate("token_use", str(token.pk))
        return token.effective_user(), token

    def authenticate_header(self, request: Request) -> str:
        return REALM


def _usable_token(secret: str) -> PersonalAccessToken | None:
    """Return the token with this secret and record its use; None if the token opens nothing, or no longer does."""
    with platform_scope("sign-in by token", is_routine=True):
        token = (
            PersonalAccessToken.objects.usable()
            .select_related("user", "tenant")
            .filter(digest=digest(secret))
            .first()
        )
        if token is not None:
            PersonalAccessToken.objects.filter(pk=token.pk).filter(
                Q(last_used_at=None) | Q(last_used_at__lt=now() - SEEN_EVERY)
            ).update(last_used_at=now())
    return token


class TokenHasScope(BasePermission):
    """Every route of the API declares the scope that a token needs. Tokens cannot call routes that declare none.

    Reading requires `read`, or the view's `token_scope_to_read`. Everything else requires the view's `token_scope`;
    an action may have its own: `@action(…, token_scope=TokenScope.KEYS)`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = needed_scope(view, request.method or "")
        if not has_scope(request, needed):
            raise InsufficientScope(needed)
        return True


def has_scope(request: Request, scope: str | None) -> bool:
    """Whether the token of `request` has `scope`. True for a session, because only tokens have scopes."""
    scopes = getattr(request.auth, "scopes", None)
    return scopes is None or scope in scopes


def needed_scope(view: Any, method: str) -> str | None:
    """Return the scope that a token needs to call `view` (a class or an instance) by `method`; None if no token may."""
    if method.upper() in SAFE_METHODS:
        return getattr(view, "token_scope_to_read", TokenScope.READ)
    return getattr(view, "token_scope", None)
