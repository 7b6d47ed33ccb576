"""Closing a tenant permanently. It takes a final export and two people.

Billing builds and checks the export. It registers the check (`verify_final_exports_with`), because nothing here
imports billing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from core.names import read_field
from tenants.actions.keys import stop_key
from tenants.actions.members import withdraw_locked_invitation
from tenants.actions.tokens import stop_token
from tenants.models import ApiKey, Invitation, PersonalAccessToken, Tenant, TenantClosing
from tenants.revision import raise_revision
from tenants.signals import tenant_closed
from tenants.status import in_open_tenant, lock_tenant, why_not_active

LONGEST_REASON = 500

# Returns the SHA-256 of a tenant's final export, or raises Conflict.
Verifier = Callable[[Tenant, UUID], str]
_verifiers: list[Verifier] = []


def verify_final_exports_with(verifier: Verifier) -> None:
    """Register the check of final exports. Call once, from AppConfig.ready."""
    _verifiers[:] = [verifier]


def require_suspended(by: User | None, tenant: Tenant) -> None:
    """Raise Conflict unless the tenant is suspended; only then can it close. The caller has locked its row."""
    if tenant.status == Tenant.Status.ACTIVE:
        raise Conflict(
            _("%(tenant)s is active. Suspend it before you close it.") % {"tenant": tenant.name},
            code="not_suspended",
        )
    in_open_tenant(by, tenant)


def _require_proposable(by: User | None, tenant: Tenant) -> None:
    require_suspended(by, tenant)
    if open_closing(tenant) is not None:
        raise Conflict(
            _("Closing %(tenant)s is already proposed. Someone else must confirm or withdraw it.")
            % {"tenant": tenant.name},
            code="closing_proposed",
        )


@action(Tenant, permission="tenants.propose_closing", on=lambda tenant: tenant, state=_require_proposable)
@transaction.atomic
def propose_closing(pk: UUID | str, *, export_id: UUID, reason: str, by: User) -> TenantClosing:
    """Propose to close a suspended tenant with its final export. Another person confirms.

    Args:
        pk: id of the tenant.
        export_id: id of the final export.
        reason: why; the person who confirms reads it.
        by: an owner or operator.

    Raises:
        Tenant.DoesNotExist: `by` cannot see such a tenant. PermissionDenied: `by` may not propose this.
        Conflict: the tenant is not suspended, somebody has already proposed to close it, or the export is not a final
        export that matches the ledger. ValidationError: no reason.
    """
    tenant = lock_tenant(pk, by=by)
    propose_closing.require(by, tenant)
    sha256 = _verifiers[0](tenant, export_id)
    missing = _("Give a reason of at most %(most)d characters.") % {"most": LONGEST_REASON}
    reason = read_field("reason", reason, missing=missing, longest=LONGEST_REASON, is_line=True)
    closing = TenantClosing.objects.create(
        tenant=tenant, reason=reason, export_id=export_id, export_sha256=sha256, proposed_by=by
    )
    audit.record(
        "tenant.closing_proposed", actor=by, subject=closing, reason=reason, export=export_id, sha256=sha256
    )
    return closing


def _require_open(by: User | None, closing: TenantClosing) -> None:
    if closing.withdrawn_at is not None:
        raise Conflict(_("This proposal was withdrawn. Create a new one."), code="withdrawn")
    if closing.confirmed_at is not None:
        raise Conflict(why_not_active(closing.tenant), code="tenant_not_active")


@action(
    TenantClosing,
    permission="tenants.propose_closing",
    on=lambda closing: closing.tenant,
    state=_require_open,
)
@transaction.atomic
def withdraw_closing(pk: UUID | str, *, by: User) -> TenantClosing:
    """Withdraw a proposal. The tenant stays suspended until an operator resumes it.

    Raises:
        TenantClosing.DoesNotExist: `by` cannot see such a proposal. PermissionDenied: `by` may not propose
        either. Conflict: it is already withdrawn or confirmed.
    """
    closing = _lock_closing(pk, by=by)
    withdraw_closing.require(by, closing)
    closing.withdrawn_at = now()
    closing.save(update_fields=["withdrawn_at"])
    audit.record("tenant.closing_withdrawn", actor=by, subject=closing)
    return closing


def _require_second_person(by: User, closing: TenantClosing) -> None:
    if closing.proposed_by_id == by.pk:
        raise PermissionDenied(_("You proposed to close this tenant; someone else must confirm it."))


def _require_confirmable(by: User | None, closing: TenantClosing) -> None:
    _require_open(by, closing)
    require_suspended(by, closing.tenant)


@action(
    TenantClosing,
    permission="tenants.confirm_closing",
    on=lambda closing: closing.tenant,
    rule=_require_second_person,
    state=_require_confirmable,
)
@transaction.atomic
def confirm_closing(pk: UUID | str, *, by: User) -> Tenant:
    """Close a tenant permanently, as the second person. This cannot be undone.

    One transaction revokes its keys and the tokens bound to it, disables its service accounts and withdraws its open
    invitations; the apps above end its requests and grants. Its members can still read costs, exports and the audit
    log.

    Raises:
        TenantClosing.DoesNotExist: `by` cannot see such a proposal.
        PermissionDenied: `by` may not confirm closings, or proposed this one.
        Conflict: it is already withdrawn or confirmed, or usage has arrived since its final export.
    """
    closing = _lock_closing(pk, by=by)
    tenant = closing.tenant
    confirm_closing.require(by, closing)
    if _verifiers[0](tenant, closing.export_id) != closing.export_sha256:
        raise Conflict(_("The final export has changed since it was proposed."), code="export_outdated")

    closing.confirmed_by, closing.confirmed_at = by, now()
    closing.save(update_fields=["confirmed_by", "confirmed_at"])
    ended = _end_access(tenant, by=by)
    tenant_closed.send(Tenant, tenant=tenant, by=by)
    tenant.status = Tenant.Status.CLOSED
    tenant.save(update_fields=["status"])
    audit.record(
        "tenant.closed",
        actor=by,
        subject=tenant,
        changes={"status": (Tenant.Status.SUSPENDED.value, Tenant.Status.CLOSED.value)},
        proposed_by=closing.proposed_by.email,
        export=closing.export_id,
        sha256=closing.export_sha256,
        ended=ended,
    )
    raise_revision(tenants=[tenant.pk])
    return tenant


def open_closing(tenant: Tenant) -> TenantClosing | None:
    """Return the proposal that nobody has withdrawn. Once the tenant is closed, it is the confirmed one."""
    closings = TenantClosing.objects.in_tenant(tenant).filter(withdrawn_at=None)
    return closings.select_related("proposed_by", "confirmed_by", "tenant").first()


def _lock_closing(pk: UUID | str, *, by: User) -> TenantClosing:
    """Return the proposal with its tenant. Locks both, the tenant first."""
    found = TenantClosing.objects.visible_to(by).only("tenant_id").get(pk=pk)
    tenant = lock_tenant(found.tenant_id, by=by)
    closing = (
        TenantClosing.objects.in_tenant(tenant)
        .select_for_update(of=("self",))
        .select_related("proposed_by")
        .get(pk=pk)
    )
    closing.tenant = tenant
    return closing


def _end_access(tenant: Tenant, *, by: User) -> dict[str, int]:
    """Revoke keys and tokens, disable service accounts, withdraw invitations; return how many of each."""
    accounts = _locked(User.objects.filter(service_of=tenant, is_active=True))
    for account in accounts:
        account.is_active = False
        account.save(update_fields=["is_active"])
        audit.record("service_account.disabled", actor=by, subject=account, tenant=tenant)
    keys = _locked(
        ApiKey.objects.in_tenant(tenant).select_related("tenant").exclude(state=ApiKey.State.REVOKED)
    )
    for key in keys:
        stop_key(key, actor=by)
    tokens = _locked(PersonalAccessToken.objects.with_names().filter(tenant=tenant, revoked_at=None))
    for token in tokens:
        stop_token(token, actor=by)
    invitations = _locked(Invitation.objects.in_tenant(tenant).open())
    for invitation in invitations:
        withdraw_locked_invitation(invitation, actor=by)
    return {
        "keys": len(keys),
        "tokens": len(tokens),
        "service_accounts": len(accounts),
        "invitations": len(invitations),
    }


def _locked(rows: QuerySet[Any]) -> list[Any]:
    return list(rows.select_for_update(of=("self",), no_key=True).order_by("pk"))
