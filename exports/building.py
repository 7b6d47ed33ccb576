"""Build an export's file: one worker at a time, from one snapshot. The file appears only when it is complete."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now

from exports.csv_formats import mark_of
from exports.files import draft_of, path_of
from exports.kinds import kind_named
from exports.models import Export
from exports.stored_sentences import COULD_NOT_BUILD, WORKERS_DIED

log = structlog.get_logger(__name__)

# How many workers may die over one report before it counts as failed.
ATTEMPTS: Final = 5
PROGRESS_EVERY: Final = 1.0  # seconds
UNFINISHED: Final = (Export.State.QUEUED, Export.State.RUNNING)


def build_export(pk: UUID | str) -> None:
    """Build a report's file, unless it is already built or another worker is building it. Safe to repeat.

    COPY writes one consistent snapshot to a temporary file, which gets its final name when all of it is on disk. The
    worker's lock ends with the worker, so the next one can start at once.
    """
    with _own_connection() as copying, _building(copying, pk) as acquired:
        if not acquired or not _start(pk):
            return
        try:
            _build(Export.objects.across_tenants().with_names().get(pk=pk), copying)
        except _Stopped:
            log.info("export_stopped", export=str(pk))
            draft_of(pk).unlink(missing_ok=True)
        except (OSError, psycopg.Error) as error:
            log.exception("export_failed", export=str(pk))
            with suppress(OSError):
                # If it stayed, it would keep a full disk full.
                draft_of(pk).unlink(missing_ok=True)
            Export.objects.across_tenants().filter(pk=pk, state="running").update(
                state=Export.State.FAILED,
                finished_at=now(),
                error=COULD_NOT_BUILD(error=type(error).__name__, number=pk),
            )


def _start(pk: UUID | str) -> bool:
    """Note that this worker is building; return False if there is nothing (more) to build."""
    with transaction.atomic():
        export = Export.objects.across_tenants().select_for_update(of=("self",)).filter(pk=pk).first()
        if export is None or export.state not in UNFINISHED:
            return False
        export.move_to(Export.State.RUNNING)
        if export.attempts >= ATTEMPTS:
            export.move_to(Export.State.FAILED)
            export.finished_at = now()
            export.error = WORKERS_DIED(times=ATTEMPTS, number=pk)
        export.attempts += 1
        export.heartbeat_at, export.rows_done = now(), 0
        export.save()
        return bool(export.state == Export.State.RUNNING)


def _build(export: Export, copying: psycopg.Connection[Any]) -> None:
    directory = Path(settings.EXPORT_DIR)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, unfinished = path_of(export), draft_of(export.pk)
    progress = _Progress(export.pk)
    digest = hashlib.sha256()
    with copying.transaction(), copying.cursor() as cursor, unfinished.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET LOCAL jit = off")
        prepared = kind_named(export.kind).prepare(cursor, export)
        rows, total = prepared.rows, prepared.total
        progress.note(0, rows_total=rows)
        mark = mark_of(export.csv_format)
        file.write(mark)
        digest.update(mark)
        with cursor.copy(prepared.statement, prepared.values) as copy:
            # Counting starts at 0, because a CSV file starts with its header.
            for count, line in enumerate(copy):
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
        # The export was stopped after the last progress report.
        path.unlink()
        raise _Stopped
    log.info("export_built", export=str(export.pk), rows=rows, is_first=bool(done))


class _Stopped(Exception):
    """The report is no longer wanted (`exports.actions.stop_exports`)."""


class _Progress:
    """Saves a report's progress for its readers, at most once a second, and notices when to stop."""

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
    """A second connection beside Django's. It holds the lock and the snapshot, while Django's reports progress."""
    beside: Any = connection.copy()
    beside.connect()
    beside.carry_scope()
    try:
        yield beside.connection
    finally:
        beside.close()


@contextmanager
def _building(copying: psycopg.Connection[Any], pk: UUID | str) -> Iterator[bool]:
    """Yield whether this worker is the only one building the report. The lock ends with the connection."""
    row = copying.execute(
        "SELECT pg_try_advisory_lock(hashtext('export'), hashtext(%s))", [str(pk)]
    ).fetchone()
    acquired = row == (True,)
    try:
        yield acquired
    finally:
        if acquired and not copying.closed:
            copying.execute("SELECT pg_advisory_unlock(hashtext('export'), hashtext(%s))", [str(pk)])
