"""What a tenant spent: the one query layer behind tiles, chart, tables, API and forecasts.

All queries read the rollups, never events, and use days in the tenant's time zone. Amounts are exact. A cost of None
means that none of the calls are priced. Unpriced calls are counted separately and never add to a cost.
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

from billing import key_months
from billing.estimates import Estimated, estimated_usage
from billing.kind_costs import KindCost, costs_by_kind
from billing.known_kinds import quantities_of
from billing.month_sums import (
    MONTH_OF_DAY,
    months_of,
    named_sums,
    of_project,
    pieces_of,
    sums_between,
)
from core.local_days import day_at
from tenants.models import Project, Tenant

FOUR_WEEKS: Final = timedelta(days=28)  # comparisons keep the weekday
DIMENSIONS: Final = ("day", "month", "model", "project", "key")


@dataclass
class Totals:
    """The usage and cost of a set of calls."""

    # None: there are calls, but none of them is priced.
    cost: Decimal | None = Decimal(0)
    calls: int = 0
    tokens: int = 0
    priced_tokens: int = 0
    unpriced_calls: int = 0

    @property
    def unit_cost(self) -> Decimal | None:
        """Cost per million tokens of the priced calls."""
        if self.cost is None or not self.priced_tokens:
            return None
        return self.cost * 1_000_000 / self.priced_tokens

    def add(self, is_unpriced: bool, amount: Decimal | None, calls: int, tokens: int) -> None:
        """Add one row of sums.

        Args:
            is_unpriced: its calls have no price.
            amount: what they cost; None: no price.
            calls: number of calls.
            tokens: number of tokens.
        """
        self.calls += calls
        self.tokens += tokens
        if is_unpriced:
            self.unpriced_calls += calls
            if self.calls == self.unpriced_calls:
                self.cost = None
        else:
            self.priced_tokens += tokens
            self.cost = (self.cost or Decimal(0)) + (amount or Decimal(0))

    def plus(self, other: Totals) -> Totals:
        """The sum of both. Its cost is None only if both costs are None."""
        costs = [figures.cost for figures in (self, other) if figures.cost is not None]
        return Totals(
            sum(costs, Decimal(0)) if costs else None,
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.priced_tokens + other.priced_tokens,
            self.unpriced_calls + other.unpriced_calls,
        )


@dataclass
class CostPeriod:
    """Totals of consecutive days."""

    total: Totals = field(default_factory=Totals)
    by_day: dict[date, Totals] = field(default_factory=dict)
    by_model: dict[str, Totals] = field(default_factory=dict)
    by_day_and_model: dict[tuple[date, str], Totals] = field(default_factory=dict)
    by_project: dict[tuple[str, str], Totals] = field(default_factory=dict)  # slug, name


@dataclass(frozen=True)
class CostReport:
    """A tenant's costs from `start_day` to `end_day`, both included, beside the same weekdays four weeks earlier."""

    tenant: Tenant
    project: Project | None
    start_day: date
    end_day: date
    now: CostPeriod
    before: CostPeriod
    by_kind: list[KindCost]
    # The ledger has all usage up to this moment; None: it has none.
    metered_to: datetime | None
    # The last day whose cost lines are posted.
    final_up_to: date | None
    estimated: Estimated  # of `now`

    @property
    def currency(self) -> str:
        return self.tenant.currency

    @property
    def unpriced(self) -> list[tuple[str, int]]:
        """Models with unpriced calls, and the number of these calls."""
        return [(name, f.unpriced_calls) for name, f in sorted(self.now.by_model.items()) if f.unpriced_calls]

    @property
    def has_comparison(self) -> bool:
        """True if there was usage four weeks earlier to compare with."""
        return bool(self.before.total.calls)


def cost_report(
    tenant: Tenant, start_day: date, end_day: date, *, project: Project | None = None
) -> CostReport:
    """Everything the cost page shows. Takes five queries, whatever the tenant's size, and reads no events.

    Args:
        tenant: whose costs.
        start_day: first day, in the tenant's time zone.
        end_day: last day, included.
        project: only this project; None: all.
    """
    now_, before = CostPeriod(), CostPeriod()
    for day, model, *numbers in _by_day_and_model(tenant, start_day, end_day, project):
        for span, is_within in (
            (now_, start_day <= day <= end_day),
            (before, start_day <= day + FOUR_WEEKS <= end_day),
        ):
            if is_within:
                span.by_day_and_model.setdefault((day, model), Totals()).add(*numbers)
                span.by_day.setdefault(day, Totals()).add(*numbers)
                span.by_model.setdefault(model, Totals()).add(*numbers)
                span.total.add(*numbers)
    for slug, name, unpriced, *numbers in _by_project(tenant, start_day, end_day, project):
        for span, (amount, calls, tokens) in ((now_, numbers[:3]), (before, numbers[3:])):
            if calls:
                span.by_project.setdefault((slug, name), Totals()).add(unpriced, amount, calls, tokens)
    metered_to, final_up_to = freshness(tenant)
    return CostReport(
        tenant, project, start_day, end_day, now_, before,
        costs_by_kind(tenant, start_day, end_day, project, today=today_of(tenant)), metered_to, final_up_to,
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
    """Costs and quantities grouped by any of DIMENSIONS, in that order; one query.

    Without dimensions, the result is one row, or none if there was no usage.

    Args:
        tenant: whose costs.
        start_day: first day, in the tenant's time zone.
        end_day: last day, included.
        group_by: names from DIMENSIONS.
        project: only this project; None: all.
        after: values of the group after which to begin.
        most: maximum number of rows.
    """
    if unknown := ", ".join(sorted(set(group_by) - set(DIMENSIONS))):
        raise ValueError(f"Cannot group by {unknown}; choose from {', '.join(DIMENSIONS)}.")
    page = key_months.Page()
    pieces = pieces_of(start_day, end_day, today=today_of(tenant))
    is_by_key = "key" in group_by and (group_by[0] == "key" or "day" not in group_by)
    if most is not None and is_by_key and project is None and pieces.months:
        page = key_months.page_of(pieces, group_by, is_first=after is None)
    source, ids, parameters = _source_of(tenant, start_day, end_day, group_by, project, page.key_months)
    parameters |= {"start": start_day, "end": end_day, "most": most, "before_last": most and most - 1}
    parameters |= page.parameters | {"all_months": list(months_of(start_day, end_day))}
    condition = page.condition
    if most is not None and not condition:
        condition = _leads_of_a_page(source, ids, group_by, is_first=after is None)
    names = {"model": "m.name", "project": "p.slug"}
    chosen = [names.get(name, f"used.{name}") for name in group_by]
    beyond = ""
    if chosen and after is not None:
        place = {f"after_{name}": value for name, value in zip(group_by, after, strict=True)}
        parameters |= place
        beyond = f"WHERE ({', '.join(chosen)}) > ({', '.join(f'%({name})s' for name in place)})"
    sql = f"""
        {page.expressions} SELECT {"".join(f"{column}, " for column in chosen)} used.cost, used.calls,
               used.unpriced_calls, used.tokens, used.usage::text
          FROM (SELECT {"".join(f"{ids[name]} AS {name}, " for name in group_by)}
                       CASE WHEN sum(r.calls) FILTER (WHERE NOT r.is_unpriced) > 0 THEN sum(r.amount) END AS cost,
                       sum(r.calls)::bigint AS calls,
                       coalesce(sum(r.calls) FILTER (WHERE r.is_unpriced), 0)::bigint AS unpriced_calls,
                       sum(r.tokens)::bigint AS tokens, sum(r.usage) AS usage
                  FROM {source} {condition}
                 {f"GROUP BY {', '.join(ids[name] for name in group_by)}" if chosen else ""}
                HAVING sum(r.calls) > 0) used
          {"JOIN billed_model m ON m.id = used.model" if "model" in group_by else ""}
          {"JOIN tenants_project p ON p.id = used.project" if "project" in group_by else ""}
         {beyond} {f"ORDER BY {', '.join(chosen)}" if chosen else ""} LIMIT %(most)s
    """  # noqa: S608
    rows = _ask(sql, tenant=tenant, **parameters)
    width = len(chosen)
    return [
        dict(zip(group_by, row[:width], strict=True))
        | {"cost": row[width], "calls": row[width + 1], "unpriced_calls": row[width + 2]}
        | {"tokens": row[width + 3], "quantities": quantities_of(row[width + 4])}
        for row in rows
    ]


def _source_of(
    tenant: Tenant,
    start: date,
    end: date,
    group_by: Sequence[str],
    project: Project | None,
    key_months: str,
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The smallest set of sums that fits the grouping, as `… r WHERE …`, with its columns and parameters."""
    ids = {"day": "r.day", "month": MONTH_OF_DAY, "key": "r.key_id"}
    ids |= {"model": "r.model_id", "project": "r.project_id"}
    by_key_and_month = _is_by_key_and_month(group_by, project)
    if by_key_and_month or not {"day", "key"} & set(group_by):
        source, parameters = sums_between(
            start,
            end,
            today=today_of(tenant),
            project=project,
            by_key=by_key_and_month,
            key_months=key_months,
        )
        return f"{source} r WHERE true", ids | {"month": "r.month"}, parameters
    needs_more = project or {"key", "project"} & set(group_by)
    narrowed, parameters = of_project(project, start)
    source = (
        f"{'rollup_day' if needs_more else 'rollup_tenant_day'} r "
        f"WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(start)s AND %(end)s {narrowed}"
    )
    return source, ids, parameters


def _is_by_key_and_month(group_by: Sequence[str], project: Project | None) -> bool:
    """True if the query reads key months. For projects it reads days, which the primary key finds."""
    return "key" in group_by and "day" not in group_by and group_by[0] != "project" and project is None


def _leads_of_a_page(source: str, ids: dict[str, str], group_by: Sequence[str], *, is_first: bool) -> str:
    """A condition that leaves out days or keys that cannot be on the page, if the groups are sorted by them.

    It keeps just enough days or keys after the cursor's to fill the page.
    """
    lead = group_by[0] if group_by else ""
    if lead not in ("day", "key"):
        return ""
    after = "" if is_first else f"AND {ids[lead]} > %(after_{lead})s"
    groups = ids[lead] if lead == "key" else ", ".join(ids[name] for name in group_by)
    highest = "'infinity'::date" if lead == "day" else "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
    return f"""{"" if is_first else f"AND {ids[lead]} >= %(after_{lead})s"} AND {ids[lead]} <= (SELECT coalesce((
        SELECT {ids[lead]} FROM {source} AND r.calls > 0 {after}
         GROUP BY {groups} ORDER BY {ids[lead]} OFFSET %(before_last)s LIMIT 1), {highest}))"""  # noqa: S608


def freshness(tenant: Tenant) -> tuple[datetime | None, date | None]:
    """The end of the last hour with usage (at most now), and the last day whose cost lines are posted."""
    rows = _ask(
        """
        SELECT (SELECT r.hour + interval '1 hour' FROM rollup_hour r
                  JOIN (SELECT day, period FROM rollup_tenant_day WHERE tenant_id = %(tenant)s
                         ORDER BY day DESC, period DESC LIMIT 1) newest
                    ON newest.period = r.period AND newest.day = r.day
                 WHERE r.tenant_id = %(tenant)s
                 ORDER BY r.hour DESC LIMIT 1),
               (SELECT max(posted_up_to) FROM billing_period WHERE tenant_id = %(tenant)s)
        """,
        tenant=tenant,
    )
    hour_end, posted = rows[0]
    return (min(hour_end, now()) if hour_end else None), posted


def total_spend(tenant: Tenant, start_day: date, end_day: date) -> Totals:
    """A tenant's totals for a few days, in one query, for the home page."""
    total = Totals()
    for row in cost_rows(tenant, start_day, end_day, ()):
        total = Totals(row["cost"], row["calls"], row["tokens"], row["tokens"], row["unpriced_calls"])
    return total


def spend_by_key(
    tenant: Tenant, start_day: date, end_day: date, keys: Sequence[UUID]
) -> dict[UUID, Decimal | None]:
    """Cost of each key in `keys` over the given days. None: no call is priced. Keys without calls are absent.

    Args:
        tenant: whose keys.
        start_day: first day, in the tenant's time zone.
        end_day: last day, included.
        keys: ids of the keys.
    """
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
    """First days of the months in which the tenant had usage, newest first."""
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
    """The tenant's local date, now or at `moment`. Uses UTC if the tenant's time zone is unknown."""
    return day_at(moment or now(), tenant.timezone)


def _by_day_and_model(
    tenant: Tenant, start: date, end: date, project: Project | None
) -> list[tuple[Any, ...]]:
    """Sums by day and model, starting four weeks earlier. A day can belong to both compared periods."""
    narrowed, parameters = of_project(project, start - FOUR_WEEKS)
    source = (
        f"{'rollup_day' if project else 'rollup_tenant_day'} r "
        f"WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(start)s AND %(end)s {narrowed}"
    )
    return named_sums(
        tenant, "used.day, m.name", "r.day, r.model_id", "billed_model m ON m.id = used.model_id", source,
        parameters | {"start": start - FOUR_WEEKS, "end": end},
    )  # fmt: skip


def _by_project(tenant: Tenant, start: date, end: date, project: Project | None) -> list[tuple[Any, ...]]:
    """Sums by project for the requested days and for those four weeks earlier."""
    today = today_of(tenant)
    source, parameters = sums_between(start, end, today=today, project=project, prefix="now_")
    before, those = sums_between(
        start - FOUR_WEEKS, end - FOUR_WEEKS, today=today, project=project, prefix="before_"
    )
    sums = ", ".join(
        f"sum({what}) FILTER (WHERE {condition}){cast}"
        for condition in ("r.is_now", "NOT r.is_now")
        for what, cast in (("r.amount", ""), ("r.calls", "::bigint"), ("r.tokens", "::bigint"))
    )
    sql = f"""
        SELECT p.slug, p.name, used.*
          FROM (SELECT r.is_unpriced, {sums}, r.project_id
                  FROM (SELECT true AS is_now, r.* FROM {source} r
                        UNION ALL SELECT false, r.* FROM {before} r) r
                 GROUP BY r.project_id, r.is_unpriced) used
          JOIN tenants_project p ON p.id = used.project_id
    """  # noqa: S608
    return [row[:-1] for row in _ask(sql, tenant=tenant, **parameters, **those)]


def _ask(sql: str, *, tenant: Tenant, **parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters | {"tenant": tenant.pk})
        rows: list[Any] = cursor.fetchall()
        return rows
