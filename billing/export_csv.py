"""The cost report's rows, written by PostgreSQL itself.

One row per day, project, model, token kind and unit price; docs/billing.md explains every column. Priced rows sum to
the dashboard's total exactly. Usage without a price has status `unpriced` and neither price nor amount.
"""

from __future__ import annotations

from typing import Final

from billing.detail_sql import DETAIL
from billing.kinds import TOKEN_KINDS

COLUMNS: Final = (
    "day", "tenant", "project", "cost_centre", "model", "token_kind", "quantity", "price_per_million", "amount",
    "currency", "status",
)  # fmt: skip

_UNPRICED: Final = ", ".join(f"('{kind}', r.{kind})" for kind in TOKEN_KINDS)

# The temporary table lets rows be counted before the first is written.
COLLECT: Final = f"""
CREATE TEMPORARY TABLE cost_report ON COMMIT DROP AS
WITH {DETAIL}
SELECT day, project_id, model_id, kind, per_million, sum(quantity)::bigint AS quantity,
       sum(quantity * per_million * 0.000001) AS amount, false AS is_unpriced
  FROM detail WHERE quantity <> 0
 GROUP BY day, project_id, model_id, kind, per_million
 UNION ALL
SELECT r.day, r.project_id, r.model_id, used.kind, NULL, sum(used.quantity)::bigint, NULL, true
  FROM rollup_day r CROSS JOIN LATERAL (VALUES {_UNPRICED}) AS used (kind, quantity)
 WHERE r.tenant_id = %(tenant)s AND r.is_unpriced AND r.day BETWEEN %(first_day)s AND %(last_day)s
   AND (%(project)s::uuid IS NULL OR r.project_id = %(project)s) AND used.quantity <> 0
 GROUP BY r.day, r.project_id, r.model_id, used.kind
"""  # noqa: S608

COUNT: Final = "SELECT count(*), coalesce(sum(amount), 0) FROM cost_report"


def spreadsheet_safe(column: str) -> str:
    """Text that a spreadsheet will not execute: a leading = + - @, tab or carriage return gets an apostrophe."""
    return f"CASE WHEN {column} ~ '^[=+@\\t\\r-]' THEN '''' || {column} ELSE {column} END"


WRITE: Final = f"""
COPY (
    SELECT r.day, {spreadsheet_safe("t.slug")} AS tenant, {spreadsheet_safe("p.slug")} AS project,
           {spreadsheet_safe("coalesce(nullif(p.cost_centre, ''), t.cost_centre)")} AS cost_centre,
           {spreadsheet_safe("m.name")} AS model, r.kind AS token_kind, r.quantity,
           trim_scale(r.per_million) AS price_per_million, trim_scale(r.amount) AS amount, t.currency,
           CASE WHEN r.is_unpriced THEN 'unpriced' ELSE 'priced' END AS status
      FROM cost_report r
      JOIN tenants_project p ON p.id = r.project_id
      JOIN tenants_tenant t ON t.id = p.tenant_id
      JOIN billed_model m ON m.id = r.model_id
     ORDER BY r.day, p.slug, m.name, r.kind, r.per_million, r.is_unpriced
) TO STDOUT (FORMAT csv, HEADER)
"""  # noqa: S608
