"""Checkpoints chain audit entries by SHA-256, so that every later change is detectable."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django.db import connection, transaction

from audit.canonical import NOTHING_BEFORE, SELECT, Row, checkpoint_digest, digest_of
from audit.models import AuditCheckpoint, AuditPending
from audit.recording import record
from core.scope import platform_scope

log = structlog.get_logger(__name__)

LARGEST_CHECKPOINT: Final = 10_000  # entries
CHECKPOINTS_A_RUN: Final = 100

_WAITING = "SELECT entry_id FROM audit_auditpending ORDER BY entry_id LIMIT %s"
_DONE = (
    # Only after its checkpoint; otherwise the database rejects it.
    "DELETE FROM audit_auditpending WHERE entry_id = ANY(%s)"
)


def checkpoint_pending_entries(*, checkpoints: int = CHECKPOINTS_A_RUN) -> int:
    """Write checkpoints until every committed entry is in one; return the number of entries.

    Only one process writes checkpoints at a time; any other returns 0. Safe to repeat and to kill: one transaction
    writes a checkpoint and empties its queue. A queued entry that has vanished is recorded prominently.
    """
    covered = 0
    with platform_scope("writing checkpoints of the audit log", is_routine=True):
        for _ in range(checkpoints):
            if not (count := _checkpoint_some()):
                break
            covered += count
    return covered


@transaction.atomic
def _checkpoint_some() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('audit_checkpoint'))")
        if cursor.fetchone() != (True,):
            return 0
        cursor.execute(_WAITING, [LARGEST_CHECKPOINT])
        waiting = [row[0] for row in cursor.fetchall()]
        if not waiting:
            return 0
        rows = fetch(cursor, waiting)
        erased = {entry_id: _all(taken) for entry_id, taken in redactions_of(cursor, waiting).items()}
        if rows:
            _append(rows, erased, time_of_checkpoint(cursor, rows))
        cursor.execute(_DONE, [waiting])
    found = {row.id for row in rows}
    for entry_id in waiting:
        if str(entry_id) not in found:
            log.error("audit_entry_vanished", entry=str(entry_id))
            record("audit.entry_vanished", actor=None, subject=AuditPending(entry_id=entry_id))
    return len(rows)


def time_of_checkpoint(cursor: Any, rows: list[Row]) -> datetime:
    """The current time, by the same clock that gave the entries their times."""
    cursor.execute("SELECT clock_timestamp()")
    moment: datetime = cursor.fetchone()[0]
    return moment


def fetch(cursor: Any, ids: Iterable[UUID | str]) -> list[Row]:
    """The existing entries with these ids, in the order of ids."""
    cursor.execute(f"{SELECT} WHERE id = ANY(%s::uuid[]) ORDER BY id", [list(ids)])
    return [Row._make(row) for row in cursor.fetchall()]


def redactions_of(cursor: Any, ids: Iterable[UUID | str]) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The redactions of these entries: (token, {path: commitment}) of each, oldest first."""
    cursor.execute(
        """
        SELECT entry_id::text, token, commitments::text FROM audit_auditredaction
         WHERE entry_id = ANY(%s::uuid[]) ORDER BY id
        """,
        [list(ids)],
    )
    found: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for entry_id, token, commitments in cursor.fetchall():
        found.setdefault(entry_id, []).append((token, orjson.loads(commitments)))
    return found


def _all(redactions: list[tuple[str, dict[str, str]]]) -> dict[str, str]:
    return {path: commitment for _, taken in redactions for path, commitment in taken.items()}


def _append(rows: list[Row], erased: dict[str, dict[str, str]], created_at: datetime) -> AuditCheckpoint:
    before = AuditCheckpoint.objects.order_by("-number").values_list("number", "sha256").first()
    number, previous = (before[0] + 1, bytes(before[1])) if before else (1, NOTHING_BEFORE)
    ids = [UUID(row.id) for row in rows]
    digests = b"".join(digest_of(row, erased.get(row.id)) for row in rows)
    head: dict[str, Any] = {
        "number": number,
        "previous": previous,
        "created_at": created_at,
        "first_at": min(row.at for row in rows),
        "last_at": max(row.at for row in rows),
    }
    sha256 = checkpoint_digest(**head, ids=b"".join(one.bytes for one in ids), digests=digests)
    return AuditCheckpoint.objects.create(**head, sha256=sha256, entry_ids=ids, entry_digests=digests)
