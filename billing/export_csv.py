"""The cost report's rows, written by PostgreSQL itself.

One row per day, project, model, token kind and unit price; docs/billing.md explains every column. Priced rows sum to
the dashboard's total exactly. Usage without a price has status `unpriced` and neither price nor amount.
"""

from __future__ import annotations

from typing import Final

from billing.detail_sql import DETAIL
from billing.kinds import KINDS, TOKEN_KINDS
from billing.models import Export
from tenants.models import Project, Tenant

_QUANTITY: Final = " ".join(f"WHEN '{kind}' THEN e.{kind}" for kind in KINDS)


def _of_kinds(table: str) -> str:
    return ", ".join(f"('{kind}', {table}.{kind})" for kind in TOKEN_KINDS)


# The temporary table lets rows be counted before the first is written.
COLLECT: Final = f"""
CREATE TEMPORARY TABLE cost_report ON COMMIT DROP AS
WITH {DETAIL}, estimated AS MATERIALIZED (
    SELECT * FROM rollup_estimated
     WHERE tenant_id = %(tenant)s AND day BETWEEN %(first_day)s AND %(last_day)s
       AND (%(project)s::uuid IS NULL OR project_id = %(project)s)
), used AS (
    SELECT day, project_id, model_id, kind, per_million, quantity, 0 AS estimated, false AS is_unpriced FROM detail
     UNION ALL
    SELECT e.day, e.project_id, e.model_id, t.kind, t.per_million, 0, CASE t.kind {_QUANTITY} END, false
      FROM estimated e JOIN tariff t ON t.model_id = e.model_id AND t.valid @> e.hour
     WHERE NOT e.is_unpriced
     UNION ALL
    SELECT r.day, r.project_id, r.model_id, used.kind, NULL, used.quantity, 0, true
      FROM rollup_day r CROSS JOIN LATERAL (VALUES {_of_kinds("r")}) AS used (kind, quantity)
     WHERE r.tenant_id = %(tenant)s AND r.is_unpriced AND r.day BETWEEN %(first_day)s AND %(last_day)s
       AND (%(project)s::uuid IS NULL OR r.project_id = %(project)s)
     UNION ALL
    SELECT e.day, e.project_id, e.model_id, used.kind, NULL, 0, used.quantity, true
      FROM estimated e CROSS JOIN LATERAL (VALUES {_of_kinds("e")}) AS used (kind, quantity)
     WHERE e.is_unpriced
)
SELECT day, project_id, model_id, kind, per_million, sum(quantity)::bigint AS quantity,
       sum(quantity * per_million * 0.000001) AS amount, is_unpriced, sum(estimated)::bigint AS estimated
  FROM used WHERE quantity <> 0 OR estimated <> 0
 GROUP BY day, project_id, model_id, kind, per_million, is_unpriced
"""  # noqa: S608

COUNT: Final = "SELECT count(*), coalesce(sum(amount), 0) FROM cost_report"


# What a spreadsheet may take for a formula by its first character, also in the wide form of East Asian keyboards.
# A number is none: -4711 stays the key that it is.
_SIGNS: Final = "=+@\\t\\r\\n\uff1d\uff0b\uff0d\uff20-"
_FORMULA: Final = f"^[{_SIGNS}]"
_NUMBER: Final = "^[+-][0-9]+([.,][0-9]+)?$"
# Excel splits a file at the separator of its country, whatever the file's own is: what follows one begins a cell.
_WITHIN: Final = f'([,;\\t\\r\\n]"*)(?=[{_SIGNS}])(?![+-][0-9]+([.,][0-9]+)?([,;]|$))'
_MARK: Final = b"\xef\xbb\xbf"  # by which Excel knows UTF-8
Format = Export.Format


def spreadsheet_safe(column: str, csv_format: str = Format.PLAIN) -> str:
    """Text that a spreadsheet will not execute: what would be a formula gets an apostrophe, except for programs."""
    if csv_format == Format.RAW:
        return column
    whole = f"CASE WHEN {column} ~ '{_FORMULA}' AND {column} !~ '{_NUMBER}' THEN '''' || {column} ELSE {column} END"
    return f"regexp_replace({whole}, '{_WITHIN}', '\\1''', 'g')"


def mark_of(csv_format: str) -> bytes:
    """What stands in front of the file."""
    return _MARK if csv_format in (Format.EXCEL, Format.EXCEL_COMMA) else b""


def options_of(csv_format: str) -> str:
    """How COPY writes the file."""
    return "FORMAT csv, HEADER" + (", DELIMITER ';'" if csv_format == Format.EXCEL_COMMA else "")


def _of_project(name: str) -> str:
    """What `Project.accounting` says of a project, in SQL."""
    return f"coalesce(nullif(p.{name}, ''), t.{name})" if name in Tenant.EDITABLE else f"p.{name}"


def write(csv_format: str) -> str:
    """The statement that writes the rows."""

    def text(column: str) -> str:
        return spreadsheet_safe(column, csv_format)

    def number(column: str) -> str:
        plain = f"trim_scale({column})"
        return f"replace({plain}::text, '.', ',')" if csv_format == Format.EXCEL_COMMA else plain

    columns = {
        "day": "r.day",
        "tenant": text("t.slug"),
        "project": text("p.slug"),
        **{name: text(_of_project(name)) for name in Project.ACCOUNTING},
        "model": text("m.name"),
        "token_kind": "r.kind",
        "quantity": "r.quantity",
        "price_per_million": number("r.per_million"),
        "amount": number("r.amount"),
        "currency": "t.currency",
        "status": "CASE WHEN r.is_unpriced THEN 'unpriced' ELSE 'priced' END",
        "estimated_quantity": "r.estimated",
    }
    return f"""
COPY (
    SELECT {", ".join(f"{source} AS {name}" for name, source in columns.items())}
      FROM cost_report r
      JOIN tenants_project p ON p.id = r.project_id
      JOIN tenants_tenant t ON t.id = p.tenant_id
      JOIN billed_model m ON m.id = r.model_id
     ORDER BY r.day, p.slug, m.name, r.kind, r.per_million, r.is_unpriced
) TO STDOUT ({options_of(csv_format)})
"""  # noqa: S608
