"""Monthly sums by key: adding days that are over, and reading the sums together with days not summed yet.

Folding does not update a key's months, because it would write a second row for each key and day. Once a day is over for
a tenant, a task adds it to `rollup_key_month` and advances `KeyMonthsSummed.through`. From then on, the trigger
`add_to_rollups_of_days` adds late usage of that day, as it does for the other sums. So a key's months, its folded
days after `through` and the deltas add up to the sums of its days at any moment. One statement sees one moment.
"""
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now

from billing.month_sums import SUMMED_THROUGH, SUMS, Pieces, last_of_month, unsummed
from core.local_days import ONE_DAY, day_at

_COLUMNS: Final = "tenant_id, month, key_id, model_id, project_id, period, is_unpriced"
FIRST_KEY: Final = "00000000-0000-0000-0000-000000000000"
LAST_KEY: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
# Periods to which usage of days from %(start)s on can be posted: their own month or a later one.
PERIODS: Final = """
    AND r.period = ANY (ARRAY(SELECT month FROM billing_period WHERE tenant_id = %(tenant)s
                                 AND month >= date_trunc('month', %(start)s::timestamp)::date))"""
MONTH: Final = "date_trunc('month', day::timestamp)::date"

# This lock is exclusive. Transactions that change folded days hold it shared until they commit.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('billing.key_months'))"

# Each tenant's first folded day that is not summed yet, if it is before %(before)s. Here and in ADD, the bound is a
# whole sub-select, for the reasons given in `unsummed`.
UNSUMMED: Final = """
SELECT t.id, t.timezone, unsummed.day
  FROM tenants_tenant t
  LEFT JOIN key_months_summed s ON s.tenant_id = t.id
  CROSS JOIN LATERAL (SELECT min(r.day) AS day FROM rollup_day_folded r
                       WHERE r.tenant_id = t.id AND r.day > (SELECT coalesce(s.through, '-infinity'))) unsummed
 WHERE unsummed.day < %(before)s AND t.id = coalesce(%(tenant)s, t.id)
 ORDER BY t.id
"""

ADD: Final = f"""
INSERT INTO rollup_key_month ({_COLUMNS}, {", ".join(SUMS)})
SELECT tenant_id, {MONTH}, key_id, model_id, project_id, period, is_unpriced,
       {", ".join(f"sum({name})" for name in SUMS)}
  FROM rollup_day_folded
 WHERE tenant_id = %(tenant)s AND day <= %(through)s
   AND day > (SELECT {SUMMED_THROUGH})
 GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT ({_COLUMNS})
DO UPDATE SET {", ".join(f"{name} = rollup_key_month.{name} + excluded.{name}" for name in SUMS)}
"""

MOVE: Final = """
INSERT INTO key_months_summed (tenant_id, through) VALUES (%(tenant)s, %(through)s)
ON CONFLICT (tenant_id) DO UPDATE SET through = excluded.through WHERE key_months_summed.through < excluded.through
"""


def tenants_to_sum(tenant_id: UUID | None = None) -> Iterator[tuple[UUID, date]]:
    """Tenants with folded days that are over but not summed by key, each with the last day of the next step.

    That day is yesterday, or the end of the month of the first such day, so that no step exceeds a month.
    """
    with connection.cursor() as cursor:
        cursor.execute(UNSUMMED, {"before": now().date() + ONE_DAY, "tenant": tenant_id})
        found = cursor.fetchall()
    for tenant, timezone, day in found:
        yesterday = day_at(now(), timezone) - ONE_DAY
        if day <= yesterday:
            yield tenant, min(yesterday, last_of_month(day))


def sum_key_months(tenant_id: UUID) -> None:
    """Add the tenant's days that are over to its monthly sums by key. Safe to repeat. Concurrent calls wait.

    Each month takes one transaction. Folding waits for it; readers do not.
    """
    while due := next(tenants_to_sum(tenant_id), None):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(LOCK)
            cursor.execute("SET LOCAL jit = off")
            # If another process summed these days during the wait, this adds nothing.
            cursor.execute(ADD, {"tenant": tenant_id, "through": due[1]})
            cursor.execute(MOVE, {"tenant": tenant_id, "through": due[1]})


def page_of(pieces: Pieces, group_by: Sequence[str], *, is_first: bool) -> tuple[str, str, dict[str, Any]]:
    """SQL that leaves out sums by key that are not on a page of groups: common table expressions, a condition on the
    sums `r` that may use them, and their parameters.

    It counts only keys that certainly have a group. There may be more groups, so the condition may keep too many rows
    but never too few.
    """
    if group_by[0] in ("key", "month"):
        return _page_of_keys_or_months(pieces, group_by, is_first=is_first)
    return _page_of_names(pieces, group_by, is_first=is_first)


def _page_of_keys_or_months(
    pieces: Pieces, group_by: Sequence[str], *, is_first: bool
) -> tuple[str, str, dict[str, Any]]:
    """`page_of` for groups that begin with a key or a month.

    It counts the keys of months from which no day is subtracted, and the keys of days not summed yet. Grouped by day,
    a key counts once for each such month and day.
    """
    lead = group_by[0]
    removed: dict[date, date] = {}
    for first, _ in pieces.removed:
        removed.setdefault(first.replace(day=1), first)
    # The current month counts as long as it holds none of the future days, which are subtracted.
    parameters: dict[str, Any] = {
        "leads": pieces.months,
        "removed_from": [removed.get(month) for month in pieces.months],
    }
    column, lowest, highest, kind = {
        "key": ("key_id", FIRST_KEY, LAST_KEY, "uuid"),
        "month": ("month", "-infinity", "infinity", "date"),
    }[lead]
    after = f"'{lowest}'" if is_first else f"%(after_{lead})s"
    later_keys = f"AND r.key_id > {after}" if lead == "key" and not is_first else ""
    of_months = f"""
        SELECT {"k.key_id" if lead == "key" else "m.month"} AS lead
          FROM unnest(%(leads)s::date[], %(removed_from)s::date[]) AS m (month, removed_from)
          CROSS JOIN LATERAL (
            SELECT DISTINCT r.key_id FROM rollup_key_month r
             WHERE r.tenant_id = %(tenant)s AND r.month = m.month AND r.calls > 0 {later_keys}
             ORDER BY r.key_id LIMIT %(most)s) k
         WHERE (m.removed_from IS NULL OR m.removed_from > {SUMMED_THROUGH})
               {"" if lead == "key" or is_first else f"AND m.month > {after}"}"""
    is_by_day = "day" in group_by
    of_days = f"""
        SELECT r.key_id FROM rollup_day_folded r
         WHERE r.tenant_id = %(tenant)s AND {unsummed("%(start)s", "%(end)s")} AND r.calls > 0
               {later_keys} GROUP BY r.key_id{", r.day" if is_by_day else ""}"""
    counted = f"{of_months} UNION {'ALL' if is_by_day else ''} {of_days}" if lead == "key" else of_months
    last = f"""coalesce((
        SELECT lead FROM ({counted}) leads ORDER BY lead OFFSET %(before_last)s LIMIT 1), '{highest}'::{kind})"""
    if is_by_day:
        return *_days_of_keys(f"SELECT {after}::uuid AS first, {last} AS last"), parameters
    # Both ends are whole sub-selects, for the reasons given in `unsummed`.
    condition = f"AND r.{column} BETWEEN (SELECT {after}::{kind}) AND (SELECT {last})"
    return "", condition, parameters


def _days_of_keys(bounds: str) -> tuple[str, str]:
    """Expressions and a condition that find the days of the keys from `first` to `last`, which `bounds` selects.

    The primary key of the days begins with period, tenant and project. So the query first looks up all projects in
    which those keys have usage.
    """
    keys = "r.key_id BETWEEN (SELECT first FROM bounds) AND (SELECT last FROM bounds)"
    expressions = f"""WITH bounds AS MATERIALIZED ({bounds}), places AS MATERIALIZED (
        SELECT r.project_id FROM rollup_key_month r
         WHERE r.tenant_id = %(tenant)s AND r.month = ANY (%(all_months)s::date[]) AND {keys}
        UNION
        SELECT r.project_id FROM rollup_day_folded r
         WHERE r.tenant_id = %(tenant)s AND {unsummed("%(start)s", "%(end)s")} AND {keys}
        UNION
        SELECT r.project_id FROM rollup_delta r
         WHERE r.tenant_id = %(tenant)s AND r.day BETWEEN %(start)s AND %(end)s AND {keys}
    )"""
    condition = f"AND {keys} AND r.project_id = ANY (ARRAY(SELECT project_id FROM places)) {PERIODS}"
    return expressions, condition


def _page_of_names(
    pieces: Pieces, group_by: Sequence[str], *, is_first: bool
) -> tuple[str, str, dict[str, Any]]:
    """`page_of` for groups that begin with a project or a model.

    It counts the keys of the newest month from which no day is subtracted. Without such a month, nothing is left out.
    Individual keys are left out only if the page covers a single project or model.
    """
    lead = group_by[0]
    removed = {first.replace(day=1) for first, _ in pieces.removed}
    whole = [month for month in pieces.months if month not in removed]
    if not whole:
        return "", "", {}
    table, name = {"project": ("tenants_project", "slug"), "model": ("billed_model", "name")}[lead]
    used = {
        "project": "n.tenant_id = %(tenant)s",
        "model": "n.id = ANY (ARRAY(SELECT DISTINCT model_id FROM rollup_tenant_day "
        "WHERE tenant_id = %(tenant)s AND day BETWEEN %(start)s AND %(end)s))",
    }[lead]
    is_next_by_key = group_by[1] == "key"
    later = "" if is_first else f"AND n.{name} >= %(after_{lead})s"
    beyond = "" if is_first else f"WHERE {name} > %(after_{lead})s"
    if is_next_by_key and not is_first:
        beyond = f"WHERE ({name}, key_id) > (%(after_{lead})s, %(after_key)s)"
    expressions = f"""WITH last AS MATERIALIZED (
        SELECT {name}, key_id
          FROM (SELECT DISTINCT n.{name}, r.key_id
                  FROM rollup_key_month r JOIN {table} n ON n.id = r.{lead}_id
                 WHERE r.tenant_id = %(tenant)s AND r.month = %(whole_month)s AND r.calls > 0) used
         {beyond} ORDER BY {name}, key_id OFFSET %(before_last)s LIMIT 1
    ), named AS MATERIALIZED (
        SELECT n.id, n.{name} FROM {table} n
         WHERE {used} {later} AND n.{name} <= coalesce((SELECT {name} FROM last), n.{name})
    )"""
    condition = f"AND r.{lead}_id = ANY (ARRAY(SELECT id FROM named))"
    # The primary key of the days begins with the period, so a condition on it lets the index find them.
    if lead == "project":
        condition += PERIODS
    if is_next_by_key:
        after = f"'{FIRST_KEY}'" if is_first else "%(after_key)s"
        condition += f"""
            AND r.key_id BETWEEN (SELECT CASE WHEN count(*) = 1 THEN {after}::uuid ELSE '{FIRST_KEY}' END FROM named)
            AND (SELECT CASE WHEN count(*) = 1 THEN coalesce((SELECT key_id FROM last), '{LAST_KEY}')
                             ELSE '{LAST_KEY}' END FROM named)"""
    return expressions, condition, {"whole_month": whole[-1]}
