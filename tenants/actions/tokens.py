"""Personal access tokens."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils.timezone import now

from tenants import audit
from tenants.models import PersonalAccessToken, User
from tenants.roles import TokenScope
from tenants.secrets import PERSONAL_TOKEN, digest, new_secret, visible_prefix

LONGEST_TOKEN_LIFE = timedelta(days=365)


@transaction.atomic
def issue_personal_access_token(user: User, *, name: str, life: timedelta) -> tuple[PersonalAccessToken, str]:
    """Make a token with which `user` speaks to the HTTP API. The secret is not stored: show it now.

    Raises:
        ValueError: `life` is longer than a year.
    """
    if life > LONGEST_TOKEN_LIFE:
        raise ValueError("A personal access token lives at most a year.")
    secret = new_secret(PERSONAL_TOKEN)
    token = PersonalAccessToken.objects.create(
        user=user,
        name=name,
        prefix=visible_prefix(secret),
        digest=digest(secret),
        expires_at=now() + life,
        scopes=list(TokenScope.values),
    )
    audit.record("personal_access_token.issued", actor=user, subject=token, prefix=token.prefix)
    return token, secret
