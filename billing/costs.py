"""What a tenant spent: the one query layer behind tiles, chart, tables, API and forecasts.

Everything is read from the rollups, never from events, and by the tenant's own days. Amounts are exact. A cost of
None means that nothing in it is priced; unpriced calls are counted apart and are in no sum of money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from billing.detail_sql import DETAIL
from billing.estimates import Estimated, estimated_usage
from billing.kinds import KINDS, TOKEN_KINDS
from tenants.local_days import day_at
from tenants.models import Project, Tenant

FOUR_WEEKS: Final = timedelta(days=28)  # comparisons keep the weekday
DIMENSIONS: Final = ("day", "model", "project", "key")
_TOKENS: Final = " + ".join(f"r.{kind}" for kind in TOKEN_KINDS)


@dataclass
class Figures:
    """What some calls used and cost."""

    cost: Decimal | None = Decimal(0)  # None: there are calls, and none of them is priced
    calls: int = 0
    tokens: int = 0
    priced_tokens: int = 0
    unpriced_calls: int = 0

    @property
    def unit_cost(self) -> Decimal | None:
        """Money per million tokens, of the priced calls."""
        if self.cost is None or not self.priced_tokens:
            return None
        return self.cost * 1_000_000 / self.priced_tokens

    def add(self, is_unpriced: bool, amount: Decimal | None, calls: int, tokens: int) -> None:
        self.calls += calls
        self.tokens += tokens
        if is_unpriced:
            self.unpriced_calls += calls
            if self.calls == self.unpriced_calls:
                self.cost = None
        else:
            self.priced_tokens += tokens
            self.cost = (self.cost or Decimal(0)) + (amount or Decimal(0))

    def plus(self, other: Figures) -> Figures:
        """Both together; unpriced as a whole only where both are."""
        costs = [figures.cost for figures in (self, other) if figures.cost is not None]
        return Figures(
            sum(costs, Decimal(0)) if costs else None,
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.priced_tokens + other.priced_tokens,
            self.unpriced_calls + other.unpriced_calls,
        )


@dataclass(frozen=True)
class KindCost:
    """One kind of usage: all of it in `quantity`, and what its priced part costs."""

    kind: str
    quantity: int
    cost: Decimal | None  # None: not priced


@dataclass
class Span:
    """Figures of a run of days."""

    total: Figures = field(default_factory=Figures)
    by_day: dict[date, Figures] = field(default_factory=dict)
    by_model: dict[str, Figures] = field(default_factory=dict)
    by_day_and_model: dict[tuple[date, str], Figures] = field(default_factory=dict)
    by_project: dict[tuple[str, str], Figures] = field(default_factory=dict)  # slug, name


@dataclass(frozen=True)
class CostReport:
    """A tenant's costs from `start_day` to `end_day`, both included, beside the same weekdays four weeks earlier."""

    tenant: Tenant
    project: Project | None
    start_day: date
    end_day: date
    now: Span
    before: Span
    by_kind: list[KindCost]
    metered_to: datetime | None  # usage up to here is in; None: there never was any
    final_up_to: date | None  # the last day whose cost lines are posted
    estimated: Estimated  # of `now`

    @property
    def currency(self) -> str:
        return self.tenant.currency

    @property
    def unpriced(self) -> list[tuple[str, int]]:
        """Models with unpriced calls, and how many."""
        return [(name, f.unpriced_calls) for name, f in sorted(self.now.by_model.items()) if f.unpriced_calls]

    @property
    def has_comparison(self) -> bool:
        """Whether four weeks earlier there was anything to compare with."""
        return bool(self.before.total.calls)


def cost_report(
    tenant: Tenant, start_day: date, end_day: date, *, project: Project | None = None
) -> CostReport:
    """Everything the cost page shows. Five queries, whatever the tenant's size; no events are read."""
    now_, before = Span(), Span()
    for day, model, *numbers in _by_day_and_model(tenant, start_day, end_day, project):
        for span, is_within in (
            (now_, start_day <= day <= end_day),
            (before, start_day <= day + FOUR_WEEKS <= end_day),
        ):
            if is_within:
                span.by_day_and_model.setdefault((day, model), Figures()).add(*numbers)
                span.by_day.setdefault(day, Figures()).add(*numbers)
                span.by_model.setdefault(model, Figures()).add(*numbers)
                span.total.add(*numbers)
    for slug, name, unpriced, *numbers in _by_project(tenant, start_day, end_day, project):
        for span, (amount, calls, tokens) in ((now_, numbers[:3]), (before, numbers[3:])):
            if calls:
                span.by_project.setdefault((slug, name), Figures()).add(unpriced, amount, calls, tokens)
    metered_to, final_up_to = freshness(tenant)
    return CostReport(
        tenant, project, start_day, end_day, now_, before,
        costs_by_kind(tenant, start_day, end_day, project), metered_to, final_up_to,
        estimated_usage(tenant, start_day, end_day, project=project).get((), Estimated()),
    )  # fmt: skip


def cost_rows(
    tenant: Tenant,
    start_day: date,
    end_day: date,
    group_by: Sequence[str],
    *,
    project: Project | None = None,
    after: Sequence[Any] | None = None,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """Costs and quantities grouped by any of DIMENSIONS, in that order; one query. Without any: one row or none.

    `after` names the group after which to begin, `most` how many rows to return at most.
    """
    if unknown := set(group_by) - set(DIMENSIONS):
        raise ValueError(
            f"Cannot group by {', '.join(sorted(unknown))}; choose from {', '.join(DIMENSIONS)}."
        )
    columns = {"day": "r.day", "model": "m.name", "project": "p.slug", "key": "r.key_id"}
    chosen = [columns[name] for name in group_by]
    grouping = (
        f"GROUP BY {', '.join(chosen)} ORDER BY {', '.join(chosen)}" if chosen else "HAVING count(*) > 0"
    )
    sums = ", ".join(f"sum(r.{kind})::bigint" for kind in KINDS)
    names = [f"after_{name}" for name in group_by] if after is not None else []
    beyond = f"AND ({', '.join(chosen)}) > ({', '.join(f'%({name})s' for name in names)})" if names else ""
    sql = f"""
        SELECT {"".join(f"{column}, " for column in chosen)} sum(r.amount), sum(r.calls)::bigint,
               coalesce(sum(r.calls) FILTER (WHERE r.is_unpriced), 0)::bigint, {sums}
          FROM rollup_day r
          JOIN billed_model m ON m.id = r.model_id
          JOIN tenants_project p ON p.id = r.project_id
         WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(start)s AND %(end)s {_scope(project)} {beyond}
         {grouping} LIMIT %(most)s
    """  # noqa: S608
    place = dict(zip(names, after or (), strict=True))
    rows = _ask(sql, tenant=tenant, start=start_day, end=end_day, project=project, most=most, **place)
    width = len(chosen)
    return [
        dict(zip(group_by, row[:width], strict=True))
        | {"cost": row[width], "calls": row[width + 1], "unpriced_calls": row[width + 2]}
        | {"quantities": dict(zip(KINDS, row[width + 3 :], strict=True))}
        for row in rows
    ]


def costs_by_kind(tenant: Tenant, start_day: date, end_day: date, project: Project | None) -> list[KindCost]:
    """Quantities and costs by kind of usage, dearest first; kinds without usage are left out.

    Where a price changed within the days, hours are priced one by one, as the calls in them were; else sums are, which
    is the same to the last digit. Calls (`request`) appear where they have a price.
    """
    sql = f"""
        WITH used AS MATERIALIZED (
            SELECT r.model_id, r.is_unpriced, {", ".join(f"sum(r.{kind})::bigint AS {kind}" for kind in KINDS)}
              FROM rollup_day r
             WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(first_day)s AND %(last_day)s {_scope(project)}
             GROUP BY r.model_id, r.is_unpriced
        ), varying AS MATERIALIZED (  -- models of which a price begins or ends within these days
            SELECT DISTINCT s.model_id
              FROM sku s JOIN price p ON p.sku_id = s.id
             WHERE s.model_id IN (SELECT model_id FROM used)
               AND p.currency = (SELECT currency FROM tenants_tenant WHERE id = %(tenant)s)
               AND (lower(p.valid) BETWEEN %(first_day)s::date - 1 AND %(last_day)s::date + 2
                    OR upper(p.valid) BETWEEN %(first_day)s::date - 1 AND %(last_day)s::date + 2)
        ), {DETAIL}, cost AS (
            SELECT kind, sum(quantity * per_million * 0.000001) AS amount
              FROM (SELECT kind, quantity, per_million FROM detail
                     WHERE quantity <> 0 AND model_id IN (SELECT model_id FROM varying)
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
    rows = _ask(
        sql,
        tenant=tenant,
        first_day=start_day,
        last_day=end_day,
        project=project,
        period=None,
        kinds=list(KINDS),
    )
    kinds = [
        KindCost(kind, quantity, cost)
        for kind, quantity, cost in rows
        if kind != "request" or cost is not None
    ]
    return sorted(kinds, key=lambda row: (-(row.cost or 0), KINDS.index(row.kind)))


def freshness(tenant: Tenant) -> tuple[datetime | None, date | None]:
    """Up to when usage is in (an hour's end, or now), and the last day whose cost lines are posted."""
    rows = _ask(
        """
        SELECT (SELECT r.hour + interval '1 hour' FROM rollup_hour r
                 WHERE r.tenant_id = %(tenant)s AND r.period = (
                       SELECT max(period) FROM rollup_day WHERE tenant_id = %(tenant)s AND day = (
                              SELECT max(day) FROM rollup_day WHERE tenant_id = %(tenant)s))
                 ORDER BY r.hour DESC LIMIT 1),
               (SELECT max(posted_up_to) FROM billing_period WHERE tenant_id = %(tenant)s)
        """,
        tenant=tenant,
    )
    hour_end, posted = rows[0]
    return (min(hour_end, now()) if hour_end else None), posted


def total_spend(tenant: Tenant, start_day: date, end_day: date) -> Figures:
    """A tenant's figures over some days, in one query: for a home page."""
    total = Figures()
    for row in cost_rows(tenant, start_day, end_day, ()):
        tokens = sum(row["quantities"][kind] for kind in TOKEN_KINDS)
        total = Figures(row["cost"], row["calls"], tokens, tokens, row["unpriced_calls"])
    return total


def spend_by_key(
    tenant: Tenant, start_day: date, end_day: date, keys: Sequence[UUID]
) -> dict[UUID, Decimal | None]:
    """Money per key of `keys` over some days; None where no call is priced; keys without calls are absent."""
    rows = _ask(
        """
        SELECT key_id, sum(amount) FROM rollup_day
         WHERE tenant_id = %(tenant)s AND day BETWEEN %(start)s AND %(end)s AND key_id = ANY(%(keys)s)
         GROUP BY key_id
        """,
        tenant=tenant, start=start_day, end=end_day, keys=list(keys),
    )  # fmt: skip
    return dict(rows)


def months_with_usage(tenant: Tenant) -> list[date]:
    """First days of the months in which the tenant used anything, newest first."""
    rows = _ask(
        """
        WITH RECURSIVE months AS (
            (SELECT date_trunc('month', max(day))::date AS month FROM rollup_day WHERE tenant_id = %(tenant)s)
            UNION ALL
            SELECT (SELECT date_trunc('month', max(day))::date FROM rollup_day
                     WHERE tenant_id = %(tenant)s AND day < months.month)
              FROM months WHERE months.month IS NOT NULL
        )
        SELECT month FROM months WHERE month IS NOT NULL
        """,
        tenant=tenant,
    )
    return [month for (month,) in rows]


def today_of(tenant: Tenant, moment: datetime | None = None) -> date:
    """The day it is for the tenant, now or at `moment`; by UTC where its time zone is unknown."""
    return day_at(moment or now(), tenant.timezone)


def _by_day_and_model(
    tenant: Tenant, start: date, end: date, project: Project | None
) -> list[tuple[Any, ...]]:
    """Sums by day and model from four weeks earlier on; days may belong to both spans that are compared.

    Names are joined to the sums, not to the rows: a large tenant has a hundred thousand of them in a month.
    """
    sql = f"""
        SELECT used.day, m.name, used.is_unpriced, used.amount, used.calls, used.tokens
          FROM (SELECT r.day, r.model_id, r.is_unpriced, sum(r.amount) AS amount, sum(r.calls)::bigint AS calls,
                       sum({_TOKENS})::bigint AS tokens
                  FROM rollup_day r
                 WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(start_before)s AND %(end)s {_scope(project)}
                 GROUP BY r.day, r.model_id, r.is_unpriced) used
          JOIN billed_model m ON m.id = used.model_id
    """  # noqa: S608
    return _ask(sql, tenant=tenant, start_before=start - FOUR_WEEKS, end=end, project=project)


def _by_project(tenant: Tenant, start: date, end: date, project: Project | None) -> list[tuple[Any, ...]]:
    """Sums by project: of the days asked for, and of those four weeks earlier."""
    sums = ", ".join(
        f"sum({what}) FILTER (WHERE r.day BETWEEN %(start{span})s AND %(end{span})s){cast}"
        for span in ("", "_before")
        for what, cast in (("r.amount", ""), ("r.calls", "::bigint"), (_TOKENS, "::bigint"))
    )
    sql = f"""
        SELECT p.slug, p.name, used.*
          FROM (SELECT r.is_unpriced, {sums}, r.project_id
                  FROM rollup_day r
                 WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(start_before)s AND %(end)s {_scope(project)}
                 GROUP BY r.project_id, r.is_unpriced) used
          JOIN tenants_project p ON p.id = used.project_id
    """  # noqa: S608
    rows = _ask(
        sql, tenant=tenant, start=start, end=end, start_before=start - FOUR_WEEKS, end_before=end - FOUR_WEEKS,
        project=project,
    )  # fmt: skip
    return [row[:-1] for row in rows]


def _scope(project: Project | None) -> str:
    return "AND r.project_id = %(project)s" if project else ""


def _ask(sql: str, *, tenant: Tenant, project: Project | None = None, **parameters: Any) -> list[Any]:
    parameters |= {"tenant": tenant.pk, "project": project.pk if project else None}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
        return rows
