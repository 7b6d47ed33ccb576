"""Monthly sums by key: adding days that are over, and reading the sums together with days not summed yet.

Folding does not update a key's months, because it would write a second row for each key and day. Once a day is over for
a tenant, a task adds it to `rollup_key_month` and advances `KeyMonthsSummed.through`. From then on, the trigger
`add_to_rollups_of_days` adds late usage of that day, as it does for the other sums. So a key's months, its folded
days after `through` and the deltas add up to the sums of its days at any moment. One statement sees one moment.
"""
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Page:
    """SQL that leaves out sums by key that are not on a page of groups.

    `condition` is about the sums `r`, and `key_months` selects the rows of `rollup_key_month` to read. Both may use the
    common table `expressions` and the `parameters`.
    """

    expressions: str = ""
    condition: str = ""
    key_months: str = "rollup_key_month"
    parameters: dict[str, Any] = field(default_factory=dict)


def page_of(pieces: Pieces, group_by: Sequence[str], *, is_first: bool) -> Page:
    """What leaves out sums that are not on a page of groups.

    It counts only keys that certainly have a group. There may be more groups, so the conditions may keep too many rows
    but never too few.
    """
    if group_by[0] == "key":
        return _page_of_keys(pieces, group_by, is_first=is_first)
    if group_by[0] == "month":
        return _page_of_months(pieces, group_by, is_first=is_first)
    return _page_of_names(pieces, group_by, is_first=is_first)


def _months(pieces: Pieces) -> dict[str, Any]:
    """Parameters for `_WHOLE`: the months, and the first day that is subtracted from each."""
    removed: dict[date, date] = {}
    for first, _ in pieces.removed:
        removed.setdefault(first.replace(day=1), first)
    return {"leads": pieces.months, "removed_from": [removed.get(month) for month in pieces.months]}


# In order of the ordinal number: so the planner reads further months only if it needs them.
_MONTHS: Final = (
    "unnest(%(leads)s::date[], %(removed_from)s::date[]) WITH ORDINALITY AS m (month, removed_from, number)"
)
# The current month counts as long as it holds none of the future days, which are subtracted.
_WHOLE: Final = f"(m.removed_from IS NULL OR m.removed_from > {SUMMED_THROUGH})"


def _page_of_keys(pieces: Pieces, group_by: Sequence[str], *, is_first: bool) -> Page:
    """`page_of` for groups that begin with a key.

    It counts the keys of months from which no day is subtracted, and the keys of days not summed yet. Grouped by day,
    a key counts once for each such month and day.
    """
    parameters = _months(pieces)
    after = f"'{FIRST_KEY}'" if is_first else "%(after_key)s"
    later = "" if is_first else f"AND r.key_id > {after}"
    of_months = f"""
        SELECT k.key_id AS lead FROM {_MONTHS}
          CROSS JOIN LATERAL (
            SELECT DISTINCT r.key_id FROM rollup_key_month r
             WHERE r.tenant_id = %(tenant)s AND r.month = m.month AND r.calls > 0 {later}
             ORDER BY r.key_id LIMIT %(most)s) k
         WHERE {_WHOLE}"""
    is_by_day = "day" in group_by
    of_days = f"""
        SELECT r.key_id FROM rollup_day_folded r
         WHERE r.tenant_id = %(tenant)s AND {unsummed("%(start)s", "%(end)s")} AND r.calls > 0
               {later} GROUP BY r.key_id{", r.day" if is_by_day else ""}"""
    last = f"""coalesce((
        SELECT lead FROM ({of_months} UNION {"ALL" if is_by_day else ""} {of_days}) leads
         ORDER BY lead OFFSET %(before_last)s LIMIT 1), '{LAST_KEY}'::uuid)"""
    if is_by_day:
        expressions, condition = _days_of_keys(f"SELECT {after}::uuid AS first, {last} AS last")
        return Page(expressions, condition, parameters=parameters)
    # Both ends are whole sub-selects, for the reasons given in `unsummed`.
    return Page(
        condition=f"AND r.key_id BETWEEN (SELECT {after}::uuid) AND (SELECT {last})", parameters=parameters
    )


def _page_of_months(pieces: Pieces, group_by: Sequence[str], *, is_first: bool) -> Page:
    """`page_of` for groups that begin with a month.

    It finds the months that the page can reach, usually one, by counting their keys. From these months it reads the
    groups without their sums, and finds the page's last group and its keys. Only the sums of these keys are read.
    Groups after the last one may lack sums, but are not on the page.
    """
    names = group_by[1:]
    ids = ", ".join(f"r.{name}_id" for name in names)
    columns = ", ".join(f"{_COLUMN[name]} AS {name}" for name in names)
    group = ", ".join(["month", *names])
    after = "'-infinity'::date" if is_first else "%(after_month)s::date"
    later = not_before = beyond = ""
    if not is_first:
        # In the cursor's month, keys with a later value of the next name certainly come after the cursor.
        later = f"AND (m.month > {after} OR {_later(names[0], '>')})"
        not_before = f"AND (r.month > {after} OR {_later(names[0], '>=')})"
        places = ", ".join([after, *(_AFTER[name] for name in names)])
        beyond = f"WHERE (r.month, {', '.join(_COLUMN[name] for name in names)}) > ({places})"
    expressions = f"""WITH reach AS MATERIALIZED (
        SELECT {after} AS first, coalesce((
            SELECT m.month FROM {_MONTHS}
              CROSS JOIN LATERAL (
                SELECT DISTINCT r.key_id FROM rollup_key_month r
                 WHERE r.tenant_id = %(tenant)s AND r.month = m.month AND r.calls > 0 {later}
                 ORDER BY r.key_id LIMIT %(most)s) k
             WHERE {_WHOLE} AND m.month >= {after}
             ORDER BY m.number OFFSET %(before_last)s LIMIT 1), 'infinity') AS last
    ), groups AS MATERIALIZED (
        SELECT r.month, {columns}, r.is_used AND {_WHOLE} AS is_certain
          FROM (SELECT r.month, {ids}, bool_or(r.calls > 0) AS is_used
                  FROM rollup_key_month r
                 WHERE r.tenant_id = %(tenant)s
                   AND r.month BETWEEN (SELECT greatest(first, %(first_lead)s::date) FROM reach)
                                   AND (SELECT last FROM reach) {not_before}
                 GROUP BY r.month, {ids}) r
          JOIN {_MONTHS} ON m.month = r.month
          {"JOIN tenants_project p ON p.id = r.project_id" if "project" in names else ""}
          {"JOIN billed_model b ON b.id = r.model_id" if "model" in names else ""} {beyond}
    ), last AS MATERIALIZED (
        SELECT {group} FROM groups WHERE is_certain ORDER BY {group} OFFSET %(before_last)s LIMIT 1
    ), page AS MATERIALIZED (
        SELECT month, key FROM groups
         WHERE NOT EXISTS (SELECT FROM last) OR ({group}) <= (SELECT {group} FROM last)
    )"""
    return Page(
        expressions,
        "AND r.month BETWEEN (SELECT first FROM reach) AND (SELECT last FROM reach)",
        # OFFSET keeps the planner from anything but a look-up of each key.
        """(SELECT found.* FROM (SELECT DISTINCT month, key FROM page) page CROSS JOIN LATERAL (
                SELECT * FROM rollup_key_month k
                 WHERE k.tenant_id = %(tenant)s AND k.month = page.month AND k.key_id = page.key OFFSET 0) found)""",
        _months(pieces) | {"first_lead": pieces.months[0]},
    )


_COLUMN: Final = {"project": "p.slug", "model": "b.name", "key": "r.key_id"}
_AFTER: Final = {"project": "%(after_project)s", "model": "%(after_model)s", "key": "%(after_key)s::uuid"}


def _later(name: str, comparison: str) -> str:
    """A condition on rows `r`: their value of `name` compares so with the cursor's."""
    if name == "key":
        return f"r.key_id {comparison} {_AFTER[name]}"
    table = {"project": "tenants_project p", "model": "billed_model b"}[name]
    found = f"SELECT id FROM {table} WHERE {_COLUMN[name]} {comparison} {_AFTER[name]}"
    return f"r.{name}_id IN ({found}{' AND tenant_id = %(tenant)s' if name == 'project' else ''})"


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


def _page_of_names(pieces: Pieces, group_by: Sequence[str], *, is_first: bool) -> Page:
    """`page_of` for groups that begin with a project or a model.

    It counts the keys of the newest month from which no day is subtracted. Without such a month, nothing is left out.
    Individual keys are left out only if the page covers a single project or model.
    """
    lead = group_by[0]
    removed = {first.replace(day=1) for first, _ in pieces.removed}
    whole = [month for month in pieces.months if month not in removed]
    if not whole:
        return Page()
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
    return Page(expressions, condition, parameters={"whole_month": whole[-1]})
