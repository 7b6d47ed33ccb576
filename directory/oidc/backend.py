"""The authentication backend: mozilla-django-oidc's code flow, with its gaps closed.

The library checks neither issuer nor audience, matches people by e-mail address, accepts a session whose account has
been disabled, and lets the provider's errors escape. This module replaces each of these steps with a safe one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import models
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from accounts.models import User
from directory.oidc import tokens
from directory.oidc.claims import ProviderPerson, fetch_person
from directory.oidc.errors import ProviderMisbehaved
from directory.oidc.identities import sign_in_person
from directory.oidc.provider import current_provider


@dataclass(frozen=True)
class ProviderSignIn:
    """What the session keeps about a person who has just signed in."""

    person: ProviderPerson
    id_token: str


class ProviderBackend(OIDCAuthenticationBackend):  # type: ignore[misc]
    """Signs people in by the provider's answer. It gives no permissions, which come from roles alone."""

    def __init__(self) -> None:
        """Make no request: Django creates a backend for every permission check."""
        self.UserModel = User
        self.OIDC_RP_CLIENT_ID = settings.OIDC_RP_CLIENT_ID
        self.OIDC_RP_CLIENT_SECRET = settings.OIDC_RP_CLIENT_SECRET

    def authenticate(self, request: HttpRequest | None, *, nonce: str, code_verifier: str) -> User | None:
        """The person whom the provider's answer in `request` vouches for. Raises ProviderProblem if there is none.

        Both secrets of the sign-in are required, so that no other form with `code` and `state` in its address can
        sign anyone in.
        """
        self.token_info: dict[str, Any] = {}
        user: User | None = super().authenticate(request, nonce=nonce, code_verifier=code_verifier)
        return user

    def get_token(self, payload: dict[str, str]) -> dict[str, Any]:
        secrets = {"client_id", "client_secret"}
        self.token_info = current_provider().ask_for_tokens(
            **{name: value for name, value in payload.items() if name not in secrets}
        )
        for name in ("id_token", "access_token"):
            if not isinstance(self.token_info.get(name), str):
                raise ProviderMisbehaved(f"the token endpoint gave no {name}")
        return self.token_info

    def verify_token(self, token: str, **kwargs: Any) -> tokens.Claims:
        try:
            return tokens.verify_id_token(
                token, nonce=str(kwargs["nonce"]), access_token=self.token_info["access_token"]
            )
        except tokens.TokenRejected as rejection:
            raise ProviderMisbehaved(f"ID token: {rejection}") from rejection

    def store_tokens(self, access_token: str, id_token: str) -> None:
        """Store nothing yet: the view writes to the session once it belongs to the person (directory/oidc/views.py)."""

    def get_or_create_user(self, access_token: str, id_token: str, payload: tokens.Claims) -> User:
        person = fetch_person(payload, access_token)
        refresh_token = self.token_info.get("refresh_token")
        session = self.request.session
        user = sign_in_person(
            person,
            refresh_token=refresh_token if isinstance(refresh_token, str) else None,
            is_renewal=(session.get("qm_issuer"), session.get("qm_subject"))
            == (person.issuer, person.subject),
        )
        user.provider_sign_in = ProviderSignIn(person, id_token)  # type: ignore[attr-defined]
        return user

    def get_user(self, user_id: Any) -> User | None:
        """The account of a session, or None once the account is disabled."""
        return User.objects.filter(pk=user_id, is_active=True).first()

    def get_user_permissions(self, user_obj: Any, obj: models.Model | None = None) -> set[str]:
        return set()

    def get_group_permissions(self, user_obj: Any, obj: models.Model | None = None) -> set[str]:
        return set()

    def get_all_permissions(self, user_obj: Any, obj: models.Model | None = None) -> set[str]:
        return set()

    def has_perm(self, user_obj: Any, perm: str, obj: models.Model | None = None) -> bool:
        return False

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return False
