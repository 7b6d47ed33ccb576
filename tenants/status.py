"""Whether actions are allowed in a tenant now, and the locks that keep the answer valid until commit.

Take several locks in this order: the tenant, the person, the rows themselves, the revision last.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.models import User
from core.errors import Conflict
from tenants.models import Tenant


def in_active_tenant(by: User | None, it: Any) -> None:
    """The state that most actions require (accounts/declared.py): raise Conflict unless the tenant of `it` is active.

    Args:
        it: a tenant, or a row of one, as it was read. Actions that create or decide something lock the tenant first
            (`lock_tenant_shared`) and other rows afterwards. Suspension waits for actions in progress; later ones
            fail with Conflict.
    """
    tenant = _tenant_of(it)
    if tenant.status != Tenant.Status.ACTIVE:
        raise Conflict(why_not_active(tenant), code="tenant_not_active")


def in_open_tenant(by: User | None, it: Any) -> None:
    """The state required by actions that end something: raise Conflict if the tenant of `it` is closed."""
    tenant = _tenant_of(it)
    if tenant.status == Tenant.Status.CLOSED:
        raise Conflict(why_not_active(tenant), code="tenant_not_active")


def _tenant_of(it: Any) -> Tenant:
    return it if isinstance(it, Tenant) else it.tenant


def lock_tenant_shared(tenant: Tenant) -> Tenant:
    """Return the tenant, unchanged until commit: suspending and closing it wait. Others may hold this lock too."""
    return Tenant.objects.raw("SELECT * FROM tenants_tenant WHERE id = %s FOR SHARE", [tenant.pk])[0]


def lock_tenant(pk: UUID | str, *, by: User) -> Tenant:
    """Return the tenant, locked until commit against every action in it. For actions that change its own row.

    Raises Tenant.DoesNotExist when `by` cannot see it.
    """
    return Tenant.objects.visible_to(by).select_for_update(of=("self",), no_key=True).get(pk=pk)


def why_not_active(tenant: Tenant) -> str:
    """Return the message for people of a suspended or closed tenant: the state, the reason, and whom to ask."""
    if tenant.status == Tenant.Status.CLOSED:
        return _("%(tenant)s is closed: nothing can be changed here.") % {"tenant": tenant.name}
    words = {
        "tenant": tenant.name,
        "reason": tenant.suspended_reason.rstrip(".") or _("no reason was recorded"),
        "contact": settings.SUPPORT_CONTACT or _("the platform's operators"),
    }
    return _("%(tenant)s is suspended: %(reason)s. Ask %(contact)s to resume it.") % words
