"""Personal access tokens: issue, revoke."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from core.names import read_field
from core.secrets import PERSONAL_TOKEN, digest, new_secret, visible_prefix
from tenants.models import PersonalAccessToken, Tenant
from tenants.permissions import forget_permissions
from tenants.roles import TokenScope
from tenants.status import in_active_tenant, lock_tenant_shared
from tenants.suspension import tokens_issued_by

LONGEST_TOKEN_LIFE = timedelta(days=365)
# The most tokens that one person or service account may hold at a time.
MOST_TOKENS = 50


class Bearer(Protocol):
    """The token that makes a request: a personal access token, or an access token of the provider."""

    @property
    def scopes(self) -> Iterable[str]: ...

    @property
    def tenant_id(self) -> UUID | None: ...

    @property
    def expires_at(self) -> datetime: ...


def _is_others(by: User, token: PersonalAccessToken) -> str:
    return "" if token.user_id == by.pk else "tenants.manage_tokens"


def _is_for_a_program(by: User, token: PersonalAccessToken) -> str:
    return "" if _is_persons(token) else _is_others(by, token)


def _is_persons(token: PersonalAccessToken) -> bool:
    return token.user_id is not None and not token.user.is_service_account


def _require_no_persons(by: User, token: PersonalAccessToken) -> None:
    if token.user_id != by.pk and _is_persons(token):
        raise PermissionDenied(_("People can create tokens only for themselves."))


def _require_active_where_it_leads(by: User | None, token: PersonalAccessToken) -> None:
    if token.tenant is not None:
        in_active_tenant(by, token.tenant)


@action(
    PersonalAccessToken,
    permission="tenants.manage_tokens",
    which=_is_for_a_program,
    on=lambda token: token.tenant,
    rule=_require_no_persons,
    state=_require_active_where_it_leads,
)
@transaction.atomic
def issue_personal_access_token(
    user: User,
    *,
    name: str,
    life: timedelta,
    scopes: Iterable[str] | None = None,
    tenant: Tenant | None = None,
    by: User | None = None,
    through: Bearer | None = None,
) -> tuple[PersonalAccessToken, str]:
    """Create a token with which `user` calls the HTTP API. The secret is not stored: show it now.

    Args:
        name: what the token is for.
        life: at most a year.
        scopes: what it may be used for; None means all scopes that fit its owner.
        tenant: the only tenant it opens; None means all of its owner's. A service account's token always opens only
            the account's own tenant.
        by: who creates it: the owner (None), or somebody who manages tokens of a service account's tenant.
        through: the token that makes this request. The new token may not do more or live longer than that one.

    Raises:
        PermissionDenied: `by` may not create tokens for `user` (any more), or the new one would exceed `through`.
        ValidationError: no scope, a scope that does not fit, a life of zero or over a year, or somebody else's tenant.
        Conflict: the person or the tenant is not active, or they already have the maximum number of tokens.
    """
    by = by or user
    tenant = _tenant_of(user, tenant)
    draft = PersonalAccessToken(user=user, tenant=tenant and lock_tenant_shared(tenant))
    issue_personal_access_token.require(by, draft)
    owner = _lock_people(draft, by)
    wanted = _scopes_of(owner, tenant, scopes)
    expires_at = now() + life
    if not timedelta(0) < life <= LONGEST_TOKEN_LIFE:
        raise ValidationError({"expires_at": _("A token lives at most a year. Choose an earlier day.")})
    name = read_field(
        "name", name, missing="Say what the token is for, in at most 80 characters.", longest=80
    )
    if through is not None:
        _check_not_widened(through, wanted, tenant, expires_at - through.expires_at)
    if not owner.is_active:
        raise Conflict(
            _("%(owner)s is not active and cannot get tokens.") % {"owner": owner}, code="not_active"
        )
    if PersonalAccessToken.objects.current().filter(user=owner).count() >= MOST_TOKENS:
        raise Conflict(
            _("%(owner)s has %(most)d tokens. First revoke those that nobody uses.")
            % {"owner": owner, "most": MOST_TOKENS},
            code="too_many_tokens",
        )

    secret = new_secret(PERSONAL_TOKEN)
    token = PersonalAccessToken.objects.create(
        user=owner,
        tenant=tenant,
        name=name,
        prefix=visible_prefix(secret),
        digest=digest(secret),
        issued_by_id=_issuer(owner, by, through),
        expires_at=expires_at,
        scopes=wanted,
    )
    audit.record(
        "personal_access_token.issued",
        actor=by,
        subject=token,
        tenant=tenant,
        owner=owner.email,
        prefix=token.prefix,
        scopes=wanted,
        expires_at=expires_at.isoformat(),
    )
    return token, secret


def _require_not_revoked(by: User | None, token: PersonalAccessToken) -> None:
    if token.revoked_at is not None:
        raise Conflict(_("This token is already revoked."), code="already_revoked")


@action(
    PersonalAccessToken,
    permission="tenants.manage_tokens",
    which=_is_others,
    on=lambda token: token.tenant,
    state=_require_not_revoked,
)
@transaction.atomic
def revoke_personal_access_token(pk: UUID | str, *, by: User) -> PersonalAccessToken:
    """Revoke a token permanently, from the next request on.

    Raises:
        PersonalAccessToken.DoesNotExist: `by` cannot see such a token.
        PermissionDenied: it belongs to somebody else, and `by` may not manage tokens of its tenant.
        Conflict: it is already revoked.
    """
    token = PersonalAccessToken.objects.visible_to(by).with_names().select_for_update(of=("self",)).get(pk=pk)
    revoke_personal_access_token.require(by, token)
    stop_token(token, actor=by)
    return token


def stop_token(token: PersonalAccessToken, *, actor: User | None) -> None:
    """Revoke a token that the caller has locked."""
    token.revoked_at = now()
    token.save(update_fields=["revoked_at"])
    audit.record(
        "personal_access_token.revoked",
        actor=actor,
        subject=token,
        tenant=token.tenant,
        owner=token.user.email,
        prefix=token.prefix,
    )


def revoke_tokens_issued_by(person: User, tenant: Tenant | None, *, actor: User | None) -> int:
    """Revoke the tokens that `person` issued for service accounts (of `tenant`), and return how many.

    They know the secrets. The caller has locked the tenant and the person.
    """
    issued = tokens_issued_by(person, tenant).filter(revoked_at=None, expires_at__gt=now())
    issued = issued.select_related("user", "tenant").select_for_update(of=("self",)).order_by("pk")
    tokens = list(issued)
    for token in tokens:
        stop_token(token, actor=actor)
    return len(tokens)


def _lock_people(draft: PersonalAccessToken, by: User) -> User:
    """Lock the owner of a new token and its issuer until commit, and return the owner.

    A person who is being deactivated therefore gets no token, and a person who is losing the right to create tokens
    cannot create one that outlives it.
    """
    rows = User.objects.select_for_update(of=("self",), no_key=True).filter(pk__in={draft.user_id, by.pk})
    people = {row.pk: row for row in rows.order_by("pk")}
    if by.pk != draft.user_id:
        if not people[by.pk].is_active:
            raise PermissionDenied(_("Your account is no longer active."))
        forget_permissions(by)
        issue_personal_access_token.require_permission(by, draft)
    return people[draft.user_id]


def _issuer(owner: User, by: User, through: Bearer | None) -> UUID | None:
    """Return the person who will know the secret: `by`, or the issuer of the service account's token used by `by`."""
    if not by.is_service_account:
        return by.pk
    issuer: UUID | None = getattr(through, "issued_by_id", None)
    return issuer or owner.responsible_id


def _tenant_of(owner: User, tenant: Tenant | None) -> Tenant | None:
    """Return the tenant that a new token is bound to. Raises what issue_personal_access_token lists."""
    if owner.service_of is not None:
        if tenant not in (None, owner.service_of):
            raise ValidationError({"tenant": _("A service account's token must be for its own tenant.")})
        return owner.service_of
    if tenant is not None and not owner.memberships.filter(tenant=tenant).exists():
        raise ValidationError({"tenant": _("Choose one of your tenants.")})
    return tenant


def _scopes_of(owner: User, tenant: Tenant | None, scopes: Iterable[str] | None) -> list[str]:
    """Return the scopes of a new token in their declared order. Raises ValidationError."""
    is_for_staff = owner.is_staff and tenant is None
    fitting = [scope.value for scope in TokenScope if is_for_staff or scope != TokenScope.PLATFORM]
    if scopes is None:
        return fitting
    asked = {str(scope) for scope in scopes}
    if not asked:
        raise ValidationError({"scopes": _("Choose at least one scope.")})
    if unfit := sorted(asked - set(fitting)):
        reason = "Only staff can act for the platform, with a token that is not bound to a tenant."
        known = set(TokenScope.values)
        raise ValidationError(
            {
                "scopes": reason
                if set(unfit) <= known
                else _("There is no scope %(names)s.") % {"names": ", ".join(unfit)}
            }
        )
    return [scope for scope in fitting if scope in asked]


def _check_not_widened(through: Bearer, wanted: list[str], tenant: Tenant | None, longer: timedelta) -> None:
    """Raise PermissionDenied if a new token would do more, reach further or live longer than `through`."""
    if more := sorted(set(wanted) - set(through.scopes)):
        raise PermissionDenied(
            _("A token cannot create a token with a scope that it lacks: %(names)s.")
            % {"names": ", ".join(more)}
        )
    if through.tenant_id is not None and (tenant is None or tenant.pk != through.tenant_id):
        raise PermissionDenied(_("A token bound to a tenant cannot create a token for another tenant."))
    if longer > timedelta(0):
        raise PermissionDenied(_("A token cannot create a token that outlives it. Choose an earlier day."))
