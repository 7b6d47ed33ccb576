"""Asking for a cost report or a part of the audit log, building it, handing it out, and letting it go."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from billing import export_audit, export_csv, tasks
from billing.models import Export
from core.errors import Conflict
from core.reading import note_tenant
from tenants.models import Project, Tenant
from tenants.status import in_active_tenant, lock_tenant_shared

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 5  # workers that may die over one report before it counts as failed
PROGRESS_EVERY: Final = 1.0  # seconds
LONGEST: Final = timedelta(days=400)
UNFINISHED: Final = (Export.State.QUEUED, Export.State.RUNNING)


@action(Tenant, permission="tenants.export_cost", on=lambda tenant: tenant, state=in_active_tenant)
@transaction.atomic
def ask_for_export(
    tenant: Tenant,
    *,
    start_day: date,
    end_day: date,
    by: User,
    project: Project | None = None,
    csv_format: str = Export.Format.PLAIN,
) -> Export:
    """Queue a cost report of the days from `start_day` to `end_day`, both included.

    `csv_format` says for whom the file is written (`Export.Format`); the rows are the same.

    Raises:
        PermissionDenied: `by` may not export this tenant's costs. Conflict: the tenant is not active.
        ValidationError: the days are in the wrong order, or more than 400; there is no such format.
    """
    tenant = lock_tenant_shared(tenant)
    ask_for_export.require(by, tenant)
    if end_day < start_day:
        raise ValidationError({"end": "The last day is before the first."})
    if end_day - start_day > LONGEST:
        raise ValidationError({"end": f"A report covers at most {LONGEST.days} days; ask for several."})
    _check_format(csv_format, kind=Export.Kind.COSTS)
    export = Export.objects.create(
        tenant=tenant,
        project=project,
        start_day=start_day,
        end_day=end_day,
        requested_by=by,
        currency=tenant.currency,
        csv_format=csv_format,
    )
    audit.record(
        "export.created",
        actor=by,
        subject=export,
        start=start_day,
        end=end_day,
        project=project and project.slug,
        **_said_of(csv_format),
    )
    # The row is the truth: should the queue be away, the sweep enqueues it later.
    transaction.on_commit(partial(tasks.build_export.delay, str(tenant.pk), str(export.pk)), robust=True)
    return export


@action(Export, permission="tenants.export_audit", on=lambda export: export.tenant)
@transaction.atomic
def ask_for_audit_export(
    tenant: Tenant | None,
    *,
    kind: str,
    start_day: date,
    end_day: date,
    by: User,
    entry_filter: dict[str, Any] | None = None,
    csv_format: str = Export.Format.PLAIN,
) -> Export:
    """Queue a file of a tenant's audit log, or of all tenants' (None), for the days from `start_day` to `end_day`.

    `entry_filter` narrows it like the page does (`EntryFilter.as_json`).

    Raises:
        PermissionDenied: `by` may not export the audit log of this tenant, or of all.
        ValidationError: the days are in the wrong order, or the kind is none of the audit log's; a format that the kind
            does not have.
    """
    ask_for_audit_export.require(by, Export(tenant=tenant, kind=kind))
    if kind not in (Export.Kind.AUDIT_CSV, Export.Kind.AUDIT_JSONL):
        raise ValidationError({"kind": "Choose audit_csv or audit_jsonl."})
    _check_format(csv_format, kind=kind)
    if end_day < start_day:
        raise ValidationError({"end": "The last day is before the first."})
    export = Export.objects.create(
        tenant=tenant,
        kind=kind,
        start_day=start_day,
        end_day=end_day,
        requested_by=by,
        entry_filter=entry_filter or {},
        csv_format=csv_format,
    )
    audit.record(
        "export.created",
        actor=by,
        subject=export,
        kind=kind,
        start=start_day,
        end=end_day,
        entry_filter=entry_filter or {},
        **_said_of(csv_format),
    )
    transaction.on_commit(
        partial(tasks.build_export.delay, str(tenant.pk) if tenant else None, str(export.pk)), robust=True
    )
    return export


def _check_format(csv_format: str, *, kind: str) -> None:
    if csv_format not in Export.Format.values:
        raise ValidationError({"format": f"Choose one of {', '.join(Export.Format.values)}."})
    if kind == Export.Kind.AUDIT_JSONL and csv_format != Export.Format.PLAIN:
        raise ValidationError({"format": "JSON Lines have one format; choose audit_csv for this one."})


def _said_of(csv_format: str) -> dict[str, Any]:
    """What the entry says of the format, where it is not the usual one."""
    return {} if csv_format == Export.Format.PLAIN else {"format": csv_format}


def build_export(pk: UUID | str) -> None:
    """Build a report's file, unless it is built or somebody else is at it. Safe to repeat.

    One consistent snapshot is written by COPY to a file beside the final one, which takes its name when all of it
    is on disk. The worker holds a lock that vanishes with it, so whoever comes next may go on at once.
    """
    with _own_connection() as copying, _building(copying, pk) as acquired:
        if not acquired or not _start(pk):
            return
        try:
            _build(Export.objects.across_tenants().with_names().get(pk=pk), copying)
        except _Stopped:
            log.info("export_stopped", export=str(pk))
            _draft_of(pk).unlink(missing_ok=True)
        except (OSError, psycopg.Error) as error:
            log.exception("export_failed", export=str(pk))
            with suppress(OSError):
                _draft_of(pk).unlink(missing_ok=True)  # it would go on filling a full disk
            Export.objects.across_tenants().filter(pk=pk, state="running").update(
                state=Export.State.FAILED,
                finished_at=now(),
                error=f"The file could not be built: {type(error).__name__}. Try again, or tell an operator "
                f"the number {pk}.",
            )


def _require_file(by: User | None, export: Export) -> None:
    if export.state != Export.State.DONE or not path_of(export).is_file():
        is_gone = export.state in (Export.State.DONE, Export.State.EXPIRED)
        raise Conflict(
            "This file has expired. Ask for the report again." if is_gone else "This report is not ready.",
            code="expired" if is_gone else "not_ready",
        )


@action(
    Export,
    permission=("tenants.export_cost", "tenants.export_audit"),
    which=lambda by, export: export.permission,
    on=lambda export: export.tenant,
    state=_require_file,
)
def file_for_download(pk: UUID | str, *, by: User) -> tuple[Export, Path]:
    """The file of a finished report, noted in the audit log, and as read from each tenant that is in it.

    Raises:
        Export.DoesNotExist: `by` cannot see such a report.
        PermissionDenied: `by` may not export this tenant's costs.
        Conflict: it is not ready, or gone.
    """
    export = Export.objects.visible_to(by).with_names().get(pk=pk)
    file_for_download.require(by, export)
    audit.record("export.downloaded", actor=by, subject=export, sha256=export.sha256)
    for tenant_id in export.tenants_within:
        note_tenant(tenant_id)
    return export, path_of(export)


def expire_exports() -> int:
    """Delete the files of reports past their date; return how many. Safe to repeat."""
    expired = 0
    for export in Export.objects.across_tenants().outlived():
        path_of(export).unlink(missing_ok=True)
        expired += Export.objects.across_tenants().filter(pk=export.pk, state="done").update(state="expired")
    return expired


def expire_files_of_the_audit_log(sender: Any, **kwargs: Any) -> None:
    """Let the files of the audit log go, of every tenant: somebody who was erased may still be named in one.

    Those that wait or are being built are stopped: who builds one reads the audit log as it was at the beginning.
    """
    files = Export.objects.across_tenants().of_audit()
    files.filter(state=Export.State.DONE).update(expires_at=now())
    files.filter(state__in=UNFINISHED).update(
        state=Export.State.FAILED,
        finished_at=now(),
        error=_("Stopped, because somebody was erased from the audit log. Ask again."),
    )
    transaction.on_commit(tasks.expire_exports.delay, robust=True)


def path_of(export: Export) -> Path:
    """Where a report's file is, or will be."""
    return Path(settings.EXPORT_DIR) / f"{export.pk}.{export.suffix}"


def _draft_of(pk: UUID | str) -> Path:
    return Path(settings.EXPORT_DIR) / f".{pk}.partial"


def _start(pk: UUID | str) -> bool:
    """Note that this worker builds now; False when there is nothing to build (any more)."""
    with transaction.atomic():
        export = Export.objects.across_tenants().select_for_update(of=("self",)).filter(pk=pk).first()
        if export is None or export.state not in UNFINISHED:
            return False
        export.move_to(Export.State.RUNNING)
        if export.attempts >= ATTEMPTS:
            export.move_to(Export.State.FAILED)
            export.finished_at = now()
            export.error = (
                f"The worker died {ATTEMPTS} times over this report. Tell an operator the number {pk}."
            )
        export.attempts += 1
        export.heartbeat_at, export.rows_done = now(), 0
        export.save()
        return bool(export.state == Export.State.RUNNING)


def _build(export: Export, copying: psycopg.Connection[Any]) -> None:
    directory = Path(settings.EXPORT_DIR)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, unfinished = path_of(export), _draft_of(export.pk)
    progress = _Progress(export.pk)
    digest = hashlib.sha256()
    with copying.transaction(), copying.cursor() as cursor, unfinished.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET LOCAL jit = off")
        prepare = _prepare_costs if export.kind == Export.Kind.COSTS else export_audit.prepare
        rows, total, write, values = prepare(cursor, export)
        progress.note(0, rows_total=rows)
        mark = b"" if export.kind == Export.Kind.AUDIT_JSONL else export_csv.mark_of(export.csv_format)
        file.write(mark)
        digest.update(mark)
        with cursor.copy(write, values) as copy:
            for count, line in enumerate(copy):  # of CSV the first is the header
                file.write(line)
                digest.update(line)
                progress.note(count)
        file.flush()
        os.fsync(file.fileno())
    progress.note(rows, rows_total=rows)
    unfinished.replace(path)
    finished = now()
    done = (
        Export.objects.across_tenants()
        .filter(pk=export.pk, state="running")
        .update(
            state=Export.State.DONE,
            rows_done=rows,
            rows_total=rows,
            total=total,
            size_bytes=path.stat().st_size,
            sha256=digest.hexdigest(),
            finished_at=finished,
            expires_at=finished + timedelta(days=settings.EXPORT_KEEP_DAYS),
        )
    )
    if not done and not Export.objects.across_tenants().filter(pk=export.pk, state="done").exists():
        path.unlink()  # stopped between the last note of progress and this one
        raise _Stopped
    log.info("export_built", export=str(export.pk), rows=rows, is_first=bool(done))


class _Stopped(Exception):
    """The report is not wanted any more: its tenant was suspended, or somebody erased from the audit log it tells."""


def _prepare_costs(cursor: psycopg.Cursor[Any], export: Export) -> tuple[int, Decimal, str, None]:
    """Collect a cost report's rows: how many, their sum, and the statement that writes them."""
    scope = {"tenant": export.tenant_id, "project": export.project_id, "period": None}
    cursor.execute(export_csv.COLLECT, scope | {"first_day": export.start_day, "last_day": export.end_day})
    rows, total = cursor.execute(export_csv.COUNT).fetchone() or (0, Decimal(0))
    return rows, total, export_csv.write(export.csv_format), None


class _Progress:
    """Writes how far a report is, at most once a second, for those who watch; and hears when to stop."""

    def __init__(self, pk: UUID) -> None:
        self.row = Export.objects.across_tenants().filter(pk=pk, state="running")
        self.noted_at = 0.0

    def note(self, rows_done: int, **also: int) -> None:
        if also or time.monotonic() - self.noted_at >= PROGRESS_EVERY:
            if not self.row.update(rows_done=rows_done, heartbeat_at=now(), **also):
                raise _Stopped
            self.noted_at = time.monotonic()


@contextmanager
def _own_connection() -> Iterator[psycopg.Connection[Any]]:
    """A connection beside Django's: it holds the lock and the snapshot while Django's reports progress."""
    beside: Any = connection.copy()
    beside.connect()
    beside.carry_scope()
    try:
        yield beside.connection
    finally:
        beside.close()


@contextmanager
def _building(copying: psycopg.Connection[Any], pk: UUID | str) -> Iterator[bool]:
    """Whether this worker is the only one building the report; the lock goes with its connection."""
    row = copying.execute(
        "SELECT pg_try_advisory_lock(hashtext('export'), hashtext(%s))", [str(pk)]
    ).fetchone()
    acquired = row == (True,)
    try:
        yield acquired
    finally:
        if acquired and not copying.closed:
            copying.execute("SELECT pg_advisory_unlock(hashtext('export'), hashtext(%s))", [str(pk)])
