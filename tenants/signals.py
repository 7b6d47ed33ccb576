"""Signals that notify the apps above of what happens to a tenant or person. This package does not import them.

Receivers run inside the transaction of the action; an exception rolls it back. They connect in their
AppConfig.ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.dispatch import Signal
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from accounts.models import User
from tenants.models import ApiKey, Membership, Project, Tenant

# Tenant, by: stop what runs for the tenant. The tenant's row is locked.
tenant_suspended = Signal()
# Tenant, by: end what would resume with the tenant. The tenant's row is locked.
tenant_closed = Signal()
# Delete copies of the audit log: any of them may name the person.
person_erased = Signal()
# User, is_active, reason: a person was deactivated or reactivated.
person_access_changed = Signal()
# User, tenant, project, by: what a person may do has changed, in all tenants if tenant is None. The person is locked,
# their keys are not yet. Receivers return the ids of the projects that gateways must read again; the sender raises the
# revision once for all.
rights_changed = Signal()
# Tenant: return a list of Impact, what stops for people if the tenant is suspended.
impact_wanted = Signal()


@dataclass(frozen=True)
class Impact:
    """One number to show before a tenant is suspended, a person deactivated or a provider disabled."""

    label: str | Promise
    value: int


def projects_that_follow(
    user: User, *, tenant: Tenant | None, project: Project | None = None, by: User | None
) -> set[UUID]:
    """Let every app follow the rights of a person, whom the caller has locked. Returns the projects that changed.

    Args:
        user: whose rights changed.
        tenant: only in this tenant; None means everywhere.
        project: only in this project.
        by: who changed them; None means the platform.
    """
    answers: list[tuple[Any, Any]] = rights_changed.send(
        User, user=user, tenant=tenant, project=project, by=by
    )
    return {changed for _receiver, projects in answers for changed in projects}


def impact_of(tenant: Tenant) -> list[Impact]:
    """Return what suspending `tenant` would stop, as counted by every app."""
    return list(_answers(impact_wanted.send(Tenant, tenant=tenant)))


def _answers(responses: list[tuple[Any, Any]]) -> Iterator[Impact]:
    for _receiver, impact in responses:
        yield from impact


def count_keys_and_members(sender: Any, *, tenant: Tenant, **kwargs: Any) -> list[Impact]:
    """Count what every tenant has: keys that gateways accept, and members."""
    return [
        Impact(_("Active keys"), ApiKey.objects.in_tenant(tenant).usable().count()),
        Impact(_("Members"), Membership.objects.in_tenant(tenant).count()),
    ]
