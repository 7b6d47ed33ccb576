"""Files of the audit log: kinds of export that PostgreSQL itself writes. docs/audit.md explains every column.

Members of a tenant do not learn where the platform's staff work. Every file of a tenant leaves address and program of
staff entries empty, because its owners may download files that staff ordered. Only staff get files over all tenants.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from typing import Any, Final

import psycopg
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from accounts.declared import action
from accounts.models import User
from audit.filters import EntryFilter
from core.ids import smallest_id
from core.local_days import start_of_day
from exports.actions import expire_now, queue_export, stop_exports
from exports.csv_formats import Format, options_of, spreadsheet_safe
from exports.kinds import FileKind, Prepared
from exports.models import Export
from exports.stored_sentences import PERSON_WAS_ERASED
from privacy.audit_forms import PLATFORM, actor_of, address_of
from tenants.models import Project, Tenant
from tenants.roles import TokenScope


@action(Export, permission="tenants.export_audit", on=lambda export: export.tenant)
@transaction.atomic
def ask_for_audit_file(
    tenant: Tenant | None,
    *,
    kind: str,
    start_day: date,
    end_day: date,
    by: User,
    entry_filter: dict[str, Any] | None = None,
    csv_format: str = Format.PLAIN,
) -> Export:
    """Queue a file of a tenant's audit log, or of all tenants' (None), for the days from `start_day` to `end_day`.

    `kind` is the name of one of `AUDIT_KINDS`. `entry_filter` narrows the file as on the page (`EntryFilter.as_json`).
    `csv_format` is the format of a CSV file (`Export.Format`).

    Raises:
        PermissionDenied: `by` may not export the audit log of this tenant, or of all tenants.
        ValidationError: the days are in the wrong order, the kind is not one of the audit log's, or the kind does not
            support the format.
    """
    ask_for_audit_file.require(by, Export(tenant=tenant, kind=kind))
    if kind not in AUDIT_KINDS:
        raise ValidationError({"kind": _("Choose audit_csv or audit_jsonl.")})
    if kind == AUDIT_JSONL.name and csv_format != Format.PLAIN:
        raise ValidationError(
            {"format": _("This format applies only to CSV. Choose audit_csv, or the plain format.")}
        )
    export = Export(
        tenant=tenant,
        kind=kind,
        start_day=start_day,
        end_day=end_day,
        entry_filter=entry_filter or {},
        csv_format=csv_format,
    )
    return queue_export(export, by=by, kind=kind, entry_filter=entry_filter or {})


def let_audit_files_go(sender: Any, **kwargs: Any) -> None:
    """Expire the audit log files of every tenant, because one may still name a person who was erased.

    Waiting and running files are stopped too: their worker reads the audit log as it was when it started.
    """
    files = Export.objects.across_tenants().of_kinds(*AUDIT_KINDS)
    expire_now(files)
    stop_exports(files, error=PERSON_WAS_ERASED())


# Entries without an actor are the platform's, perhaps made while it answered staff.
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
    # Everything that staff read within that hour.
    "ELSE jsonb_set(e.details, '{read}', to_jsonb(r.kinds)) END",
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


# One JSON object per line. The text format would double backslashes. The CSV format quotes only values that contain
# one of two control characters, and JSON never contains them.
_PAIRS: Final = ", ".join(f"'{name}', {source}" for name, source in _COLUMNS.items())
WRITE_JSONL: Final = (
    f"COPY (SELECT json_build_object({_PAIRS})::text {_FROM} ORDER BY e.id) TO STDOUT "
    r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"
)
# How far the time in an entry's id may differ from the entry's own time.
MARGIN: Final = timedelta(minutes=10)


def prepare_entries(cursor: psycopg.Cursor[Any], export: Export) -> Prepared:
    """Count the file's entries, and return the statement that writes them with its values.

    For a file over all tenants, save the tenants whose entries it will contain.
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
        # Members of a tenant can see its files, whoever ordered them.
        is None,
    }
    found = dict(cursor.execute(COUNT, values).fetchall())
    if export.tenant_id is None:
        within = sorted(tenant_id for tenant_id in found if tenant_id is not None)
        Export.objects.across_tenants().filter(pk=export.pk).update(tenants_within=within)
    statement = write_csv(export.csv_format) if export.kind == AUDIT_CSV.name else WRITE_JSONL
    return Prepared(rows=sum(found.values()), statement=statement, values=values)


def _api_fields() -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    return {
        "person": serializers.CharField(
            required=False, max_length=254, help_text="of the audit log: e-mail address, or `platform`"
        ),
        "verb": serializers.CharField(
            required=False, max_length=80, help_text="of the audit log: as of `audit/`"
        ),
        "subject_id": serializers.CharField(required=False, max_length=64, help_text="of the audit log"),
    }


def _ask_by_api(tenant: Tenant | None, asked: dict[str, Any], *, by: User, project: Project | None) -> Export:
    """Order a part of the audit log. `project` is always None, because the kind has no projects."""
    person = asked.get("person", "").strip().lower()
    entry_filter = EntryFilter(
        actor=actor_of(person, (tenant.pk,) if tenant else None),
        is_platform=person == PLATFORM,
        action=asked.get("verb", ""),
        subject=asked.get("subject_id", ""),
    )
    return ask_for_audit_file(
        tenant,
        kind=asked["kind"],
        start_day=asked["start"],
        end_day=asked["end"],
        by=by,
        entry_filter=entry_filter.as_json(),
        csv_format=asked["format"],
    )


def _describe(export: Export) -> str:
    return export.get_kind_display()


def _form_of(export: Export) -> dict[str, str]:
    asked = export.entry_filter
    return {
        "kind": export.kind,
        "start": export.start_day.isoformat(),
        "end": export.end_day.isoformat(),
        "person": PLATFORM if asked.get("is_platform") else address_of(asked.get("actor")),
        "action": asked.get("action", ""),
        "object": asked.get("subject", ""),
    }


_audit_kind = partial(
    FileKind,
    action=ask_for_audit_file,
    # The scope that reads the audit log over the API.
    scope=TokenScope.READ,
    file_name="audit",
    list_page="audit-exports",
    ask_page="audit-exports",
    prepare=prepare_entries,
    ask=_ask_by_api,
    describe=_describe,
    form_of=_form_of,
    api_fields=_api_fields,
    is_confidential=True,
)
AUDIT_CSV: Final = _audit_kind(name="audit_csv", label=gettext_lazy("Audit log, CSV"))
AUDIT_JSONL: Final = _audit_kind(
    name="audit_jsonl", label=gettext_lazy("Audit log, JSON Lines"), suffix="jsonl"
)
AUDIT_KINDS: Final = {kind.name: kind for kind in (AUDIT_CSV, AUDIT_JSONL)}
