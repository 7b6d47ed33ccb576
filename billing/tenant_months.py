"""What every tenant spent in the current month and the one before, beside its budget, for the platform's finance.

Amounts are sums of the same days as those of the cost page, so both agree to the last digit. Months begin at the
tenant's own midnight: near the end of a month, some tenants are in the next one already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from billing.costs import Totals, today_of
from billing.month_sums import MONTH_OF_DAY
from core.local_days import ONE_DAY
from tenants.models import Limit, Tenant

# From here on, a budget is nearly used up.
NEARLY: Final = Decimal("0.8")


@dataclass(frozen=True, kw_only=True)
class OfBudget:
    """Something that spends a budget. `share`: the part that is spent; None without a budget."""

    share: Decimal | None

    @property
    def is_over(self) -> bool:
        return self.share is not None and self.share >= 1

    @property
    def is_near(self) -> bool:
        return self.share is not None and NEARLY <= self.share < 1


# A budget and the state of a month are found once for each tenant, before its months are joined. OFFSET 0: each
# tenant's days to come, almost always none, are found by an index; without it, all days of all tenants are read.
_STATEMENT: Final = f"""
WITH place AS (
    SELECT * FROM unnest(%(zones)s::text[], %(todays)s::date[], %(lasts)s::date[]) AS p (timezone, today, last_month)
), tenant AS MATERIALIZED (
    SELECT t.id, t.slug, t.name, t.currency, t.status, p.today, p.last_month,
           (SELECT l.value FROM tenants_limit l
             WHERE l.tenant_id = t.id AND l.project_id IS NULL AND l.key_id IS NULL AND l.model = ''
               AND l.kind = %(budget)s) AS budget,
           (SELECT b.state FROM billing_period b WHERE b.tenant_id = t.id AND b.month = p.last_month) AS state
      FROM tenants_tenant t
      JOIN place p ON p.timezone = t.timezone
     WHERE %(tenants)s::uuid[] IS NULL OR t.id = ANY (%(tenants)s::uuid[])
), used AS MATERIALIZED (
    SELECT u.tenant_id, u.month, u.is_unpriced, sum(u.amount) AS amount, sum(u.calls)::bigint AS calls,
           sum(u.tokens)::bigint AS tokens
      FROM (SELECT r.tenant_id, r.month, r.is_unpriced, r.amount, r.calls, r.tokens
              FROM rollup_tenant_month r
             WHERE r.month = ANY (%(months)s::date[])
               AND (%(tenants)s::uuid[] IS NULL OR r.tenant_id = ANY (%(tenants)s::uuid[]))
             UNION ALL
            SELECT t.id, {MONTH_OF_DAY}, r.is_unpriced, -r.amount, -r.calls, -r.tokens
              FROM tenant t
             CROSS JOIN LATERAL (SELECT * FROM rollup_tenant_day d
                                  WHERE d.tenant_id = t.id AND d.day > t.today OFFSET 0) r
             WHERE {MONTH_OF_DAY} = ANY (%(months)s::date[])) u
     GROUP BY u.tenant_id, u.month, u.is_unpriced
    HAVING sum(u.calls) > 0
)
SELECT t.id, t.slug, t.name, t.currency, t.status, t.today, t.last_month, t.budget, t.state,
       s.month, s.is_unpriced, s.amount, s.calls, s.tokens
  FROM tenant t
  LEFT JOIN used s ON s.tenant_id = t.id
"""  # noqa: S608


@dataclass
class TenantMonths:
    """A tenant's totals by the first day of the month, its budget of a month, and whether its last month is closed."""

    pk: UUID
    slug: str
    name: str
    currency: str
    status: str
    # In its own time zone: the first days of the current month, and of the month before.
    this_month: date
    last_month: date
    budget: Decimal | None
    # Of `last_month`: "open", "closed", or empty if nothing was ever posted to it.
    closing_state: str
    by_month: dict[date, Totals] = field(default_factory=dict)

    def cost(self, month: date) -> Decimal | None:
        """What the month cost; 0 without calls, None if no call is priced."""
        return self.by_month.get(month, Totals()).cost

    @property
    def share_of_budget(self) -> Decimal | None:
        """The part of the current month's budget that is spent; None without a budget."""
        return None if self.budget is None else (self.cost(self.this_month) or Decimal(0)) / self.budget


def tenant_months(
    months: Sequence[date] = (), *, tenants: Collection[UUID] | None = None
) -> list[TenantMonths]:
    """The tenants with their totals of `months`, in no order. One statement besides the list of time zones.

    Args:
        months: first days of months; none: each tenant's current month and the month before.
        tenants: only these; None: all that the database scope shows.
    """
    found: dict[UUID, TenantMonths] = {}
    for pk, slug, name, currency, status, today, last_month, budget, state, month, *sums in _rows(
        months, tenants
    ):
        if (tenant := found.get(pk)) is None:
            this_month = today.replace(day=1)
            tenant = found[pk] = TenantMonths(
                pk, slug, name, currency, status, this_month, last_month, budget, state or ""
            )
        if month is not None:
            tenant.by_month.setdefault(month, Totals()).add(*sums)
    return list(found.values())


def most_urgent_first(tenants: Sequence[TenantMonths]) -> list[TenantMonths]:
    """Tenants over or near their budget first, by the part that is spent; then the others, the most expensive first."""

    def rank(tenant: TenantMonths) -> tuple[Any, ...]:
        share, cost = tenant.share_of_budget, tenant.cost(tenant.this_month) or Decimal(0)
        is_near = share is not None and share >= NEARLY
        return (not is_near, -share if is_near and share is not None else 0, -cost, tenant.name)

    return sorted(tenants, key=rank)


def sum_by_currency(
    tenants: Sequence[TenantMonths], month_of: Callable[[TenantMonths], date]
) -> Mapping[str, Totals]:
    """The totals of one month of each tenant over all of them, by currency, the largest first."""
    sums: dict[str, Totals] = {}
    for tenant in tenants:
        totals = tenant.by_month.get(month_of(tenant))
        if totals is not None:
            sums[tenant.currency] = sums.get(tenant.currency, Totals()).plus(totals)
    return dict(sorted(sums.items(), key=lambda each: -(each[1].cost or 0)))


def _rows(months: Sequence[date], tenants: Collection[UUID] | None) -> list[tuple[Any, ...]]:
    moment = now()
    zones = list(Tenant.objects.order_by().values_list("timezone", flat=True).distinct())
    todays = [_today_in(zone, moment) for zone in zones]
    lasts = [(today.replace(day=1) - ONE_DAY).replace(day=1) for today in todays]
    parameters: dict[str, Any] = {
        "zones": zones,
        "todays": todays,
        "lasts": lasts,
        "months": list(months) or sorted({*lasts, *(today.replace(day=1) for today in todays)}),
        "tenants": None if tenants is None else list(tenants),
        "budget": str(Limit.Kind.MONEY_PER_MONTH),
    }
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _today_in(zone: str, moment: datetime) -> date:
    return today_of(Tenant(timezone=zone), moment)
