"""Prove the audit log: every checkpoint continues the previous one, and every entry matches its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
from django.db import connection, transaction
from django.utils.timezone import now

from audit.canonical import NOTHING_BEFORE, Row, checkpoint_digest, digest_of, leaves_of
from audit.checkpoints import fetch, redactions_of
from audit.times import TOLERANCE, Times
from core.ids import smallest_id

CHECKPOINTS_AT_ONCE: Final = 20
ENTRIES_AT_ONCE: Final = 5_000
# The database never deletes younger entries.
SHORTEST_RETENTION: Final = timedelta(days=180)


class Broken(Exception):
    """The audit log does not match its checkpoints; the message names the first wrong entry or checkpoint, and why."""


@dataclass
class Proof:
    """The results of a verification."""

    checkpoints: int = 0
    entries: int = 0
    # Entries past retention, whose checkpoints remain.
    pruned: int = 0
    redacted: int = 0
    # Entries without a checkpoint yet.
    pending: int = 0
    last_checkpoint: str = ""
    # Checkpoints that equal their exported copies.
    compared: int = 0


@dataclass
class _Checkpoint:
    number: int
    previous: bytes
    sha256: bytes
    ids: list[str]
    digests: bytes
    head: dict[str, Any] = field(repr=False)


def verify(
    against: Iterable[dict[str, Any]] | None = None, *, on_progress: Callable[[Proof], None] | None = None
) -> Proof:
    """Prove the whole audit log, in one snapshot of the database and in constant memory.

    Args:
        against: exported checkpoints in the order of their numbers; each must be the database's own.
        on_progress: called from time to time with the results so far.

    Raises Broken, naming the first broken checkpoint or entry. Entries that are only out of order come last, because
    the cause may be a clock that was set back.
    """
    with _one_snapshot(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        proof = Proof()
        pruned_up_to = _pruning(cursor)
        times = Times(now())
        _chain(cursor, proof, pruned_up_to, _Outside(against), on_progress, times)
        _redactions(cursor)
        _strays(cursor, proof)
        _waiting(cursor, times)
        if times.first:
            raise Broken(f"{times.first} Out of order: {times.findings}. Everything else is proved.")
        return proof


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """A transaction that sees the database as of its beginning. Within another one, it sees what that one sees.

    The isolation level is set on the driver, because the first statement of a transaction already sends the scope.
    """
    if connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    driver = connection.connection
    driver.isolation_level, driver.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
    try:
        with transaction.atomic():
            yield
    finally:
        driver.isolation_level = driver.read_only = None


def _pruning(cursor: Any) -> int:
    """The last checkpoint whose entries may be missing, according to a record in the audit log."""
    cursor.execute(
        """
        SELECT p.up_to_checkpoint, e.details ->> 'up_to_checkpoint'
          FROM audit_auditpruning p
          LEFT JOIN audit_auditentry e ON e.id = p.record_id AND e.verb = 'audit.pruned'
         ORDER BY p.up_to_checkpoint DESC LIMIT 1
        """
    )
    if (row := cursor.fetchone()) is None:
        return 0
    if row[1] != str(row[0]):
        raise Broken(
            f"Entries up to checkpoint {row[0]} are marked as pruned, but no record in the audit log says so."
        )
    return int(row[0])


def _chain(
    cursor: Any,
    proof: Proof,
    pruned_up_to: int,
    outside: _Outside,
    on_progress: Callable[[Proof], None] | None,
    times: Times,
) -> None:
    previous = NOTHING_BEFORE
    batch: list[_Checkpoint] = []
    for checkpoint in _checkpoints(cursor):
        if checkpoint.number != proof.checkpoints + 1:
            raise Broken(
                f"Checkpoint {proof.checkpoints + 1} is missing: the next one is {checkpoint.number}."
            )
        if checkpoint.previous != previous:
            raise Broken(
                f"Checkpoint {checkpoint.number} does not continue checkpoint {checkpoint.number - 1}: "
                "one of them was replaced."
            )
        ids = b"".join(UUID(one).bytes for one in checkpoint.ids)
        if len(checkpoint.digests) != 2 * len(ids) or checkpoint.sha256 != checkpoint_digest(
            **checkpoint.head, ids=ids, digests=checkpoint.digests
        ):
            raise Broken(
                f"Checkpoint {checkpoint.number} was altered: its SHA-256 is not that of its content."
            )
        proof.compared += outside.compare(checkpoint.number, checkpoint.sha256)
        times.see_checkpoint(checkpoint.number, checkpoint.head["created_at"])
        previous = checkpoint.sha256
        proof.checkpoints, proof.last_checkpoint = checkpoint.number, checkpoint.sha256.hex()
        batch.append(checkpoint)
        if sum(len(one.ids) for one in batch) >= ENTRIES_AT_ONCE or len(batch) >= 200:
            _entries(batch, proof, pruned_up_to, times)
            batch = []
            if on_progress:
                on_progress(proof)
    _entries(batch, proof, pruned_up_to, times)
    outside.finish(proof.checkpoints)


def _checkpoints(cursor: Any) -> Iterator[_Checkpoint]:
    number = 0
    while True:
        cursor.execute(
            """
            SELECT number, previous, sha256, created_at, first_at, last_at, entry_ids::text[], entry_digests
              FROM audit_auditcheckpoint WHERE number > %s ORDER BY number LIMIT %s
            """,
            [number, CHECKPOINTS_AT_ONCE],
        )
        rows = cursor.fetchall()
        for number, previous, sha, created_at, first_at, last_at, ids, digests in rows:
            head = {
                "number": number,
                "previous": bytes(previous),
                "created_at": created_at,
                "first_at": first_at,
                "last_at": last_at,
            }
            yield _Checkpoint(number, bytes(previous), bytes(sha), ids, bytes(digests), head)
        if len(rows) < CHECKPOINTS_AT_ONCE:
            return


def _entries(checkpoints: list[_Checkpoint], proof: Proof, pruned_up_to: int, times: Times) -> None:
    """Compare entries with the digests in their checkpoints."""
    wanted = [one for checkpoint in checkpoints for one in checkpoint.ids]
    with connection.cursor() as cursor:
        rows = {row.id: row for row in fetch(cursor, wanted)}
        erased = redactions_of(cursor, wanted)
    for checkpoint in checkpoints:
        is_old = checkpoint.head["last_at"] <= now() - SHORTEST_RETENTION
        for place, entry_id in enumerate(checkpoint.ids):
            row = rows.get(entry_id)
            if row is None:
                if checkpoint.number > pruned_up_to or not is_old:  # whatever a record says
                    raise Broken(
                        f"Entry {entry_id} is missing; checkpoint {checkpoint.number} holds its digest."
                    )
                proof.pruned += 1
                continue
            commitments: dict[str, str] = {}
            if entry_id in erased:
                commitments = _checked(row, erased[entry_id])
                proof.redacted += 1
            if digest_of(row, commitments) != checkpoint.digests[32 * place : 32 * place + 32]:
                raise Broken(
                    f"Entry {entry_id} was changed after its checkpoint (checkpoint {checkpoint.number})."
                )
            proof.entries += 1
        times.see_entries(
            checkpoint.number, checkpoint.head, [rows.get(entry_id) for entry_id in checkpoint.ids]
        )


def _checked(row: Row, redactions: list[tuple[str, dict[str, str]]]) -> dict[str, str]:
    """The commitments of a redacted entry's erased words, after checking that only the token replaces them."""
    words = leaves_of(row)[1]
    commitments: dict[str, str] = {}
    for token, taken in redactions:
        for path in taken:
            if words.get(path) not in (None, token):
                raise Broken(
                    f"Entry {row.id} was rewritten under a redaction: {path} contains something other "
                    f"than {token}."
                )
        commitments |= taken
    return commitments


def redactions_digest(rows: Iterable[tuple[str, str, dict[str, str]]]) -> str:
    """The digest in a record of redactions: SHA-256 over (entry, token, commitments) of each, one line of JSON each."""
    digest = sha256()
    for row in rows:
        digest.update(orjson.dumps(row, option=orjson.OPT_SORT_KEYS) + b"\n")
    return digest.hexdigest()


def _redactions(cursor: Any) -> None:
    """Check that every redaction is in a record, and that every record has its redactions."""
    cursor.execute(
        """
        SELECT r.record_id::text, e.details ->> 'sha256' FROM (
            SELECT record_id FROM audit_auditredaction UNION SELECT id FROM audit_auditentry
             WHERE verb = 'audit.redacted'
        ) r LEFT JOIN audit_auditentry e ON e.id = r.record_id AND e.verb = 'audit.redacted'
         ORDER BY r.record_id
        """
    )
    for record_id, fixed in cursor.fetchall():
        with connection.chunked_cursor() as each:
            each.execute(
                """
                SELECT entry_id::text, token, commitments::text FROM audit_auditredaction
                 WHERE record_id = %s ORDER BY id
                """,
                [record_id],
            )
            digest = redactions_digest(
                (entry, token, orjson.loads(text)) for entry, token, text in _streamed(each)
            )
        if fixed is None:
            cursor.execute(
                """
                SELECT e.id::text FROM audit_auditredaction r JOIN audit_auditentry e ON e.id = r.entry_id
                 WHERE r.record_id = %s LIMIT 1
                """,
                [record_id],
            )
            if left := cursor.fetchone():
                raise Broken(
                    f"Entry {left[0]} was redacted without a record: {record_id} is not in the audit log."
                )
        elif digest != fixed:
            raise Broken(f"The redactions that entry {record_id} records are not the actual ones.")


def _streamed(cursor: Any) -> Iterator[Any]:
    while rows := cursor.fetchmany(2000):
        yield from rows


def _waiting(cursor: Any, times: Times) -> None:
    """Check that entries without a checkpoint came after the last checkpoint."""
    if times.created_at is None:
        return
    too_old = times.created_at - TOLERANCE
    cursor.execute(
        """
        SELECT e.id::text, e.at FROM audit_auditpending u JOIN audit_auditentry e ON e.id = u.entry_id
         WHERE e.at < %s OR e.id < %s ORDER BY e.id
        """,
        [too_old, smallest_id(too_old)],
    )
    for entry_id, at in cursor.fetchall():
        times.see_entry(entry_id, at, times.created_at, times.number)


def _strays(cursor: Any, proof: Proof) -> None:
    """Check that every entry outside the checkpoints is waiting for one."""
    cursor.execute("SELECT count(*) FROM audit_auditpending")
    proof.pending = cursor.fetchone()[0]
    cursor.execute("SELECT count(*) FROM audit_auditentry")
    if cursor.fetchone()[0] == proof.entries + proof.pending:
        return
    cursor.execute(
        """
        SELECT e.id::text FROM audit_auditentry e
          LEFT JOIN (SELECT unnest(entry_ids) AS id FROM audit_auditcheckpoint
                     UNION ALL SELECT entry_id FROM audit_auditpending) known ON known.id = e.id
         WHERE known.id IS NULL ORDER BY e.id LIMIT 1
        """
    )
    if row := cursor.fetchone():
        raise Broken(
            f"Entry {row[0]} is in no checkpoint and not in the queue: it was inserted without the audit "
            "log's trigger."
        )
    cursor.execute(
        """
        SELECT entry_id::text FROM audit_auditpending u
         WHERE NOT EXISTS (SELECT FROM audit_auditentry e WHERE e.id = u.entry_id) ORDER BY 1 LIMIT 1
        """
    )
    if row := cursor.fetchone():
        raise Broken(f"Entry {row[0]} was deleted before its checkpoint.")
    raise Broken("An entry is in two checkpoints: the chain was not written by checkpoint_pending_entries.")


class _Outside:
    """Exported checkpoints, read in parallel with the database's own."""

    def __init__(self, lines: Iterable[dict[str, Any]] | None) -> None:
        self.lines = iter(lines or ())
        self.next: dict[str, Any] | None = None
        self.advance()

    def advance(self) -> None:
        self.next = next(self.lines, None)

    def compare(self, number: int, digest: bytes) -> bool:
        """Whether this checkpoint was exported. Raises Broken if the exported one differs."""
        was_exported = False
        while self.next is not None and int(self.next["number"]) <= number:
            if int(self.next["number"]) == number:
                was_exported = True
                if self.next["sha256"] != digest.hex():
                    raise Broken(
                        f"Checkpoint {number} is not the one that was exported: the chain was rewritten."
                    )
            self.advance()
        return was_exported

    def finish(self, last: int) -> None:
        if self.next is not None:
            raise Broken(
                f"The chain ends with checkpoint {last}, but checkpoint {self.next['number']} was exported: "
                "its end was cut off."
            )
