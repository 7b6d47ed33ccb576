"""The directory's bearer tokens for /scim/v2/: one person issues them, another confirms them."""

from __future__ import annotations

from datetime import timedelta
from types import NoneType
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.actions.staff import operators_besides
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from core.names import read_field
from core.scope import platform_scope
from core.secrets import SCIM_TOKEN, digest, new_secret, visible_prefix
from directory.models import ScimToken

LONGEST_LIFE = timedelta(days=365)
# How long the old token still works after its renewal is confirmed.
OVERLAP = timedelta(days=1)
SCOPE = "a directory's token is the platform's"


@action(NoneType, permission="directory.manage_directory")
@transaction.atomic
def issue_scim_token(name: str, *, life: timedelta, by: User | None) -> tuple[ScimToken, str]:
    """Issue a token with which a directory provisions people and groups. The secret is not stored: show it now.

    The token opens nothing until another person confirms it. It works at once only if the platform issues it (`by`
    None), or if a superuser does and nobody else could confirm it.

    Raises:
        PermissionDenied: `by` may not manage the directory's tokens.
        ValueError: `life` is longer than a year, or not positive.
    """
    issue_scim_token.require(by, None)
    if not timedelta() < life <= LONGEST_LIFE:
        raise ValueError("A directory's token lives at most a year.")
    with platform_scope(SCOPE):
        return _issue(name, life, by, "scim_token.issued")


def _require_renewable(by: User | None, token: ScimToken) -> None:
    if token.revoked_at is not None:
        raise Conflict(_("This token is revoked. Issue a new one."))
    if token.confirmed_at is None:
        raise Conflict(_("This token still needs a second person. Have it confirmed, or revoke it."))


@action(ScimToken, permission="directory.manage_directory", state=_require_renewable)
@transaction.atomic
def renew_scim_token(pk: UUID | str, *, by: User | None) -> tuple[ScimToken, str]:
    """Issue another token with the same name and lifetime. It needs a second person like any other token.

    The old token keeps working until OVERLAP after the new one is confirmed.

    Raises:
        ScimToken.DoesNotExist: there is no such token.
        PermissionDenied: `by` may not manage the directory's tokens.
        Conflict: the token is revoked, or nobody has confirmed it yet.
    """
    with platform_scope(SCOPE):
        old = _lock(pk)
        renew_scim_token.require(by, old)
        life = min(old.expires_at - old.created_at, LONGEST_LIFE)
        # The audit log keeps the older word, so that one action has one verb.
        return _issue(old.name, life, by, "scim_token.rotated", replaces=old)


def _require_second_person(by: User, token: ScimToken) -> None:
    if token.made_by_id == by.pk:
        raise PermissionDenied(_("You created this token; someone else must confirm it."))


def _require_waiting(by: User | None, token: ScimToken) -> None:
    if token.revoked_at is not None or token.expires_at <= now():
        raise Conflict(_("This token has expired. Issue a new one."))
    if token.confirmed_at is not None:
        raise Conflict(_("This token is already confirmed."))


@action(
    ScimToken,
    permission="directory.manage_directory",
    rule=_require_second_person,
    state=_require_waiting,
)
@transaction.atomic
def confirm_scim_token(pk: UUID | str, *, by: User) -> ScimToken:
    """Confirm a token as the second person. It works from the next request on.

    The token that it replaces keeps working for OVERLAP.

    Raises:
        ScimToken.DoesNotExist: there is no such token.
        PermissionDenied: `by` may not manage the directory's tokens, or issued this one.
        Conflict: the token is already confirmed, revoked or expired.
    """
    with platform_scope(SCOPE):
        token = _lock(pk)
        confirm_scim_token.require(by, token)
        _confirm(token, by)
        audit.record(
            "scim_token.confirmed",
            actor=by,
            subject=token,
            prefix=token.prefix,
            made_by=token.made_by.email if token.made_by else "",
        )
    return token


def _require_not_revoked(by: User | None, token: ScimToken) -> None:
    if token.revoked_at is not None:
        raise Conflict(_("This token is already revoked."))


@action(ScimToken, permission="directory.manage_directory", state=_require_not_revoked)
@transaction.atomic
def revoke_scim_token(pk: UUID | str, *, by: User | None) -> ScimToken:
    """Revoke a token. It stops working with the next request; an unconfirmed token can no longer be confirmed.

    Raises:
        ScimToken.DoesNotExist: there is no such token.
        PermissionDenied: `by` may not manage the directory's tokens.
        Conflict: the token is already revoked.
    """
    with platform_scope(SCOPE):
        token = _lock(pk)
        revoke_scim_token.require(by, token)
        token.revoked_at = now()
        token.save(update_fields=["revoked_at"])
        audit.record("scim_token.revoked", actor=by, subject=token, prefix=token.prefix)
    return token


def _lock(pk: UUID | str) -> ScimToken:
    return ScimToken.objects.select_for_update().get(pk=pk)


def _issue(
    name: str, life: timedelta, by: User | None, verb: str, replaces: ScimToken | None = None
) -> tuple[ScimToken, str]:
    name = read_field("name", name, missing=_("Enter a name of at most 80 characters."), longest=80)
    secret = new_secret(SCIM_TOKEN)
    waits = by is not None and (not by.is_superuser or operators_besides(by))
    token = ScimToken.objects.create(
        name=name,
        prefix=visible_prefix(secret),
        digest=digest(secret),
        expires_at=now() + life,
        made_by=by if waits else None,
        replaces=replaces,
    )
    facts: dict[str, Any] = {
        "prefix": token.prefix,
        "expires_at": token.expires_at.isoformat(),
        "waits_for_second_person": waits,
    }
    if replaces is not None:
        facts["replaces"] = replaces.prefix
    if not waits:
        _confirm(token, None)
    audit.record(verb, actor=by, subject=token, **facts)
    return token, secret


def _confirm(token: ScimToken, by: User | None) -> None:
    token.confirmed_by, token.confirmed_at = by, now()
    token.save(update_fields=["confirmed_by", "confirmed_at"])
    if token.replaces_id is not None:
        end = now() + OVERLAP
        ScimToken.objects.filter(pk=token.replaces_id, expires_at__gt=end).update(expires_at=end)
