"""Record when staff read a tenant's data: one entry per person, tenant and hour, with what they read.

An answer counts if it goes to staff who are not a member of the tenant, and has rows of the tenant or is a page below
`/t/<tenant>/`. A person is not a row of a tenant, but pages about people show data of the tenants they are members
of. Each tenant of an answer gets an entry, however many there are. Actions have entries of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, cast
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.timezone import now

import audit
from audit.models import AuditEntry, StaffRead
from core.principals import Principal
from core.reading import Reading, current_reading

log = structlog.get_logger(__name__)

VERB: Final = "tenant.read_by_staff"
EMPTY: Final = (204, 205)
# These answers contain only a message of ours.
REFUSED: Final = (401, 403, 404, 405, 406, 415, 429)
# Pages of a person's own tokens and sessions.
OWN: Final = "/account/"
# Pages about people. Elsewhere people appear only as actors, which the tenant's own rows already record.
PEOPLE: Final = (
    "admin:accounts_user_",
    "admin:directory_federatedidentity_",
    "admin:directory_directorygroup_",
    "admin:tenants_personalaccesstoken_",
    "admin:autocomplete",
    "staff-find",
)
_TENANTS_OF: Final = "SELECT DISTINCT tenant_id FROM tenants_membership WHERE user_id = ANY(%s)"

# Only for tenants that exist: a rolled-back action may have made one.
_NOT_NOTED: Final = """
SELECT read.tenant FROM unnest(%(tenants)s::uuid[]) AS read (tenant)
  JOIN tenants_tenant ON tenants_tenant.id = read.tenant
 WHERE NOT EXISTS (SELECT FROM tenants_membership WHERE user_id = %(person)s AND tenant_id = read.tenant)
   AND NOT EXISTS (SELECT FROM audit_staffread
                    WHERE person_id = %(person)s AND tenant_id = read.tenant
                      AND hour = %(hour)s AND kinds @> ARRAY[%(kind)s]::varchar[])
 ORDER BY read.tenant
"""
# In the order of tenants, so that two concurrent answers cannot deadlock.
_NOTE: Final = """
INSERT INTO audit_staffread AS noted (id, person_id, tenant_id, hour, kinds)
SELECT new.id, %(person)s, new.tenant, %(hour)s, ARRAY[%(kind)s]
  FROM unnest(%(ids)s::uuid[], %(tenants)s::uuid[]) AS new (id, tenant) ORDER BY new.tenant
ON CONFLICT (person_id, tenant_id, hour) DO UPDATE
   SET kinds = CASE WHEN noted.kinds @> excluded.kinds THEN noted.kinds ELSE noted.kinds || excluded.kinds END
RETURNING id, tenant_id, entry_id
"""
_HAS_ENTRY: Final = """
UPDATE audit_staffread SET entry_id = new.entry
  FROM unnest(%(notes)s::uuid[], %(entries)s::uuid[]) AS new (note, entry) WHERE id = new.note
"""


class StaffReadMiddleware:
    """Notes what staff read once the answer is complete. Runs inside ScopeMiddleware, and writes in its scope."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        reading = Reading()
        token = current_reading.set(reading)
        try:
            response = self.get_response(request)
            context = copy_context()
        finally:
            current_reading.reset(token)
        user = request.user
        if not (user.is_authenticated and (user.is_superuser or user.staff_roles)):
            return response
        if _shows_rows(request, response):
            kind = request.resolver_match.view_name if request.resolver_match else request.path_info
            _note_all(user, reading, kind)
            if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
                parts = cast("Iterator[bytes]", response.streaming_content)
                response.streaming_content = _noting(parts, context, partial(_note_all, user, reading, kind))
        return response


def _noting(parts: Iterator[bytes], context: Context, note: Callable[[], None]) -> Iterator[bytes]:
    """Yield the parts of a streaming answer, and note what it read, even if the stream is cut off.

    Each part is produced in the context of the request: its scope, its origin and its reading.
    """
    try:
        while (part := context.run(next, parts, None)) is not None:
            yield part
    finally:
        context.run(note)


def _note_all(user: Principal, reading: Reading, kind: str) -> None:
    """Note what has been read so far."""
    tenants = reading.found()
    if kind.startswith(PEOPLE):
        tenants |= _tenants_of(reading.people - {user.pk})
    _note(user, tenants, kind[:120])


def with_what_was_read(entries: Iterable[AuditEntry]) -> None:
    """Add to the details of these entries everything read within their hour; an entry itself holds only the first."""
    reads = {entry.pk: entry for entry in entries if entry.verb == VERB}
    if not reads:
        return
    found = StaffRead.unscoped.filter(entry_id__in=reads).values_list("entry_id", "kinds")
    for entry_id, kinds in found:
        if entry_id is not None:
            reads[entry_id].details = reads[entry_id].details | {"read": kinds}


def _shows_rows(request: HttpRequest, response: HttpResponse) -> bool:
    """Whether an answer has content, whatever the method: a page, a confirmation step, or a form with errors."""
    if request.path_info.startswith(OWN):
        return False
    status = response.status_code
    return (200 <= status < 300 and status not in EMPTY) or (400 <= status < 500 and status not in REFUSED)


def _tenants_of(people: set[UUID]) -> set[UUID]:
    """The tenants of which these people are members."""
    if not people:
        return set()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_TENANTS_OF, [list(people)])
            return {tenant_id for (tenant_id,) in cursor.fetchall()}
    except DatabaseError:
        log.exception("staff_read_not_noted", people=len(people))
        return set()


def _note(user: Principal, tenant_ids: Collection[UUID], kind: str) -> None:
    """Add to the hour's notes, and write entries for new ones.

    It takes one query if all are noted already, and three more statements otherwise, however many tenants there are. If
    noting fails, the request continues and the failure is logged.
    """
    if not tenant_ids:
        return
    hour = now().replace(minute=0, second=0, microsecond=0)
    values: dict[str, Any] = {"person": user.pk, "tenants": list(tenant_ids), "kind": kind, "hour": hour}
    try:
        with connection.cursor() as cursor:
            cursor.execute(_NOT_NOTED, values)
            missing = [tenant_id for (tenant_id,) in cursor.fetchall()]
        if not missing:
            return
        ids = [StaffRead._meta.pk.get_default() for _ in missing]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_NOTE, values | {"tenants": missing, "ids": ids})
            notes = {tenant_id: note_id for note_id, tenant_id, entry_id in cursor.fetchall() if not entry_id}
            if notes:
                entries = audit.record_of_tenants(
                    VERB, actor=user, tenant_ids=notes, hour=hour.isoformat(), read=[kind]
                )
                written = {
                    "notes": [notes[tenant_id] for tenant_id in entries],
                    "entries": [*entries.values()],
                }
                cursor.execute(_HAS_ENTRY, written)
    except DatabaseError:
        log.exception("staff_read_not_noted", person=str(user.pk), tenants=len(tenant_ids), read=kind)
