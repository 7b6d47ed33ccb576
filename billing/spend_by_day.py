"""The cost of each day of the month and of the four weeks before it, from which a month is forecast."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from billing.costs import FOUR_WEEKS, cost_rows
from tenants.models import Project, Tenant


def spend_by_day(tenant: Tenant, today: date, *, project: Project | None = None) -> dict[date, Decimal]:
    """Costs of the days from four weeks before the month of `today` until `today`; days without calls are absent.

    One query. Unpriced calls count as nothing.
    """
    rows = cost_rows(tenant, today.replace(day=1) - FOUR_WEEKS, today, ["day"], project=project)
    return {row["day"]: row["cost"] or Decimal(0) for row in rows}
