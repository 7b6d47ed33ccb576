"""Read the audit log: a page of entries costs the same for ten thousand entries as for ten million.

No query counts or sorts. A list is one index scan (audit/models/entries.py). If it is narrowed by action or person,
it is a short scan for each existing action, and the newest entries are merged. Times are compared with the ids,
which grow with time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from audit.models import AuditEntry
from core.ids import smallest_id
from core.principals import Principal
from core.reading import note_tenant

PAGE_SIZE: Final = 50

_VERBS = """
WITH RECURSIVE walk AS (
    (SELECT verb FROM audit_auditentry {where} ORDER BY verb LIMIT 1)
    UNION ALL
    SELECT (SELECT verb FROM audit_auditentry {where_or} verb > walk.verb ORDER BY verb LIMIT 1)
      FROM walk WHERE walk.verb IS NOT NULL
)
SELECT verb FROM walk WHERE verb IS NOT NULL
"""
# The id of an actor without actions.
NOBODY: Final = UUID(int=0)


@dataclass(frozen=True)
class EntryFilter:
    """The requested part of the audit log; empty means everything."""

    # None: entries of all tenants, and those without a tenant.
    tenants: tuple[UUID, ...] | None = None
    actor: UUID | None = None
    # Actions of the platform itself, which have no actor.
    is_platform: bool = False
    # A verb ("api_key.claimed"), or a kind of verbs ("api_key.").
    action: str = ""
    subject: str = ""  # an object's id
    since: datetime | None = None
    until: datetime | None = None  # excluded
    # Actions of this emergency access. Also give its person and time; otherwise the scan is long.
    emergency_access: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        """The part that an export stores; tenant and days have columns of their own."""
        return {
            "actor": self.actor and str(self.actor),
            "is_platform": self.is_platform,
            "action": self.action,
            "subject": self.subject,
        }


@dataclass(frozen=True)
class Page:
    """Entries, newest first, and whether newer and older ones exist."""

    entries: list[AuditEntry]
    has_newer: bool
    has_older: bool


def actions_in_log(tenants: tuple[UUID, ...] | None) -> list[str]:
    """Every verb in the audit log, in alphabetical order: one index lookup for each."""
    found: set[str] = set()
    with connection.cursor() as cursor:
        for tenant in [None] if tenants is None else tenants:
            where = "WHERE tenant_id = %(tenant)s" if tenant else ""
            sql = _VERBS.format(where=where, where_or=f"{where} AND" if where else "WHERE")
            cursor.execute(sql, {"tenant": tenant})
            found |= {row[0] for row in cursor.fetchall()}
    return sorted(found)


def find_entries(
    entry_filter: EntryFilter,
    *,
    older_than: UUID | None = None,
    newer_than: UUID | None = None,
    size: int = PAGE_SIZE,
) -> Page:
    """A page of the entries that match `entry_filter`, next to `older_than` or `newer_than`, if given.

    Args:
        entry_filter: which entries.
        older_than: cursor of the entry before which to begin.
        newer_than: cursor of the entry after which to begin.
        size: number of entries on a page.
    """
    from audit.staff_reads import with_what_was_read

    for tenant in entry_filter.tenants or ():
        note_tenant(tenant)
    ids = _find_ids(entry_filter, older_than, newer_than, size + 1)
    has_more, ids = len(ids) > size, ids[:size]
    entries = AuditEntry.unscoped.filter(pk__in=ids).select_related("tenant", "actor", "on_behalf_of")
    found = sorted(entries.defer("salt", "leaf_salts"), key=lambda entry: entry.pk, reverse=True)
    with_what_was_read(found)
    return Page(
        found,
        has_newer=has_more if newer_than else older_than is not None,
        has_older=True if newer_than else has_more,
    )


def _find_ids(
    entry_filter: EntryFilter, older_than: UUID | None, newer_than: UUID | None, limit: int
) -> list[UUID]:
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": limit}

    def narrow(condition: str, value: Any) -> None:
        if value:
            name = f"value_{len(values)}"
            conditions.append(condition.replace("?", f"%({name})s"))
            values[name] = value

    narrow("id > ?", newer_than)
    narrow("id < ?", older_than)
    narrow("id >= ?", entry_filter.since and smallest_id(entry_filter.since))
    narrow("id < ?", entry_filter.until and smallest_id(entry_filter.until))
    narrow("subject_id = ?", entry_filter.subject)
    narrow("actor_id = ?", entry_filter.actor)
    narrow(
        "details ->> 'emergency_access' = ?",
        entry_filter.emergency_access and str(entry_filter.emergency_access),
    )
    if entry_filter.is_platform:
        conditions.append("actor_id IS NULL")
    walks = []
    if entry_filter.tenants is not None:
        walks.append("unnest(%(tenants)s::uuid[]) AS house (id)")
        values["tenants"] = list(entry_filter.tenants)
        conditions.append("tenant_id = house.id")
    if entry_filter.action or entry_filter.actor or entry_filter.is_platform:
        walks.append("unnest(%(verbs)s::text[]) AS each (verb)")
        values["verbs"] = _verbs_of(entry_filter)
        conditions.append("verb = each.verb")
    order = "ASC" if newer_than else "DESC"
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"SELECT id FROM audit_auditentry {where} ORDER BY id {order} LIMIT %(limit)s"  # noqa: S608
    # Each scan is short and in order; the newest entries of all are merged.
    if walks:
        places = " CROSS JOIN ".join(walks)
        sql = f"""
            SELECT found.id FROM {places} CROSS JOIN LATERAL ({sql}) found
             ORDER BY found.id {order} LIMIT %(limit)s
        """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] for row in cursor.fetchall()]


def _verbs_of(entry_filter: EntryFilter) -> list[str]:
    if entry_filter.action and not entry_filter.action.endswith("."):
        return [entry_filter.action]
    return [verb for verb in actions_in_log(entry_filter.tenants) if verb.startswith(entry_filter.action)]


def hides_origin(entry: AuditEntry, viewer: Principal) -> bool:
    """Whether to hide the origin of an action from the viewer: tenants must not learn where staff work from.

    This includes actions of the platform itself, which may happen during a request of staff.
    """
    if viewer.is_staff:
        return False
    return entry.actor is None or entry.acting_as in ("staff", "emergency_access") or entry.actor.is_staff
