"""What becomes of a tenant, told to the apps above, which WHO does not know by name.

Receivers run inside the transaction of the action; what they raise undoes it. They connect in their AppConfig.ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.dispatch import Signal
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from tenants.models import ApiKey, Membership, Tenant

# Tenant, by: stop what runs for the tenant; the tenant's row is locked.
tenant_suspended = Signal()
# Tenant, by: end what would come back if the tenant did; the tenant's row is locked.
tenant_closed = Signal()
# Let copies of the audit log go: any may name the person.
person_erased = Signal()
# User, is_active, reason: somebody is let in no more, or again.
person_access_changed = Signal()
# Tenant: return Stakes, what stops for people if the tenant is suspended.
impact_wanted = Signal()


@dataclass(frozen=True)
class Impact:
    """One number that somebody should see before they suspend a tenant or deactivate a person."""

    label: str | Promise
    value: int


def impact_of(tenant: Tenant) -> list[Impact]:
    """What suspending `tenant` would stop, as every app counts it."""
    return list(_answers(impact_wanted.send(Tenant, tenant=tenant)))


def _answers(responses: list[tuple[Any, Any]]) -> Iterator[Impact]:
    for _receiver, impact in responses:
        yield from impact


def count_keys_and_members(sender: Any, *, tenant: Tenant, **kwargs: Any) -> list[Impact]:
    """What every tenant has: keys that gateways let in, and members."""
    return [
        Impact(_("Active keys"), ApiKey.objects.in_tenant(tenant).usable().count()),
        Impact(_("Members"), Membership.objects.in_tenant(tenant).count()),
    ]
