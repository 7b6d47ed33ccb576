"""Suspending and resuming a tenant."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from core.errors import Conflict
from core.names import read_field
from tenants.models import Tenant, TenantClosing
from tenants.revision import raise_revision
from tenants.signals import tenant_suspended
from tenants.status import in_active_tenant, lock_tenant

LONGEST_REASON = 500


@action(Tenant, permission="tenants.suspend_tenant", on=lambda tenant: tenant, state=in_active_tenant)
@transaction.atomic
def suspend_tenant(pk: UUID | str, *, by: User, reason: str) -> Tenant:
    """Stop a tenant's keys, requests and exports until it is resumed. Its data stays readable.

    From the next revision on, gateways reject its keys as if they were revoked.

    Args:
        reason: at most 500 characters; the tenant's people read it on every page.

    Raises:
        Tenant.DoesNotExist: `by` cannot see such a tenant. PermissionDenied: `by` may not suspend tenants.
        Conflict: it is already suspended or closed. ValidationError: no reason.
    """
    tenant = lock_tenant(pk, by=by)
    suspend_tenant.require(by, tenant)
    return suspend_locked(tenant, by=by, reason=reason)


def _require_resumable(by: User | None, tenant: Tenant) -> None:
    """Raise Conflict unless the tenant is suspended and nobody has proposed to close it."""
    if tenant.status != Tenant.Status.SUSPENDED:
        raise Conflict(
            _("%(tenant)s is %(status)s, not suspended.")
            % {"tenant": tenant.name, "status": tenant.get_status_display().lower()},
            code="not_suspended",
        )
    if TenantClosing.objects.in_tenant(tenant).filter(withdrawn_at=None).exists():
        raise Conflict(
            _("Closing %(tenant)s is proposed. Withdraw the proposal first.") % {"tenant": tenant.name},
            code="closing_proposed",
        )


@action(Tenant, permission="tenants.suspend_tenant", on=lambda tenant: tenant, state=_require_resumable)
@transaction.atomic
def resume_tenant(pk: UUID | str, *, by: User) -> Tenant:
    """Resume a suspended tenant. Gateways accept its keys from the next revision on.

    Raises:
        Tenant.DoesNotExist: `by` cannot see such a tenant. PermissionDenied: `by` may not resume tenants.
        Conflict: it is not suspended, or is about to be closed.
    """
    tenant = lock_tenant(pk, by=by)
    resume_tenant.require(by, tenant)
    tenant.status, tenant.suspended_at, tenant.suspended_reason = Tenant.Status.ACTIVE, None, ""
    tenant.save(update_fields=["status", "suspended_at", "suspended_reason"])
    changes = {"status": (Tenant.Status.SUSPENDED.value, Tenant.Status.ACTIVE.value)}
    audit.record("tenant.resumed", actor=by, subject=tenant, changes=changes)
    raise_revision(tenants=[tenant.pk])
    return tenant


def suspend_locked(tenant: Tenant, *, by: User, reason: str) -> Tenant:
    """Suspend an active tenant whose row the caller has locked. Raises ValidationError if there is no reason."""
    reason = read_field(
        "reason",
        reason,
        missing=_("Give a reason of at most %(most)d characters. The tenant's members can read it.")
        % {"most": LONGEST_REASON},
        longest=LONGEST_REASON,
        is_line=True,
    )
    tenant.status, tenant.suspended_at = Tenant.Status.SUSPENDED, now()
    tenant.suspended_reason = reason
    tenant.save(update_fields=["status", "suspended_at", "suspended_reason"])
    changes = {"status": (Tenant.Status.ACTIVE.value, Tenant.Status.SUSPENDED.value)}
    audit.record("tenant.suspended", actor=by, subject=tenant, changes=changes, reason=reason)
    tenant_suspended.send(Tenant, tenant=tenant, by=by)
    raise_revision(tenants=[tenant.pk])
    return tenant
