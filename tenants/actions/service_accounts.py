"""Accounts for programs: members that own keys and tokens and never sign in to pages. A person answers for each."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import Source, User
from core.errors import Conflict
from core.names import read_field
from tenants.actions import owned_resources
from tenants.actions.members import (
    end_membership,
    lock_members_of,
    place_member,
    require_may_give,
)
from tenants.models import Membership, Tenant
from tenants.roles import Role
from tenants.status import in_active_tenant, in_open_tenant
from tenants.stored_sentences import ACCOUNT_IS_DISABLED
from tenants.suspension import restore_access, suspend_access

# Reserved by RFC 2606: mail never goes there.
DOMAIN = "service.invalid"
LONGEST_NAME = 40


@action(
    Tenant,
    permission="tenants.manage_service_accounts",
    on=lambda tenant: tenant,
    state=in_active_tenant,
)
@transaction.atomic
def create_service_account(tenant: Tenant, *, name: str, role: str, by: User) -> User:
    """Create an account for a program, a member with `role`. `by` answers for it. It has no secret yet.

    Args:
        name: at most 40 characters; the part of the address before the @ is derived from it.

    Raises:
        Tenant.DoesNotExist: `by` cannot see the tenant.
        PermissionDenied: `by` may not manage service accounts here, or the role is owner or above their own.
        ValidationError: the name is taken, or contains no letter or digit.
        Conflict: the tenant is not active.
    """
    tenant = Tenant.objects.visible_to(by).get(pk=tenant.pk)
    create_service_account.require_permission(by, tenant)
    if role == Role.OWNER:
        raise PermissionDenied(_("A service account cannot be an owner: owners must be people."))
    require_may_give(by, tenant, role)
    create_service_account.require(by, lock_members_of(tenant.pk))
    name = read_field("name", name, missing=_("Enter a name of at most 40 characters."), longest=LONGEST_NAME)
    word = slugify(name)[:LONGEST_NAME]
    if not word:
        raise ValidationError({"name": _("Enter a name with letters or digits, such as nightly-report.")})
    email = f"{word}@{tenant.slug}.{DOMAIN}".lower()
    if User.objects.filter(email=email).exists():
        raise ValidationError(
            {"name": _("A service account with this name already exists. Choose another name.")}
        )
    account = User.objects.create_user(email, None, name=name, service_of=tenant, responsible=by)
    audit.record(
        "service_account.created",
        actor=by,
        subject=account,
        tenant=tenant,
        role=role,
        responsible=by.email,
    )
    place_member(tenant, account, role, existing=None, source=Source.PERSON, actor=by)
    return account


def _require_above(by: User, membership: Membership) -> None:
    require_may_give(by, membership.tenant, membership.role)


def _require_enabled(by: User | None, membership: Membership) -> None:
    in_open_tenant(by, membership)
    if not membership.user.is_active:
        raise Conflict(_("%(name)s is already disabled.") % {"name": membership.user})


@action(
    Membership,
    permission="tenants.manage_service_accounts",
    on=lambda membership: membership.tenant,
    rule=_require_above,
    state=_require_enabled,
)
@transaction.atomic
def disable_service_account(pk: UUID | str, *, by: User) -> User:
    """Disable an account: its tokens at the next request, its keys once gateways know. It can be enabled again.

    Raises:
        Membership.DoesNotExist: `by` cannot see such an account.
        PermissionDenied: `by` may not manage service accounts here.
        Conflict: it is already disabled, or the tenant is closed.
    """
    membership = _locked_account(pk, by)
    disable_service_account.require(by, membership)
    account, tenant = membership.user, membership.tenant
    stop(account, tenant, reason=ACCOUNT_IS_DISABLED(), actor=by)
    return account


def _require_disabled(by: User | None, membership: Membership) -> None:
    in_active_tenant(by, membership)
    if membership.user.is_active:
        raise Conflict(_("%(name)s is not disabled.") % {"name": membership.user})


@action(
    Membership,
    permission="tenants.manage_service_accounts",
    on=lambda membership: membership.tenant,
    rule=_require_above,
    state=_require_disabled,
)
@transaction.atomic
def enable_service_account(pk: UUID | str, *, by: User) -> User:
    """Enable a disabled account with its keys and tokens. `by` answers for it from now on.

    Raises:
        Membership.DoesNotExist: `by` cannot see such an account.
        PermissionDenied: `by` may not manage service accounts here.
        Conflict: it is not disabled, or the tenant is not active.
    """
    membership = _locked_account(pk, by)
    enable_service_account.require(by, membership)
    account, tenant = membership.user, membership.tenant
    before, account.responsible = account.responsible, by
    account.is_active = True
    account.save(update_fields=["is_active", "responsible"])
    audit.record(
        "service_account.enabled",
        actor=by,
        subject=account,
        tenant=tenant,
        changes={"is_active": (False, True), "responsible": (before and before.email, by.email)},
    )
    restore_access(account, tenant=None, by=by)
    return account


@action(
    Membership,
    permission="tenants.manage_service_accounts",
    on=lambda membership: membership.tenant,
    rule=_require_above,
    state=in_open_tenant,
)
@transaction.atomic
def delete_service_account(
    pk: UUID | str, *, by: User, choices: Mapping[str, owned_resources.Choice] | None = None
) -> None:
    """Delete an account permanently. Its keys are transferred or revoked as `choices` say; its tokens are revoked.

    The row stays without membership or address, because the audit log and keys refer to it. Its name becomes free.

    Raises:
        Membership.DoesNotExist: `by` cannot see such an account.
        PermissionDenied: `by` may not manage service accounts here.
        Conflict: the tenant is closed.
        ValidationError: by kind; the choice is missing or not possible.
    """
    membership = _locked_account(pk, by)
    delete_service_account.require(by, membership)
    account, tenant = membership.user, membership.tenant
    settled = owned_resources.transfer(account, tenant, choices or {}, actor=by)
    audit.record("service_account.deleted", actor=by, subject=account, tenant=tenant, settled=settled)
    end_membership(membership)
    account.email = f"{account.pk}@{tenant.slug}.{DOMAIN}".lower()
    account.is_active = False
    account.save(update_fields=["email", "is_active"])


def stop(account: User, tenant: Tenant, *, reason: str, actor: User | None) -> None:
    """Disable an account that the caller has locked, and suspend what it owns.

    Args:
        account: the locked account.
        tenant: its tenant.
        reason: why, for owners of the suspended keys.
        actor: who disables it; None means the platform.
    """
    account.is_active = False
    account.save(update_fields=["is_active"])
    audit.record(
        "service_account.disabled",
        actor=actor,
        subject=account,
        tenant=tenant,
        reason=reason,
        changes={"is_active": (True, False)},
    )
    suspend_access(account, tenant=None, reason=reason, by=actor)


def _locked_account(pk: UUID | str, by: User) -> Membership:
    """Return the membership `pk` of a service account that `by` can see. Locks its tenant and the account."""
    accounts = Membership.objects.visible_to(by).filter(user__service_of__isnull=False)
    tenant = lock_members_of(accounts.values_list("tenant", flat=True).get(pk=pk))
    membership = accounts.get(pk=pk)
    membership.tenant = tenant
    membership.user = User.objects.select_for_update(of=("self",), no_key=True).get(pk=membership.user_id)
    return membership
