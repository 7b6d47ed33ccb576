"""How much of a tenant's usage was estimated because its backend reported no counts or impossible ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from billing.month_sums import MONTH_OF_DAY
from tenants.models import Project, Tenant

_COLUMNS: Final = {
    "day": "r.day", "month": MONTH_OF_DAY,
    "model": "m.name", "project": "p.slug", "key": "r.key_id",
}  # fmt: skip


@dataclass(frozen=True)
class Estimated:
    """Calls whose tokens were estimated, in whole or in part. `tokens` counts all of their tokens."""

    calls: int = 0
    tokens: int = 0
    # Of the priced calls; None: none of them is priced.
    cost: Decimal | None = Decimal(0)


def estimated_usage(
    tenant: Tenant,
    start_day: date,
    end_day: date,
    group_by: Sequence[str] = (),
    *,
    project: Project | None = None,
    between: tuple[Any, Any] | None = None,
) -> dict[tuple[Any, ...], Estimated]:
    """Estimated usage by the values of `group_by`, in one query. Groups without estimates are absent.

    Args:
        tenant: whose usage.
        start_day: first day, in the tenant's time zone.
        end_day: last day, included.
        group_by: names from DIMENSIONS; empty: one total.
        project: only this project; None: all.
        between: first and last value of the first grouping, both included.
    """
    chosen = "".join(f"{_COLUMNS[name]}, " for name in group_by)
    grouping = f"GROUP BY {chosen[:-2]}" if chosen else "HAVING count(*) > 0"
    sql = f"""
        SELECT {chosen} sum(r.calls)::bigint, sum(r.tokens)::bigint, sum(r.amount)
          FROM rollup_estimated r
          {"JOIN billed_model m ON m.id = r.model_id" if "model" in group_by else ""}
          {"JOIN tenants_project p ON p.id = r.project_id" if "project" in group_by else ""}
         WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(start)s AND %(end)s
               {"AND r.project_id = %(project)s" if project else ""}
               {f"AND {_COLUMNS[group_by[0]]} BETWEEN %(lowest)s AND %(highest)s" if between else ""}
         {grouping}
    """  # noqa: S608
    parameters: dict[str, Any] = {"tenant": tenant.pk, "start": start_day, "end": end_day}
    parameters["project"] = project.pk if project else None
    parameters["lowest"], parameters["highest"] = between or (None, None)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {tuple(row[:-3]): Estimated(*row[-3:]) for row in cursor.fetchall()}


def with_estimates(
    rows: list[dict[str, Any]],
    tenant: Tenant,
    start_day: date,
    end_day: date,
    group_by: Sequence[str],
    *,
    project: Project | None = None,
) -> list[dict[str, Any]]:
    """The rows of `billing.costs.cost_rows`, each with `estimated_calls` and `estimated_tokens`.

    Args:
        rows: rows of `cost_rows` with the same arguments.
        tenant: whose usage.
        start_day: first day, in the tenant's time zone.
        end_day: last day, included.
        group_by: names from DIMENSIONS, as for the rows.
        project: only this project; None: all.
    """
    between = (rows[0][group_by[0]], rows[-1][group_by[0]]) if rows and group_by else None  # of a page
    estimated = estimated_usage(tenant, start_day, end_day, group_by, project=project, between=between)
    for row in rows:
        part = estimated.get(tuple(row[name] for name in group_by), Estimated())
        row["estimated_calls"], row["estimated_tokens"] = part.calls, part.tokens
    return rows
