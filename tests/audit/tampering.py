"""What somebody with the database's own rights could do to the audit log, behind its triggers."""

from __future__ import annotations

import os
from contextlib import contextmanager
from urllib.parse import urlsplit

from django.db import connection
from psycopg import sql

from audit.canonical import NOTHING_BEFORE, checkpoint_digest, digest_of
from audit.checkpoints import fetch

TABLES = [
    "audit_auditentry",
    "audit_auditcheckpoint",
    "audit_auditredaction",
    "audit_auditpruning",
    "audit_auditpending",
]


def become_the_console():
    """Go on with the rights of the console's role, in the session of the tables' owner."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SET ROLE {}").format(sql.Identifier(urlsplit(os.environ["DATABASE_URL"]).username))
        )


@contextmanager
def as_owner_of_the_tables():
    """What the console may not, with triggers awake. Only in tests marked `as_owner`."""
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        try:
            yield cursor.execute
        finally:
            if not connection.needs_rollback:
                become_the_console()


@contextmanager
def behind_the_audit_log():
    """Runs SQL with the audit tables' triggers switched off: `with behind_the_audit_log() as run: run("UPDATE …")`."""
    with as_owner_of_the_tables() as run:
        run("SET CONSTRAINTS ALL IMMEDIATE")
        for table in TABLES:
            run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield run
        for table in TABLES:
            run(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def grow_older(days):
    """Move every entry and checkpoint this many days into the past, as if they had been made then."""
    with behind_the_audit_log() as run:
        run("UPDATE audit_auditentry SET at = at - make_interval(days => %s)", [days])
        run(
            "UPDATE audit_auditcheckpoint SET created_at = created_at - make_interval(days => %s), "
            "first_at = first_at - make_interval(days => %s), last_at = last_at - make_interval(days => %s)",
            [days, days, days],
        )
        previous = NOTHING_BEFORE
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT number, created_at, first_at, last_at, entry_ids, entry_digests FROM audit_auditcheckpoint "
                "ORDER BY number"
            )
            for number, created_at, first_at, last_at, ids, old in cursor.fetchall():
                digests = b"".join(digest_of(row) for row in fetch(cursor, ids)) or bytes(old)  # pruned
                head = {
                    "number": number,
                    "previous": previous,
                    "created_at": created_at,
                    "first_at": first_at,
                    "last_at": last_at,
                }
                sha = checkpoint_digest(**head, ids=b"".join(one.bytes for one in ids), digests=digests)
                run(
                    "UPDATE audit_auditcheckpoint SET previous = %s, sha256 = %s, entry_digests = %s WHERE number = %s",
                    [previous, sha, digests, number],
                )
                previous = sha
