"""Staff who read a tenant's data leave an entry: one for each person, tenant and hour, with what was read.

What counts: an answer with rows of a tenant, and every page below `/t/<tenant>/`, by somebody of the staff who is no
member there. A person is a row of no tenant; the pages of people show what the tenants have of which they are members.
Each tenant of an answer has its entry, however many there are. Actions have entries of their own.
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
# Answered by a sentence of ours.
REFUSED: Final = (401, 403, 404, 405, 406, 415, 429)
# A person's own tokens and sessions.
OWN: Final = "/account/"
# Elsewhere people are named who did something, which the tenant's own rows say.
PEOPLE: Final = (
    "admin:accounts_user_",
    "admin:directory_federatedidentity_",
    "admin:directory_directorygroup_",
    "admin:tenants_personalaccesstoken_",
    "admin:autocomplete",
)
_TENANTS_OF: Final = "SELECT DISTINCT tenant_id FROM tenants_membership WHERE user_id = ANY(%s)"

# Only of tenants that are there: an action that was taken back may have made one.
_NOT_NOTED: Final = """
SELECT read.tenant FROM unnest(%(tenants)s::uuid[]) AS read (tenant)
  JOIN tenants_tenant ON tenants_tenant.id = read.tenant
 WHERE NOT EXISTS (SELECT FROM tenants_membership WHERE user_id = %(person)s AND tenant_id = read.tenant)
   AND NOT EXISTS (SELECT FROM audit_staffread
                    WHERE person_id = %(person)s AND tenant_id = read.tenant
                      AND hour = %(hour)s AND kinds @> ARRAY[%(kind)s]::varchar[])
 ORDER BY read.tenant
"""
# In the order of tenants: two answers at once wait for each other in one direction.
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
    """Notes what staff read once the answer stands. Inside of ScopeMiddleware, whose scope it writes in."""

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
    """The parts of an answer that reads while it is sent, and a note of what it read, also where it is cut off.

    Each part is made in the context of the request: its scope, its origin and its reading.
    """
    try:
        while (part := context.run(next, parts, None)) is not None:
            yield part
    finally:
        context.run(note)


def _note_all(user: Principal, reading: Reading, kind: str) -> None:
    """Note what has been read until now."""
    tenants = reading.found()
    if kind.startswith(PEOPLE):
        tenants |= _tenants_of(reading.people - {user.pk})
    _note(user, tenants, kind[:120])


def with_what_was_read(entries: Iterable[AuditEntry]) -> None:
    """Tell in the details of these entries all that was read within their hour; an entry itself holds the first."""
    reads = {entry.pk: entry for entry in entries if entry.verb == VERB}
    if not reads:
        return
    found = StaffRead.unscoped.filter(entry_id__in=reads).values_list("entry_id", "kinds")
    for entry_id, kinds in found:
        if entry_id is not None:
            reads[entry_id].details = reads[entry_id].details | {"read": kinds}


def _shows_rows(request: HttpRequest, response: HttpResponse) -> bool:
    """An answer with content, whatever was asked: a page, a step before an action, a form that comes back."""
    if request.path_info.startswith(OWN):
        return False
    status = response.status_code
    return (200 <= status < 300 and status not in EMPTY) or (400 <= status < 500 and status not in REFUSED)


def _tenants_of(people: set[UUID]) -> set[UUID]:
    """Tenants that these people are members of."""
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
    """Add to the hour's notes, and write the entries of those that are new.

    One question where all are noted already; else three statements more, however many tenants there are. Reading goes
    on where noting fails; the log says so.
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
