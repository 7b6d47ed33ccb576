"""The cost of each kind of usage: input, cached input, output and so on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from billing.detail_sql import HOURS, detail
from billing.kinds import Kind
from billing.known_kinds import quantities_of
from billing.month_sums import sums_between
from billing.packed_usage import count_of
from tenants.models import Project, Tenant


@dataclass(frozen=True)
class KindCost:
    """One kind of usage: its total `quantity`, and the `cost` of its priced part."""

    kind: str
    quantity: int
    cost: Decimal | None  # None: not priced


def costs_by_kind(
    tenant: Tenant, start_day: date, end_day: date, project: Project | None, *, today: date
) -> list[KindCost]:
    """Quantities and costs by kind of usage, most expensive first; kinds without usage are left out.

    If a price changes during a day (or, for a project, within the days), each hour is priced separately, as its calls
    were. Otherwise sums are priced, with the same result to the last digit. Calls (`request`) appear if they have a
    price.

    Args:
        tenant: whose costs.
        start_day: first day, in the tenant's time zone.
        end_day: last day, included.
        project: only this project; None: all.
        today: the current day in the tenant's time zone.
    """
    slices, hours, parameters = _slices(start_day, end_day, project, today)
    sql = f"""
        WITH used AS MATERIALIZED (
            SELECT r.model_id, r.is_unpriced, {slices.days}, sum(r.usage) AS usage
              FROM {slices.source}
             GROUP BY r.model_id, r.is_unpriced {slices.grouping}
            HAVING sum(r.calls) > 0
        ), boundary AS MATERIALIZED (  -- days (UTC) on which a price of a model begins or ends
            SELECT DISTINCT s.model_id, (b.at AT TIME ZONE 'UTC')::date AS day
              FROM sku s JOIN price p ON p.sku_id = s.id
              CROSS JOIN LATERAL (VALUES (lower(p.valid)), (upper(p.valid))) AS b (at)
             WHERE s.model_id IN (SELECT model_id FROM used)
               AND p.currency = (SELECT currency FROM tenants_tenant WHERE id = %(tenant)s)
               AND b.at BETWEEN %(first_day)s::date - 1 AND %(last_day)s::date + 2
        ), varying AS MATERIALIZED (  -- a day of a tenant is within the days of UTC beside it
            SELECT DISTINCT u.model_id, u.first_day, u.last_day
              FROM used u
              JOIN boundary b ON b.model_id = u.model_id AND b.day BETWEEN u.first_day - 1 AND u.last_day + 1
        ), {detail(hours)}, steady AS (
            SELECT model_id, max(last_day) AS day, sum(u.usage) AS usage
              FROM (SELECT u.*, (SELECT count(*) FROM boundary b
                                  WHERE b.model_id = u.model_id AND b.day <= u.last_day) AS changes
                      FROM used u
                     WHERE NOT u.is_unpriced
                       AND (u.model_id, u.last_day) NOT IN (SELECT model_id, last_day FROM varying)) u
             GROUP BY model_id, changes
        ), cost AS (
            SELECT kind, sum(quantity * per_million * 0.000001) AS amount
              FROM (SELECT kind, quantity, per_million FROM detail WHERE quantity <> 0
                    UNION ALL
                    SELECT s.kind, q.quantity, p.per_million
                      FROM steady u
                      JOIN sku s ON s.model_id = u.model_id
                      JOIN usage_kind k ON k.name = s.kind
                      CROSS JOIN LATERAL (SELECT {count_of("u.usage", "k.place")} AS quantity) q
                      JOIN price p ON p.sku_id = s.id AND p.valid @> u.day::timestamptz
                     WHERE q.quantity <> 0
                       AND p.currency = (SELECT currency FROM tenants_tenant WHERE id = %(tenant)s)) priced
             GROUP BY kind
        )
        SELECT (SELECT sum(usage)::text FROM used), (SELECT json_object_agg(kind, amount::text) FROM cost)
    """  # noqa: S608
    parameters |= {"tenant": tenant.pk, "project": project.pk if project else None, "period": None}
    parameters |= {"first_day": start_day, "last_day": end_day}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        used, costs = cursor.fetchone()
    priced = {kind: Decimal(cost) for kind, cost in (costs or {}).items()}
    kinds = [
        KindCost(kind, quantity, priced.get(kind))
        for kind, quantity in quantities_of(used).items()
        if kind != Kind.REQUEST or kind in priced
    ]
    return sorted(kinds, key=lambda row: -(row.cost or 0))


@dataclass(frozen=True)
class _Slices:
    """How usage is split where a price may change: the `source` of rows `r`, the days of a slice, and its grouping."""

    source: str
    days: str
    grouping: str


def _slices(
    start_day: date, end_day: date, project: Project | None, today: date
) -> tuple[_Slices, str, dict[str, Any]]:
    """Split a tenant's usage by day, a project's not at all. Also returns the SQL for varying hours and parameters."""
    if project is None:
        source = "rollup_tenant_day r WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(first_day)s AND %(last_day)s"
        return _Slices(source, "r.day AS first_day, r.day AS last_day", ", r.day"), _HOURS_OF_DAYS, {}
    months, parameters = sums_between(start_day, end_day, today=today, project=project, prefix="used_")
    days = "%(first_day)s::date AS first_day, %(last_day)s::date AS last_day"
    return _Slices(f"{months} r", days, ""), _HOURS_OF_MODELS, parameters


# There are few pairs on few days, so a lookup replaces the join.
_HOURS_OF_DAYS: Final = """
    SELECT r.* FROM rollup_hour r
     WHERE r.tenant_id = %(tenant)s AND r.day = ANY (ARRAY(SELECT DISTINCT last_day FROM varying))
       AND NOT r.is_unpriced AND ((r.model_id, r.day) IN (SELECT model_id, last_day FROM varying)) IS TRUE
"""
_HOURS_OF_MODELS: Final = f"""
    {HOURS} AND EXISTS (SELECT FROM varying) AND r.model_id IN (SELECT model_id FROM varying)
"""  # noqa: S608
