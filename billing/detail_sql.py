"""Priced usage by kind for one tenant and a range of days, as the view `cost_detail` defines it.

Even without statistics, the planner reads the tenant's hours once, and only the prices of models the tenant used.
"""

from __future__ import annotations

from typing import Final

from billing.packed_usage import count_of

HOURS: Final = """
    SELECT r.*
      FROM billing_period bp JOIN rollup_hour r ON r.period = bp.month AND r.tenant_id = bp.tenant_id
     WHERE bp.tenant_id = %(tenant)s AND bp.month >= date_trunc('month', %(first_day)s::date)
       AND (%(period)s::date IS NULL OR bp.month = %(period)s) AND NOT r.is_unpriced
       AND r.day BETWEEN %(first_day)s AND %(last_day)s
       AND (%(project)s::uuid IS NULL OR r.project_id = %(project)s)
"""


def detail(hours: str = HOURS) -> str:
    """The common table expressions `hours` (the given statement `hours`), `tariff` and `detail`.

    Parameters: tenant; for HOURS also first_day, last_day, project (or null), and period (or null: all periods that
    may hold those days).
    """
    return f"""
hours AS MATERIALIZED ({hours}), tariff AS MATERIALIZED (
    SELECT s.model_id, s.id AS sku_id, s.kind, k.place, p.id AS price_id, p.valid, p.per_million
      FROM sku s JOIN price p ON p.sku_id = s.id JOIN usage_kind k ON k.name = s.kind
     WHERE s.model_id IN (SELECT model_id FROM hours)
       AND p.currency = (SELECT currency FROM tenants_tenant WHERE id = %(tenant)s)
), detail AS (
    SELECT h.period, h.project_id, h.model_id, h.day, h.hour, t.sku_id, t.kind, t.price_id, t.per_million,
           {count_of("h.usage", "t.place")} AS quantity
      FROM hours h JOIN tariff t ON t.model_id = h.model_id AND t.valid @> h.hour
)"""  # noqa: S608


DETAIL: Final = detail()
