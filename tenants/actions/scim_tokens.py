"""The directory's bearer tokens for /scim/v2/."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from tenants import audit
from tenants.errors import Conflict
from tenants.models import ScimToken, User
from tenants.permissions import require
from tenants.scope import platform_scope
from tenants.secrets import SCIM_TOKEN, digest, new_secret, visible_prefix

LONGEST_LIFE = timedelta(days=365)
OVERLAP = timedelta(days=1)  # after a rotation the old token works that long, to change it in the directory
SCOPE = "a directory's token is the platform's"


@transaction.atomic
def issue_scim_token(name: str, *, life: timedelta, by: User | None) -> tuple[ScimToken, str]:
    """Make a token with which a directory provisions people and groups. It is not stored: show it now.

    Raises:
        PermissionDenied: `by` may not manage the directory's tokens.
        ValueError: `life` is longer than a year, or over already.
    """
    if by is not None:
        require(by, "tenants.manage_directory")
    if not timedelta() < life <= LONGEST_LIFE:
        raise ValueError("A directory's token lives at most a year.")
    with platform_scope(SCOPE):
        return _issue(name, life, by, "scim_token.issued")


@transaction.atomic
def rotate_scim_token(
    pk: UUID | str, *, by: User | None, overlap: timedelta = OVERLAP
) -> tuple[ScimToken, str]:
    """Make another token of the same name and life; the old one works until `overlap` is over.

    Raises:
        ScimToken.DoesNotExist: there is no such token.
        PermissionDenied: `by` may not manage the directory's tokens.
        Conflict: it is revoked.
    """
    with platform_scope(SCOPE):
        old = _find(pk, by)
        if old.revoked_at is not None:
            raise Conflict("This token is revoked. Issue a new one.")
        life = min(old.expires_at - old.created_at, LONGEST_LIFE)
        new, secret = _issue(old.name, life, by, "scim_token.rotated", replaces=old.prefix)
        old.expires_at = min(old.expires_at, now() + overlap)
        old.save(update_fields=["expires_at"])
    return new, secret


@transaction.atomic
def revoke_scim_token(pk: UUID | str, *, by: User | None) -> ScimToken:
    """Refuse a token from the next request on.

    Raises:
        ScimToken.DoesNotExist: there is no such token.
        PermissionDenied: `by` may not manage the directory's tokens.
        Conflict: it is revoked already.
    """
    with platform_scope(SCOPE):
        token = _find(pk, by)
        if token.revoked_at is not None:
            raise Conflict("This token is revoked already.")
        token.revoked_at = now()
        token.save(update_fields=["revoked_at"])
        audit.record("scim_token.revoked", actor=by, subject=token, prefix=token.prefix)
    return token


def _find(pk: UUID | str, by: User | None) -> ScimToken:
    if by is not None:
        require(by, "tenants.manage_directory")
    return ScimToken.objects.select_for_update().get(pk=pk)


def _issue(
    name: str, life: timedelta, by: User | None, verb: str, replaces: str = ""
) -> tuple[ScimToken, str]:
    secret = new_secret(SCIM_TOKEN)
    token = ScimToken.objects.create(
        name=name, prefix=visible_prefix(secret), digest=digest(secret), expires_at=now() + life
    )
    facts: dict[str, Any] = {"prefix": token.prefix, "expires_at": token.expires_at.isoformat()}
    if replaces:
        facts["replaces"] = replaces
    audit.record(verb, actor=by, subject=token, **facts)
    return token, secret
