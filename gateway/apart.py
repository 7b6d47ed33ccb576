"""Records of the configuration, compiled apart from the others once one of them cannot be compiled.

A row that no code can read must not keep a revoked key alive. Its own record is left out: a key, project or tenant
that gateways are not told of opens nothing. Limits that cannot be read are replaced by one that allows no call, as
without them their key, project or tenant could do more than it may. All other records are published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar
from uuid import UUID

from django.db import InterfaceError, InternalError, OperationalError
from django.db.models import Model, QuerySet

from gateway import records
from gateway.contract.stream import KeyRecord, LimitsRecord, ProjectRecord, TenantRecord
from gateway.proof import NotProved
from gateway.used import limits_on
from tenants.models import ApiKey, Project, Tenant

R = TypeVar("R", KeyRecord, ProjectRecord, TenantRecord)
Ids = Sequence[UUID] | None  # None: all
# At once. If more are at fault, so is the code or the database, and leaving all of them out would stop every call.
MOST_APART: Final = 100
AT_ONCE: Final = 2000  # ids
# The connection is lost, or its transaction is over: no record can be read any more.
_HOPELESS: Final = (OperationalError, InterfaceError, InternalError)


class Apart:
    """Compiles tenants, projects, keys and limits, and collects the faults of those that cannot be.

    Use it for one message.
    """

    def __init__(self) -> None:
        self.faults: list[NotProved] = []

    def tenant_records(self, ids: Ids = None) -> Iterator[TenantRecord]:
        """As `tenant_records`, without those that cannot be compiled."""
        return self._each(records.tenant_records, lambda one: one.id, Tenant.objects.all(), ids)

    def project_records(self, ids: Ids = None) -> Iterator[ProjectRecord]:
        """As `project_records`, without those that cannot be compiled."""
        return self._each(records.project_records, lambda one: one.id, Project.objects.across_tenants(), ids)

    def key_records(self, ids: Ids = None) -> Iterator[KeyRecord]:
        """As `key_records`, without those that cannot be compiled."""
        return self._each(records.key_records, lambda one: one.key_id, ApiKey.objects.across_tenants(), ids)

    def limits_records(self, scopes: Ids = None) -> Iterator[LimitsRecord]:
        """As `limits_on`; where limits cannot be read, one that allows no call."""
        return limits_on(scopes, unread=self._closed)

    def _closed(self, kind: str, pk: str, error: Exception) -> None:
        """Note what may make no calls. Raises the error of the last one if there are more than MOST_APART."""
        if len(self.faults) >= MOST_APART:
            raise error
        self.faults.append(
            NotProved(
                f"The limits of the {kind} {pk} cannot be read, so all its calls are refused: {error!r}.",
                **{kind: pk},
            )
        )

    def _each(
        self,
        compiled: Callable[[Ids], Iterator[R]],
        id_of: Callable[[R], str],
        rows: QuerySet[Model],
        ids: Ids,
    ) -> Iterator[R]:
        """The records, one after the other; apart from the first on that cannot be compiled.

        Args:
            compiled: the records of some rows, or of all, in the order of their ids.
            id_of: the id of a record's row.
            rows: all rows of the kind.
            ids: of the wanted rows; None for all.

        Raises the exception of the last one if more than MOST_APART cannot be compiled.
        """
        last: R | None = None
        try:
            for record in compiled(ids):
                yield record
                last = record
        except _HOPELESS:
            raise
        except Exception:
            if ids is not None:
                rows = rows.filter(pk__in=ids)
            if last is not None:
                rows = rows.filter(pk__gt=UUID(id_of(last)))
            rest = iter(list(rows.order_by("pk").values_list("pk", flat=True)))
            while some := list(islice(rest, AT_ONCE)):
                yield from self._apart(compiled, some, rows.model)

    def _apart(
        self, compiled: Callable[[Ids], Iterator[R]], ids: list[UUID], kind: type[Model]
    ) -> Iterator[R]:
        """The records of these rows, halved until those at fault stand alone."""
        try:
            found = list(compiled(ids))
        except _HOPELESS:
            raise
        except Exception as error:
            if len(ids) > 1:
                middle = len(ids) // 2
                yield from self._apart(compiled, ids[:middle], kind)
                yield from self._apart(compiled, ids[middle:], kind)
                return
            if len(self.faults) >= MOST_APART:
                raise
            name, [pk] = str(kind._meta.verbose_name), ids
            self.faults.append(
                NotProved(
                    f"The {name} {pk} cannot be compiled and opens nothing: {error!r}.", **{name: str(pk)}
                )
            )
            return
        yield from found
