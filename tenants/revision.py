"""The configuration revision: a number that grows with every change that gateways must learn, and what changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import connection

CHANNEL = "config_revision"
# In revisions. Gateways that are further behind reload everything.
KEPT_CHANGES: Final = 10_000

_RAISE: Final = """
WITH raised AS (
    INSERT INTO tenants_configrevision (id, number) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET number = tenants_configrevision.number + 1
    RETURNING number
), noted AS (
    INSERT INTO tenants_configchange (revision, mark, is_everything, tenants, projects, keys, limits)
    SELECT number, gen_random_uuid(), %s, %s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[] FROM raised
    ON CONFLICT (revision) DO UPDATE SET mark = excluded.mark, is_everything = true, raised_with = null
)
SELECT number, pg_notify(%s, number::text) FROM raised
"""


def raise_revision(
    *,
    tenants: Iterable[UUID] | None = None,
    projects: Iterable[UUID] | None = None,
    keys: Iterable[UUID] | None = None,
    limits: Iterable[UUID] | None = None,
    routing: bool = False,
) -> int:
    """Raise the revision inside the caller's transaction and return it. Gateways are notified at commit.

    Name what changed, and gateways read only that. Without any names they reload everything, which is always correct
    but slow with many keys. Several calls in one transaction add up.

    The counter is one row, so writers take turns and revisions become visible in order: a gateway that has
    seen N has seen every change up to N. Call it late in an action, because the row stays locked until commit.

    Args:
        tenants: suspended, resumed, closed, or with another policy.
        projects: whose grants changed.
        keys: claimed, changed, suspended, restored or revoked.
        limits: the tenants, projects or keys *on which* limits were set.
        routing: routes or prices changed. Gateways compare those at every change anyway, so this only states that
            nothing else changed.
    """
    named = (tenants, projects, keys, limits)
    is_everything = not routing and all(ids is None for ids in named)
    with connection.cursor() as cursor:
        cursor.execute(_RAISE, [is_everything, *(sorted(set(ids or ())) for ids in named), CHANNEL])
        number: int = cursor.fetchone()[0]
    return number


def current_revision() -> int:
    """Return the newest committed revision; 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM tenants_configrevision WHERE id = 1")
        row = cursor.fetchone()
    return row[0] if row else 0


@dataclass
class Changes:
    """The ids that changed after one revision and up to another."""

    tenants: set[UUID] = field(default_factory=set)
    projects: set[UUID] = field(default_factory=set)
    keys: set[UUID] = field(default_factory=set)
    limits: set[UUID] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.tenants) + len(self.projects) + len(self.keys) + len(self.limits)


def mark_of(revision: int) -> str:
    """Return what distinguishes this revision from one with the same number after a restore; "" if unknown."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT mark FROM tenants_configchange WHERE revision = %s", [revision])
        row = cursor.fetchone()
    return row[0].hex if row else ""


def changes_between(after: int, until: int) -> Changes | None:
    """Return what changed in the revisions above `after` up to `until`; None unless every one of them is known."""
    changes = Changes()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT is_everything, tenants, projects, keys, limits FROM tenants_configchange "
            "WHERE revision > %s AND revision <= %s",
            [after, until],
        )
        rows = cursor.fetchall()
    # Some revisions were forgotten, or raised by hand.
    if len(rows) != until - after:
        return None
    for is_everything, tenants, projects, keys, limits in rows:
        if is_everything:
            return None
        changes.tenants.update(tenants)
        changes.projects.update(projects)
        changes.keys.update(keys)
        changes.limits.update(limits)
    return changes


def forget_changes() -> int:
    """Delete changes that are older than KEPT_CHANGES revisions; return how many. Safe to repeat."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM tenants_configchange WHERE revision <= "
            "(SELECT number FROM tenants_configrevision WHERE id = 1) - %s",
            [KEPT_CHANGES],
        )
        forgotten = int(cursor.rowcount)
        cursor.execute(
            "DELETE FROM tenants_revisionentry WHERE revision <= "
            "(SELECT number FROM tenants_configrevision WHERE id = 1) - %s",
            [KEPT_CHANGES],
        )
    return forgotten
