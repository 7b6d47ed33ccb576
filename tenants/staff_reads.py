"""Staff who read a tenant's data leave an entry: one for each person, tenant and hour, with what was read.

What counts: an answer with the rows of one tenant, and every page below `/t/<tenant>/`, by somebody of the staff who
is no member there. A person is a row of no tenant; the pages of people show what the tenants have of which they are
members. An answer with rows of several tenants (an unfiltered list) is one entry of no tenant, for auditors.
Deeds have entries of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now

from tenants import audit
from tenants.models import AuditEntry, StaffRead, Tenant, User
from tenants.reading import Reading, current_reading

log = structlog.get_logger(__name__)

OF_ONE: Final = "tenant.read_by_staff"
OF_SEVERAL: Final = "tenants.read_by_staff"
VERBS: Final = (OF_ONE, OF_SEVERAL)
SAFE: Final = ("GET", "HEAD")
OWN: Final = "/account/"  # a person's own tokens and sessions
PEOPLE: Final = (  # elsewhere people are named who did something, which the tenant's own rows say
    "admin:tenants_user_",
    "admin:tenants_federatedidentity_",
    "admin:tenants_directorygroup_",
    "admin:tenants_personalaccesstoken_",
    "admin:autocomplete",
)
_TENANTS_OF: Final = "SELECT DISTINCT tenant_id FROM tenants_membership WHERE user_id = ANY(%s) LIMIT 2"

_IS_NOTED: Final = """
SELECT EXISTS (SELECT FROM tenants_membership WHERE user_id = %(person)s AND tenant_id = %(tenant)s)
    OR EXISTS (SELECT FROM tenants_staffread
                WHERE person_id = %(person)s AND tenant_id IS NOT DISTINCT FROM %(tenant)s::uuid
                  AND hour = %(hour)s AND kinds @> ARRAY[%(kind)s]::varchar[])
"""
_NOTE: Final = """
INSERT INTO tenants_staffread AS noted (id, person_id, tenant_id, hour, kinds)
VALUES (%(id)s, %(person)s, %(tenant)s, %(hour)s, ARRAY[%(kind)s])
ON CONFLICT (person_id, tenant_id, hour) DO UPDATE
   SET kinds = CASE WHEN noted.kinds @> excluded.kinds THEN noted.kinds ELSE noted.kinds || excluded.kinds END
RETURNING id, entry_id
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
        finally:
            current_reading.reset(token)
        if _shows_rows(request, response) and (reading.people or reading.found()):
            user = request.user
            if isinstance(user, User) and user.is_authenticated and (user.is_superuser or user.staff_roles):
                kind = request.resolver_match.view_name if request.resolver_match else request.path_info
                if kind.startswith(PEOPLE):
                    reading.tenants |= _tenants_of(reading.people - {user.pk})
                for tenant_id in reading.found():
                    _note(user, tenant_id, kind[:120])
        return response


def with_what_was_read(entries: Iterable[AuditEntry]) -> None:
    """Tell in the details of these entries all that was read within their hour; an entry itself holds the first."""
    reads = {entry.pk: entry for entry in entries if entry.verb in VERBS}
    if not reads:
        return
    found = StaffRead.unscoped.filter(entry_id__in=reads).values_list("entry_id", "kinds")
    for entry_id, kinds in found:
        if entry_id is not None:
            reads[entry_id].details = reads[entry_id].details | {"read": kinds}


def _shows_rows(request: HttpRequest, response: HttpResponse) -> bool:
    """An answer to a question, or a form that came back."""
    if request.path_info.startswith(OWN):
        return False
    return response.status_code in (200, 206) if request.method in SAFE else response.status_code == 422


def _tenants_of(people: set[UUID]) -> set[UUID]:
    """Tenants that these people are members of; two if there are more, which is as good as all."""
    if not people:
        return set()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_TENANTS_OF, [list(people)])
            return {tenant_id for (tenant_id,) in cursor.fetchall()}
    except DatabaseError:
        log.exception("staff_read_not_noted", people=len(people))
        return set()


def _note(user: User, tenant_id: UUID | None, kind: str) -> None:
    """Add to the hour's note, and write its entry if it is new. One question where it is noted already.

    Reading goes on where noting fails; the log says so.
    """
    values = {
        "person": user.pk,
        "tenant": tenant_id,
        "kind": kind,
        "hour": now().replace(minute=0, second=0, microsecond=0),
        "id": StaffRead._meta.pk.get_default(),
    }
    try:
        with connection.cursor() as cursor:
            cursor.execute(_IS_NOTED, values)
            if cursor.fetchone() == (True,):
                return
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_NOTE, values)
            note_id, entry_id = cursor.fetchone()
            if entry_id is None:
                tenant = Tenant.objects.filter(pk=tenant_id).first() if tenant_id else None
                entry = audit.record(
                    OF_ONE if tenant else OF_SEVERAL,
                    actor=user,
                    subject=tenant or user,
                    tenant=tenant,
                    hour=values["hour"].isoformat(),
                    read=[kind],
                )
                StaffRead.unscoped.filter(pk=note_id).update(entry_id=entry.pk)
    except DatabaseError:
        log.exception("staff_read_not_noted", person=str(user.pk), tenant=str(tenant_id), read=kind)
