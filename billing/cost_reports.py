"""Cost reports: a kind of export whose rows PostgreSQL itself writes.

One row per day, project, model, kind of usage and unit price; docs/billing.md explains every column. Priced rows sum to
the dashboard's total exactly. Usage without a price has status `unpriced` and neither price nor amount.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.declared import action
from accounts.models import User
from billing.detail_sql import DETAIL
from billing.packed_usage import count_of
from exports.actions import queue_export
from exports.csv_formats import Format, options_of, spreadsheet_safe
from exports.kinds import FileKind, Prepared
from exports.models import Export
from tenants.models import Project, Tenant
from tenants.roles import TokenScope
from tenants.status import in_active_tenant, lock_tenant_shared

LONGEST: Final = timedelta(days=400)


@action(Export, permission="tenants.export_cost", on=lambda export: export.tenant, state=in_active_tenant)
@transaction.atomic
def ask_for_cost_report(
    tenant: Tenant,
    *,
    start_day: date,
    end_day: date,
    by: User,
    project: Project | None = None,
    csv_format: str = Format.PLAIN,
) -> Export:
    """Queue a cost report of the days from `start_day` to `end_day`, both included.

    `project` limits the report to one project. `csv_format` selects the file format (`Export.Format`); the rows are
    the same in every format.

    Raises:
        PermissionDenied: `by` may not export this tenant's costs. Conflict: the tenant is not active.
        ValidationError: the days are in the wrong order, or more than 400; there is no such format.
    """
    tenant = lock_tenant_shared(tenant)
    ask_for_cost_report.require(by, Export(tenant=tenant, kind=COSTS.name))
    if end_day - start_day > LONGEST:
        message = gettext("A report covers at most %(days)d days. Order several.")
        raise ValidationError({"end": message % {"days": LONGEST.days}})
    export = cost_report_of(tenant, start_day, end_day, csv_format=csv_format, project=project)
    return queue_export(export, by=by, project=project and project.slug)


def cost_report_of(tenant: Tenant, start_day: date, end_day: date, **fields: Any) -> Export:
    """An export that is not queued yet. It covers the costs of those days, both included, in the tenant's currency."""
    return Export(
        tenant=tenant,
        kind=COSTS.name,
        start_day=start_day,
        end_day=end_day,
        currency=tenant.currency,
        **fields,
    )


def prepare_rows(cursor: psycopg.Cursor[Any] | CursorWrapper, export: Export) -> Prepared:
    """Collect a cost report's rows. Returns their number, their sum, and the statement that writes them."""
    scope = {"tenant": export.tenant_id, "project": export.project_id, "period": None}
    cursor.execute(COLLECT, scope | {"first_day": export.start_day, "last_day": export.end_day})
    cursor.execute(COUNT)
    rows, total = cursor.fetchone() or (0, Decimal(0))
    return Prepared(rows=rows, total=total, statement=write(export.csv_format))


def _ask_by_api(tenant: Tenant, asked: dict[str, Any], *, by: User, project: Project | None) -> Export:
    return ask_for_cost_report(
        tenant,
        start_day=asked["start"],
        end_day=asked["end"],
        by=by,
        project=project,
        csv_format=asked["format"],
    )


def _describe(export: Export) -> str:
    return export.project.name if export.project else ""


def _form_of(export: Export) -> dict[str, str]:
    form = {"month": f"{export.month:%Y-%m}"} if export.month else {}
    return form | ({"project": export.project.slug} if export.project else {})


COSTS: Final = FileKind(
    name="costs",
    label=_("Costs"),
    action=ask_for_cost_report,
    scope=TokenScope.COSTS,
    file_name="costs",
    list_page="export-list",
    ask_page="export-new",
    prepare=prepare_rows,
    ask=_ask_by_api,
    describe=_describe,
    form_of=_form_of,
    is_of_one_tenant=True,
    has_projects=True,
    is_default=True,
)

# The temporary table makes it possible to count the rows before the first is written.
COLLECT: Final = f"""
CREATE TEMPORARY TABLE cost_report ON COMMIT DROP AS
WITH {DETAIL}, estimated AS MATERIALIZED (
    SELECT * FROM rollup_estimated
     WHERE tenant_id = %(tenant)s AND day BETWEEN %(first_day)s AND %(last_day)s
       AND (%(project)s::uuid IS NULL OR project_id = %(project)s)
), used AS (
    SELECT day, project_id, model_id, kind, per_million, quantity, 0 AS estimated, false AS is_unpriced FROM detail
     UNION ALL
    SELECT e.day, e.project_id, e.model_id, t.kind, t.per_million, 0, {count_of("e.usage", "t.place")}, false
      FROM estimated e JOIN tariff t ON t.model_id = e.model_id AND t.valid @> e.hour
     WHERE NOT e.is_unpriced
     UNION ALL
    SELECT r.day, r.project_id, r.model_id, k.name, NULL, {count_of("r.usage", "k.place")}, 0, true
      FROM rollup_day r JOIN usage_kind k ON k.needs_price
     WHERE r.tenant_id = %(tenant)s AND r.is_unpriced AND r.day BETWEEN %(first_day)s AND %(last_day)s
       AND (%(project)s::uuid IS NULL OR r.project_id = %(project)s)
     UNION ALL
    SELECT e.day, e.project_id, e.model_id, k.name, NULL, 0, {count_of("e.usage", "k.place")}, true
      FROM estimated e JOIN usage_kind k ON k.needs_price
     WHERE e.is_unpriced
)
SELECT day, project_id, model_id, kind, per_million, sum(quantity)::bigint AS quantity,
       sum(quantity * per_million * 0.000001) AS amount, is_unpriced, sum(estimated)::bigint AS estimated
  FROM used WHERE quantity <> 0 OR estimated <> 0
 GROUP BY day, project_id, model_id, kind, per_million, is_unpriced
"""  # noqa: S608

COUNT: Final = "SELECT count(*), coalesce(sum(amount), 0) FROM cost_report"


def _of_project(name: str) -> str:
    """A value from `Project.accounting`, in SQL."""
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
        "kind": "r.kind",
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
