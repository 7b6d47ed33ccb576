"""What every tenant spent in the current month and the one before, beside its budget, for the platform's finance.

Amounts come from the same sums as the cost page, day by day of the tenant's time zone, so both agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from billing.costs import Totals, today_of
from billing.month_sums import MONTH_OF_DAY
from tenants.models import Limit, Tenant

# From here on, a budget is nearly used up.
NEARLY: Final = Decimal("0.8")

# LATERAL: each tenant's months are found by an index; the planner would read the sums of all months ever.
_STATEMENT: Final = f"""
WITH place AS (
    SELECT * FROM unnest(%(zones)s::text[], %(todays)s::date[]) AS p (timezone, today)
)
SELECT t.id, t.slug, t.name, t.currency, t.status,
       (SELECT l.value FROM tenants_limit l
         WHERE l.tenant_id = t.id AND l.project_id IS NULL AND l.key_id IS NULL AND l.model = ''
           AND l.kind = %(budget)s),
       (SELECT b.state FROM billing_period b WHERE b.tenant_id = t.id AND b.month = %(closing)s),
       s.month, s.is_unpriced, s.amount, s.calls, s.tokens
  FROM tenants_tenant t
  JOIN place p ON p.timezone = t.timezone
  LEFT JOIN LATERAL (
    SELECT u.month, u.is_unpriced, sum(u.amount) AS amount, sum(u.calls)::bigint AS calls,
           sum(u.tokens)::bigint AS tokens
      FROM (SELECT r.month, r.is_unpriced, r.amount, r.calls, r.tokens
              FROM rollup_month r
             WHERE r.tenant_id = t.id AND r.month = ANY (%(months)s::date[])
             UNION ALL
            SELECT {MONTH_OF_DAY}, r.is_unpriced, -r.amount, -r.calls, -r.tokens
              FROM rollup_tenant_day r
             WHERE r.tenant_id = t.id AND r.day > p.today AND {MONTH_OF_DAY} = ANY (%(months)s::date[])) u
     GROUP BY u.month, u.is_unpriced
    HAVING sum(u.calls) > 0) s ON true
 WHERE %(tenants)s::uuid[] IS NULL OR t.id = ANY (%(tenants)s::uuid[])
"""  # noqa: S608


@dataclass
class TenantMonths:
    """A tenant's totals by the first day of the month, its budget of a month, and whether a month is closed."""

    pk: UUID
    slug: str
    name: str
    currency: str
    status: str
    budget: Decimal | None
    # Of the month before the current one: "open", "closed", or empty if nothing was ever posted to it.
    closing_state: str
    by_month: dict[date, Totals] = field(default_factory=dict)

    def cost(self, month: date) -> Decimal | None:
        """What the month cost; 0 without calls, None if no call is priced."""
        return self.by_month.get(month, Totals()).cost

    def share_of_budget(self, month: date) -> Decimal | None:
        """The part of the budget that is spent; None without a budget."""
        return None if self.budget is None else (self.cost(month) or Decimal(0)) / self.budget


def tenant_months(
    months: Sequence[date], *, closing: date, tenants: Collection[UUID] | None = None
) -> list[TenantMonths]:
    """The tenants with their totals of `months`, in no order. One statement besides the list of time zones.

    Args:
        months: first days of months; for all tenants, name few.
        closing: the month whose period's state is read.
        tenants: only these; None: all that the database scope shows.
    """
    found: dict[UUID, TenantMonths] = {}
    for pk, slug, name, currency, status, budget, state, month, *sums in _rows(months, closing, tenants):
        tenant = found.setdefault(pk, TenantMonths(pk, slug, name, currency, status, budget, state or ""))
        if month is not None:
            tenant.by_month.setdefault(month, Totals()).add(*sums)
    return list(found.values())


def most_urgent_first(tenants: Sequence[TenantMonths], month: date) -> list[TenantMonths]:
    """Tenants over or near their budget first, by the part that is spent; then the others, the most expensive first."""

    def rank(tenant: TenantMonths) -> tuple[Any, ...]:
        share, cost = tenant.share_of_budget(month), tenant.cost(month) or Decimal(0)
        is_near = share is not None and share >= NEARLY
        return (not is_near, -share if is_near and share is not None else 0, -cost, tenant.name)

    return sorted(tenants, key=rank)


def sum_by_currency(tenants: Sequence[TenantMonths], month: date) -> Mapping[str, Totals]:
    """The totals of a month over all tenants, by currency, the largest first."""
    sums: dict[str, Totals] = {}
    for tenant in tenants:
        totals = tenant.by_month.get(month)
        if totals is not None:
            sums[tenant.currency] = sums.get(tenant.currency, Totals()).plus(totals)
    return dict(sorted(sums.items(), key=lambda each: -(each[1].cost or 0)))


def _rows(months: Sequence[date], closing: date, tenants: Collection[UUID] | None) -> list[tuple[Any, ...]]:
    moment = now()
    zones = list(Tenant.objects.order_by().values_list("timezone", flat=True).distinct())
    parameters: dict[str, Any] = {
        "zones": zones,
        "todays": [_today_in(zone, moment) for zone in zones],
        "months": list(months),
        "closing": closing,
        "tenants": None if tenants is None else list(tenants),
        "budget": str(Limit.Kind.MONEY_PER_MONTH),
    }
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _today_in(zone: str, moment: datetime) -> date:
    return today_of(Tenant(timezone=zone), moment)
