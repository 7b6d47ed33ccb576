"""Whose calls a target may answer, and with which data: the same decision for pages, previews and the configuration.

Gateways decide it again for each call (gateway/contract/versions.py, `may_receive`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from core.regions import is_allowed, lies_in
from deployments.models import Sharing, Target
from tenants.models import DataClass, Tenant


@dataclass(frozen=True)
class Audience:
    """Whose calls something may answer."""

    # Where it answers; empty if nobody has stated it.
    regions: Collection[str]
    highest_data_class: DataClass = DataClass.RESTRICTED
    # True for an engine that serves nobody except perhaps `only_tenant`.
    is_closed: bool = False
    # The only tenant of a deployment; None: all.
    only_tenant: UUID | None = None

    def highest_for(self, tenant: Tenant) -> DataClass | None:
        """The highest class of data in calls of this tenant that it may answer; None if it answers none of them."""
        if self.only_tenant != tenant.pk and (self.is_closed or self.only_tenant is not None):
            return None
        if not all(is_allowed(region, tenant.regions) for region in self.regions or [""]):
            return None
        return self.highest_data_class


def audience_of(target: Target) -> Audience:
    """The audience of a target that was loaded with its source."""
    only_tenant = target.only_tenant
    return Audience(
        regions=target.regions,
        highest_data_class=target.highest_data_class,
        is_closed=target.sharing == Sharing.NOBODY,
        only_tenant=only_tenant.pk if only_tenant else None,
    )


def highest_of(audiences: Collection[Audience], tenant: Tenant) -> DataClass | None:
    """The highest class of data in calls of this tenant that one of these may answer; None if none answers any."""
    found = [highest for one in audiences if (highest := one.highest_for(tenant)) is not None]
    return max(found, key=lambda one: one.rank, default=None)


def served_projects(
    projects: Mapping[DataClass, int], audiences: Collection[Audience], tenant: Tenant
) -> int:
    """How many projects of a tenant these serve, of so many by the highest class of data that they may send."""
    highest = highest_of(audiences, tenant)
    if highest is None:
        return 0
    return sum(count for data_class, count in projects.items() if data_class.rank <= highest.rank)


def lets_others_in(before: Audience, after: Audience) -> bool:
    """Whether `after` may answer some call that `before` may not, whatever tenants and grants there will be."""
    if after.highest_data_class.rank > before.highest_data_class.rank:
        return True
    # A tenant that is bound to regions must allow each of `after`; then it must have allowed each of `before`.
    narrows = before.regions and all(
        any(lies_in(region, other) for other in after.regions) for region in before.regions
    )
    return bool(after.regions) and not narrows
