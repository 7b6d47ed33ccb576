"""Signing in to the HTTP API with an access token that the provider issued for it (RFC 9068)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from accounts.models import User
from core.client_address import caller_place
from core.rate_limits import limit_rate
from directory.models import FederatedIdentity
from directory.oidc.errors import ProviderProblem
from directory.oidc.scopes import scopes_of
from directory.oidc.tokens import Claims, TokenRejected, verify_access_token
from tenants.roles import TokenScope

log = structlog.get_logger(__name__)


class ProviderAway(APIException):
    """The token cannot be verified without the provider's keys. HTTP 503."""

    status_code = 503
    default_detail = (
        "The identity provider does not answer, so nobody can check this token. Try again in a minute."
    )


@dataclass(frozen=True)
class ProviderToken:
    """A verified access token of the provider (`request.auth`)."""

    claims: Claims
    # The token opens all of its person's tenants.
    tenant_id: None = None

    @property
    def expires_at(self) -> datetime:
        """When the token expires. Anything created with it expires by then, too."""
        return datetime.fromtimestamp(int(self.claims["exp"]), UTC)

    @property
    def scopes(self) -> frozenset[str]:
        """What the token may be used for (docs/identity.md)."""
        return scopes_of(self.claims)


class ProviderTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <JWT>`. Anything but a valid token of a known person gets the same 401."""

    def authenticate(self, request: Request) -> tuple[User, ProviderToken] | None:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or token.count(".") != 2:
            # A personal access token has no dots.
            return None
        try:
            claims = verify_access_token(token)
        except TokenRejected as rejection:
            log.warning("oidc.bearer_rejected", reason=str(rejection))
            raise _refused(request) from rejection
        except ProviderProblem as problem:
            log.warning("oidc.bearer_not_judged", reason=problem.reason)
            raise ProviderAway from problem
        identity = (
            FederatedIdentity.objects.select_related("user")
            .filter(
                issuer=claims["iss"],
                subject=claims["sub"],
                refused_at=None,
                user__is_active=True,
                user__erased_at=None,
                user__service_of=None,
            )
            .first()
        )
        if identity is None:
            log.warning("oidc.bearer_of_nobody", subject=claims["sub"])
            raise _refused(request)
        limit_rate("token_use", str(identity.pk))
        given = ProviderToken(claims)
        if TokenScope.PLATFORM not in given.scopes:
            identity.user.act_without_staff_roles()
        return identity.user, given

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="quartermaster"'


def _refused(request: Request) -> AuthenticationFailed:
    """The answer to every rejected token. Rejections are rate-limited, so that nobody can keep guessing."""
    limit_rate("token_failed", caller_place(request._request))
    return AuthenticationFailed("This token is unknown, expired or revoked. Use another one.")


class ProviderTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes these tokens."""

    target_class = "directory.oidc.bearer.ProviderTokenAuthentication"
    name = "providerToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
