"""Comparing the stored sums of a tenant's days with those days, and listing every sum that differs."""
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db import connection

from billing.month_sums import SUMMED_THROUGH, SUMS
from tenants.models import Tenant

_MONTH: Final = "date_trunc('month', day::timestamp)::date"

# For each table of sums: the columns that identify a row besides period and `is_unpriced`; the same columns of a folded
# day; and a condition on the folded days that it includes.
_KEPT: Final = {
    "rollup_month_folded": (("month", "project_id", "model_id"), (_MONTH, "project_id", "model_id"), ""),
    "rollup_tenant_day_folded": (("day", "model_id"), ("day", "model_id"), ""),
    "rollup_tenant_month_folded": (("month",), (_MONTH,), ""),
    "rollup_key_month": (
        ("month", "project_id", "key_id", "model_id"),
        (_MONTH, "project_id", "key_id", "model_id"),
        f"AND day <= {SUMMED_THROUGH}",
    ),
}
_NAMES: Final = {
    "month": "to_char(month, 'YYYY-MM')",
    "day": "day::text",
    "project_id": "'project ' || (SELECT slug FROM tenants_project WHERE id = project_id)",
    "key_id": "'key ' || (SELECT prefix FROM tenants_apikey WHERE id = key_id)",
    "model_id": "(SELECT name FROM billed_model WHERE id = model_id)",
}


@dataclass(frozen=True)
class WrongSum:
    """A stored sum that differs from the sum of its days. One of the two may be missing."""

    table: str
    place: str  # which row, in words
    calls: int
    calls_of_days: int
    amount: Decimal
    amount_of_days: Decimal

    def __str__(self) -> str:
        return (
            f"{self.table}, {self.place}: {self.calls} calls for {self.amount}, "
            f"its days have {self.calls_of_days} for {self.amount_of_days}"
        )


def wrong_sums(tenant: Tenant) -> Iterator[WrongSum]:
    """Every sum by month, tenant day, tenant month, or key and month that differs from its folded days in any number.

    Each table takes one statement, which sees one moment, so concurrent recording and folding do not affect the result.
    The statement reads all of the tenant's days.
    """
    for table in _KEPT:
        with connection.cursor() as cursor:
            cursor.execute(_statement(table), {"tenant": tenant.pk})
            for place, *numbers in cursor.fetchall():
                yield WrongSum(table, f"tenant {tenant.slug}, {place}", *numbers)


def _statement(table: str) -> str:
    columns, of_day, where = _KEPT[table]
    place = ", ".join((*columns, "period", "is_unpriced"))
    read = ", ".join(
        f"{value} AS {name}" if value != name else name for name, value in zip(columns, of_day, strict=True)
    )
    sums = ", ".join(f"coalesce({name}, 0) AS {name}" for name in SUMS)
    negative = ", ".join(f"-coalesce({name}, 0) AS {name}" for name in SUMS)
    words = ", ".join(_NAMES[name] for name in columns)
    return f"""
        SELECT concat_ws(', ', {words}, CASE WHEN is_unpriced THEN 'unpriced' END),
               kept_calls, kept_calls - calls, kept_amount, kept_amount - amount
          FROM (SELECT {place}, {", ".join(f"sum({name}) AS {name}" for name in SUMS)},
                       coalesce(sum(calls) FILTER (WHERE is_kept), 0) AS kept_calls,
                       coalesce(sum(amount) FILTER (WHERE is_kept), 0) AS kept_amount
                  FROM (SELECT {place}, true AS is_kept, {sums} FROM {table} WHERE tenant_id = %(tenant)s
                        UNION ALL
                        SELECT {read}, period, is_unpriced, false, {negative} FROM rollup_day_folded
                         WHERE tenant_id = %(tenant)s {where}) r
                 GROUP BY {place}
                HAVING {" OR ".join(f"sum({name}) <> 0" for name in SUMS)}) different
         ORDER BY 1
    """
