"""The audit log as a file, written by PostgreSQL itself; docs/audit.md explains every column.

A tenant's people do not learn where the platform's staff work: address and program of those lines are empty in
every file of a tenant, for its owners may have the ones that staff asked for. Files over all tenants are staff's alone.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg

from billing.export_csv import options_of, spreadsheet_safe
from billing.models import Export
from core.ids import smallest_id
from core.local_days import start_of_day

# Without an actor the platform did it, perhaps while answering staff.
_STAFF: Final = "(e.acting_as IN ('staff', 'emergency_access') OR coalesce(u.is_staff, true))"
_COLUMNS: Final = {
    "at": "to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    "tenant": "t.slug",
    "actor": "e.actor_label",
    "acting_as": "e.acting_as",
    "on_behalf_of": "e.on_behalf_of_label",
    "reason": "e.reason",
    "verb": "e.verb",
    "subject_type": "e.subject_type",
    "subject_id": "e.subject_id",
    "subject_label": "e.subject_label",
    "changes": "e.changes",
    "details": "CASE WHEN r.kinds IS NULL THEN e.details "
    "ELSE jsonb_set(e.details, '{read}', to_jsonb(r.kinds)) END",  # all that staff read within that hour
    "address": f"CASE WHEN %(shows_all)s OR NOT {_STAFF} THEN host(e.address) END",
    "user_agent": f"CASE WHEN %(shows_all)s OR NOT {_STAFF} THEN e.user_agent END",
    "request_id": "e.request_id",
    "trace_id": "e.trace_id",
    "id": "e.id",
}

_FROM: Final = """
FROM audit_auditentry e
LEFT JOIN tenants_tenant t ON t.id = e.tenant_id
LEFT JOIN accounts_user u ON u.id = e.actor_id
LEFT JOIN audit_staffread r ON r.entry_id = e.id
WHERE e.id >= %(low)s AND e.id < %(high)s AND e.at >= %(since)s AND e.at < %(until)s
  AND (%(tenant)s::uuid IS NULL OR e.tenant_id = %(tenant)s)
  AND (%(actor)s::uuid IS NULL OR e.actor_id = %(actor)s)
  AND (NOT %(is_platform)s OR e.actor_id IS NULL)
  AND (%(subject)s = '' OR e.subject_id = %(subject)s)
  AND (%(action)s = '' OR e.verb = %(action)s OR (right(%(action)s, 1) = '.' AND starts_with(e.verb, %(action)s)))
"""
COUNT: Final = f"SELECT e.tenant_id, count(*) {_FROM} GROUP BY e.tenant_id"


def write_csv(csv_format: str) -> str:
    """The statement that writes the entries as CSV."""
    columns = ", ".join(
        f"{spreadsheet_safe(f'({source})::text', csv_format)} AS {name}" for name, source in _COLUMNS.items()
    )
    return f"COPY (SELECT {columns} {_FROM} ORDER BY e.id) TO STDOUT ({options_of(csv_format)})"


# One JSON object a line. Text format would double backslashes; in CSV nothing is quoted that holds neither of two
# control characters, and JSON never does.
_PAIRS: Final = ", ".join(f"'{name}', {source}" for name, source in _COLUMNS.items())
WRITE_JSONL: Final = (
    f"COPY (SELECT json_build_object({_PAIRS})::text {_FROM} ORDER BY e.id) TO STDOUT "
    r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"
)
MARGIN: Final = timedelta(minutes=10)  # between the time in an entry's id and its own


def prepare(cursor: psycopg.Cursor[Any], export: Export) -> tuple[int, Decimal | None, str, dict[str, Any]]:
    """How many entries the file will hold, no sum, and the statement that writes them with its values.

    Notes on a file over all tenants whose entries it will hold.
    """
    zone = export.tenant.timezone if export.tenant else "UTC"
    since = start_of_day(export.start_day, zone)
    until = start_of_day(export.end_day + timedelta(days=1), zone)
    asked = export.entry_filter
    values = {
        "since": since,
        "until": until,
        "low": smallest_id(since - MARGIN),
        "high": smallest_id(until + MARGIN),
        "tenant": export.tenant_id,
        "actor": asked.get("actor"),
        "is_platform": bool(asked.get("is_platform")),
        "subject": asked.get("subject", ""),
        "action": asked.get("action", ""),
        "shows_all": export.tenant_id
        is None,  # a tenant's people find the files of theirs, whoever asked for them
    }
    found = dict(cursor.execute(COUNT, values).fetchall())
    if export.tenant_id is None:
        within = sorted(tenant_id for tenant_id in found if tenant_id is not None)
        Export.objects.across_tenants().filter(pk=export.pk).update(tenants_within=within)
    write = write_csv(export.csv_format) if export.kind == Export.Kind.AUDIT_CSV else WRITE_JSONL
    return sum(found.values()), None, write, values
