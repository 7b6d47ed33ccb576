"""What each kind of usage cost: input, cached input, output and the like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection

from billing.detail_sql import detail
from billing.kinds import KINDS
from billing.month_sums import sums_between
from tenants.models import Project, Tenant


@dataclass(frozen=True)
class KindCost:
    """One kind of usage: all of it in `quantity`, and what its priced part costs."""

    kind: str
    quantity: int
    cost: Decimal | None  # None: not priced


def costs_by_kind(
    tenant: Tenant, start_day: date, end_day: date, project: Project | None, *, today: date
) -> list[KindCost]:
    """Quantities and costs by kind of usage, dearest first; kinds without usage are left out.

    Where a price changed within the days, hours are priced one by one, as the calls in them were; else sums are, which
    is the same to the last digit. Calls (`request`) appear where they have a price.
    """
    source, parameters = sums_between(start_day, end_day, today=today, project=project, prefix="used_")
    hours = detail("AND EXISTS (SELECT FROM varying) AND r.model_id IN (SELECT model_id FROM varying)")
    sql = f"""
        WITH used AS MATERIALIZED (
            SELECT r.model_id, r.is_unpriced, {", ".join(f"sum(r.{kind})::bigint AS {kind}" for kind in KINDS)}
              FROM {source} r
             GROUP BY r.model_id, r.is_unpriced
            HAVING sum(r.calls) > 0
        ), varying AS MATERIALIZED (  -- models of which a price begins or ends within these days
            SELECT DISTINCT s.model_id
              FROM sku s JOIN price p ON p.sku_id = s.id
             WHERE s.model_id IN (SELECT model_id FROM used)
               AND p.currency = (SELECT currency FROM tenants_tenant WHERE id = %(tenant)s)
               AND (lower(p.valid) BETWEEN %(first_day)s::date - 1 AND %(last_day)s::date + 2
                    OR upper(p.valid) BETWEEN %(first_day)s::date - 1 AND %(last_day)s::date + 2)
        ), {hours}, cost AS (
            SELECT kind, sum(quantity * per_million * 0.000001) AS amount
              FROM (SELECT kind, quantity, per_million FROM detail
                     WHERE quantity <> 0
                    UNION ALL
                    SELECT s.kind, q.quantity, p.per_million
                      FROM used u
                      CROSS JOIN LATERAL unnest(ARRAY[{", ".join(f"u.{kind}" for kind in KINDS)}], %(kinds)s::text[])
                                         AS q (quantity, kind)
                      JOIN sku s ON s.model_id = u.model_id AND s.kind = q.kind
                      JOIN price p ON p.sku_id = s.id AND p.valid @> %(last_day)s::date::timestamptz
                     WHERE NOT u.is_unpriced AND q.quantity <> 0
                       AND p.currency = (SELECT currency FROM tenants_tenant WHERE id = %(tenant)s)
                       AND u.model_id NOT IN (SELECT model_id FROM varying)) priced
             GROUP BY kind
        )
        SELECT sums.kind, sums.quantity, cost.amount
          FROM (SELECT q.kind, sum(q.quantity)::bigint AS quantity
                  FROM used u, unnest(ARRAY[{", ".join(f"u.{kind}" for kind in KINDS)}], %(kinds)s::text[])
                               AS q (quantity, kind)
                 GROUP BY q.kind) sums
          LEFT JOIN cost ON cost.kind = sums.kind
         WHERE sums.quantity <> 0
    """  # noqa: S608
    parameters |= {"tenant": tenant.pk, "project": project.pk if project else None, "period": None}
    parameters |= {"first_day": start_day, "last_day": end_day, "kinds": list(KINDS)}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    kinds = [
        KindCost(kind, quantity, cost)
        for kind, quantity, cost in rows
        if kind != "request" or cost is not None
    ]
    return sorted(kinds, key=lambda row: (-(row.cost or 0), KINDS.index(row.kind)))
