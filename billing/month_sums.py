"""Reading a range of days as whole months plus the days at its ends, so that a year is summed from its months.

At each end, the query adds the days of the range or subtracts the other days of the month, whichever are fewer. Both
ways are exact: the view `rollup_month` is at any moment the sum of `rollup_day`, and one statement sees one moment of
both. Months by key come from the sums that billing.key_months maintains.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db import connection

from core.local_days import ONE_DAY
from tenants.models import Project, Tenant

# `usage`: all kinds, packed (billing/packed_usage.py). `tokens`: the sum of the kinds that are tokens.
SUMS: Final = ("usage", "tokens", "calls", "amount")
MONTH_OF_DAY: Final = (
    # Rows of a rollup always have the alias `r`.
    "date_trunc('month', r.day::timestamp)::date"
)

# The last folded day that the monthly sums by key include (billing.key_months).
SUMMED_THROUGH: Final = (
    "coalesce((SELECT through FROM key_months_summed WHERE tenant_id = %(tenant)s), '-infinity')"
)

# The first and the last day, both included.
Days = tuple[date, date]


@dataclass
class Pieces:
    """The parts of a range of days."""

    # First days of consecutive months.
    months: list[date] = field(default_factory=list)
    added: list[Days] = field(default_factory=list)
    removed: list[Days] = field(default_factory=list)  # of those months


def pieces_of(start: date, end: date, *, today: date) -> Pieces:
    """Split the days from `start` to `end` into whole months and as few single days as possible.

    Days after `today` have almost no usage and do not count here. So the current month is read as a whole, minus them.
    """
    pieces = Pieces()
    for month in months_of(start, end):
        last = last_of_month(month)
        first_day, last_day = max(start, month), min(end, last)
        outside = []
        if first_day > month:
            outside.append((month, first_day - ONE_DAY))
        if last_day < last:
            outside.append((last_day + ONE_DAY, last))
        if sum(_count(first, min(to, today)) for first, to in outside) < _count(first_day, last_day):
            pieces.months.append(month)
            pieces.removed += outside
        else:
            pieces.added.append((first_day, last_day))
    return pieces


def sums_between(
    start: date,
    end: date,
    *,
    today: date,
    project: Project | None = None,
    by_key: bool = False,
    key_months: str = "rollup_key_month",
    prefix: str = "",
) -> tuple[str, dict[str, Any]]:
    """A sub-select of the sums from `start` to `end` of %(tenant)s, by project, model, month and `is_unpriced`.

    Returns the sub-select with its parameters. Groups may have several rows, and some are negative: sum them, and leave
    out groups whose calls add up to zero. An amount of 0 means no amount if no priced calls are left.

    Args:
        start: first day.
        end: last day, included.
        today: the current day in the tenant's time zone; later days have no usage.
        project: only this project; None: all.
        by_key: also by key.
        key_months: the table of monthly sums by key, or a sub-select of some of its rows.
        prefix: beginning of the names of parameters.
    """
    pieces = pieces_of(start, end, today=today)
    narrowed, parameters = of_project(project, start, prefix)
    names = ["project_id", "model_id", "is_unpriced", *(["key_id"] if by_key else [])]
    columns = ", ".join(f"r.{name}" for name in names)
    parts: list[str] = []

    def part(table: str, days: Days, sign: str = "", *, is_unsummed: bool = False) -> None:
        first, last = f"{prefix}first_{len(parts)}", f"{prefix}last_{len(parts)}"
        parameters.update({first: days[0], last: days[1]})
        sums = ", ".join(f"{sign}r.{name} AS {name}" for name in SUMS)
        month, those = MONTH_OF_DAY, f"r.day BETWEEN %({first})s AND %({last})s"
        if table == "rollup_month":
            month, those = "r.month", f"r.month BETWEEN %({first})s AND %({last})s"
        elif table == key_months:
            # With an explicit list of months, the index reads only the keys of the page for each month.
            parameters[f"{prefix}months"] = pieces.months
            month, those = "r.month", f"r.month = ANY (%({prefix}months)s::date[])"
        elif is_unsummed:
            those = unsummed(f"%({first})s", f"%({last})s")
        parts.append(
            f"SELECT {columns}, {month} AS month, {sums} FROM {table} r "  # noqa: S608
            f"WHERE r.tenant_id = %(tenant)s AND {those} {narrowed}"
        )

    if pieces.months and by_key:
        whole = (pieces.months[0], last_of_month(pieces.months[-1]))
        part(key_months, whole)
        part("rollup_day_folded", whole, is_unsummed=True)
        part("rollup_delta", whole)
    elif pieces.months:
        part("rollup_month", (pieces.months[0], pieces.months[-1]))
    for days in pieces.added:
        part("rollup_day", days)
    for days in pieces.removed:
        part("rollup_day", days, "-")
    return f"({' UNION ALL '.join(parts)})", parameters


def named_sums(
    tenant: Tenant, chosen: str, ids: str, names: str, source: str, parameters: Mapping[str, Any]
) -> list[Any]:
    """Sums of a rollup by `ids` and `is_unpriced`: the `chosen` names, whether unpriced, amount, calls, tokens.

    The query sums first and then joins `names`, because there are fewer groups than rows. It leaves out groups
    whose calls add up to zero. `source` is `… r`, with a condition that may use %(tenant)s and the parameters.
    """
    sql = f"""
        SELECT {chosen}, used.is_unpriced, used.amount, used.calls, used.tokens
          FROM (SELECT {ids}, r.is_unpriced, sum(r.amount) AS amount, sum(r.calls)::bigint AS calls,
                       sum(r.tokens)::bigint AS tokens
                  FROM {source} GROUP BY {ids}, r.is_unpriced HAVING sum(r.calls) > 0) used
          JOIN {names}
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, {**parameters, "tenant": tenant.pk})
        rows: list[Any] = cursor.fetchall()
        return rows


def of_project(project: Project | None, start: date, prefix: str = "") -> tuple[str, dict[str, Any]]:
    """A condition that selects one project's rows `r` of a rollup from `start` on, with its parameters.

    Usage is posted to the month of its day or to a later one. The condition states these periods, so that the rollup's
    primary key, which begins with period, tenant and project, finds the rows.
    """
    if project is None:
        return "", {}
    condition = (
        f"AND r.project_id = %({prefix}project)s AND r.period = ANY (ARRAY("  # noqa: S608
        f"SELECT month FROM billing_period WHERE tenant_id = %(tenant)s AND month >= %({prefix}since)s))"
    )
    return condition, {f"{prefix}project": project.pk, f"{prefix}since": start.replace(day=1)}


def unsummed(first: str, last: str) -> str:
    """A condition on folded days `r` from `first` to `last` that the monthly sums by key do not include yet.

    Both ends are whole sub-selects: with row-level security, an index accepts only a value, no other expression. And
    because the planner does not know these values, it rightly expects few days.
    """
    return f"r.day BETWEEN (SELECT greatest({first}::date, {SUMMED_THROUGH} + 1)) AND (SELECT {last}::date)"


def last_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def months_of(start: date, end: date) -> Iterator[date]:
    """First days of the months from the month of `start` to the month of `end`."""
    for number in range(start.year * 12 + start.month - 1, end.year * 12 + end.month):
        yield date(number // 12, number % 12 + 1, 1)


def _count(first: date, last: date) -> int:
    return max((last - first).days + 1, 0)
