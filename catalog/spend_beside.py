"""What projects spend already, beside what a request would add to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from accounts.models import User
from billing.costs import cost_rows, today_of
from catalog.actions.previews import ItemPreview
from tenants.models import Limit, Project, Tenant

# A preview names no more projects than these.
MOST_PROJECTS: Final = 3
LAST_DAYS: Final = 30


@dataclass(frozen=True)
class ProjectSpend:
    """A project's cost of the last 30 days, what a request adds in 30 days, and the project's limit of a month.

    None for what is added if a model has no price, or one in another currency.
    """

    project: str
    currency: str
    spent: Decimal
    adds: Decimal | None
    limit: Decimal | None

    @property
    def together(self) -> Decimal | None:
        """Both together, as 30 days would cost."""
        return None if self.adds is None else self.spent + self.adds

    @property
    def is_over(self) -> bool:
        """Whether both together are more than the limit, which then stops calls before the month ends."""
        return self.limit is not None and self.together is not None and self.together > self.limit


def spend_beside(user: User, tenant: Tenant, items: Iterable[ItemPreview]) -> list[ProjectSpend]:
    """The spend of each project of a previewed request whose cost `user` may see. Two queries for each project.

    Args:
        user: who asks.
        tenant: of the projects.
        items: what the preview is of.
    """
    by_project: dict[UUID, tuple[Project, list[ItemPreview]]] = {}
    for one in items:
        by_project.setdefault(one.item.project_id, (one.item.project, []))[1].append(one)
    today = today_of(tenant)
    first = today - timedelta(days=LAST_DAYS - 1)
    said = []
    for project, asked in list(by_project.values())[:MOST_PROJECTS]:
        if not user.has_perm("tenants.view_cost", project):
            continue
        rows = cost_rows(tenant, first, today, [], project=project)
        limits = Limit.objects.in_tenant(tenant).filter(project=project, key=None, model="")
        said.append(
            ProjectSpend(
                project=project.name,
                currency=tenant.currency,
                spent=(rows[0]["cost"] if rows else None) or Decimal(0),
                adds=_sum_of(asked, tenant.currency),
                limit=limits.filter(kind=Limit.Kind.MONEY_PER_MONTH).values_list("value", flat=True).first(),
            )
        )
    return said


def _sum_of(asked: list[ItemPreview], currency: str) -> Decimal | None:
    amounts = [one.estimate.amount for one in asked if one.estimate and one.estimate.currency == currency]
    return sum(amounts, Decimal()) if len(amounts) == len(asked) else None
