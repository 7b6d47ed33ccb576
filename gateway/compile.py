"""From rows to everything that gateways must know, at one moment and in a constant number of queries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from catalog.models import CatalogModel, Grant
from gateway import records
from gateway.contract import CONTRACT_VERSION, DATA_CLASSES, ConfigSnapshot, encode
from gateway.contract import v1_config as v1
from gateway.contract.signatures import Message
from gateway.contract.stream import (
    RECORDS_IN_A_LINE,
    ConfigEnd,
    ConfigHead,
    ConfigPart,
    ConfigRecords,
    ConfigRouting,
    compressed,
    lines_of,
    resolve,
)
from gateway.contract.versions import Downgrade
from gateway.prices import prices_of
from gateway.proof import Proof
from gateway.used import limits_on
from tenants.revision import current_revision, mark_of

T = TypeVar("T")
# At the end of a state of version 1: as `limits_classes` says.
LIMITED = "-limited"


def compile_snapshot(version: int = CONTRACT_VERSION) -> ConfigSnapshot:
    """Everything a gateway needs to know at the current revision, in one object with every key written out.

    The object is of the newest version; it is proved for gateways of `version`. Raises NotProved.

    For small platforms, tests and clients that do not accept CONFIG_TYPE; `compile_everything` never holds it all in
    memory.

    Reads within one REPEATABLE READ transaction, so that the revision and the rows are of the same moment. A change
    committed meanwhile affects neither; its own revision brings it. The number of queries does not depend on the
    number of tenants, keys and routes. Called inside a transaction, it reads what that transaction sees.
    """
    with one_moment():
        revision = current_revision()
        tenants = {tenant.id: tenant for tenant in records.tenant_records()}
        projects = {project.id: project for project in records.project_records()}
        limits = {record.scope_id: record.configs() for record in limits_on()}
        keys = []
        for key in records.key_records():
            project = projects.get(key.project_id)
            resolved = resolve(key, project, tenants.get(project.tenant_id) if project else None, limits)
            if resolved is not None:
                keys.append(resolved)
        routing = routing_now()
        proved = prover(routing, version, is_everything=True)
        proved(ConfigRecords(tenants=list(tenants.values())))
        proved(ConfigRecords(projects=list(projects.values())))
        return ConfigSnapshot(
            revision=revision,
            issued_at=_issued_at(),
            keys=keys,
            routes=routing.routes,
            prices=routing.prices,
            settings=records.settings_record(),
        )


def compile_everything(version: int = CONTRACT_VERSION) -> Iterator[bytes | Message]:
    """The same as `compile_snapshot`, as gzip members of lines, in constant memory. The first comes at once.

    What it yields last is no member, but what the end of the message is made of (gateway/signing.py).
    Raises NotProved before the end.
    """
    with one_moment():
        revision = current_revision()
        routing = routing_now()
        packed = Packer(routing, version, is_everything=True)
        state = state_of(mark_of(revision), routing, version)
        yield packed(head_of(revision, state=state), routing)
        # Tenants before projects: what a project may use in version 1 depends on its tenant.
        for tenants in batches(records.tenant_records()):
            yield packed(ConfigRecords(tenants=tenants))
        for projects in batches(records.project_records()):
            yield packed(ConfigRecords(projects=projects))
        for limits in batches(limits_on()):
            yield packed(ConfigRecords(limits=limits))
        for keys in batches(records.key_records()):
            yield packed(ConfigRecords(keys=keys))
        yield packed.message(revision, state=state)


class Packer:
    """Packs parts of one configuration, in one version of the contract, into gzip members; and digests them.

    It raises NotProved for a part that would permit more than the rows do.
    """

    def __init__(self, routing: ConfigRouting, version: int, *, is_everything: bool) -> None:
        self._version = version
        self._proved = prover(routing, version, is_everything=is_everything)
        self._digest = hashlib.sha256()

    def __call__(self, *parts: ConfigPart) -> bytes:
        """A member with these parts."""
        text = lines_of([self._proved(part) for part in parts])
        self._digest.update(text)
        return compressed(text)

    def message(self, revision: int, *, state: str, after: int | None = None) -> Message:
        """What was packed, for the end of the message."""
        self._proved(ConfigEnd(revision=revision))
        return Message(self._version, revision, after, state, self._digest.digest())


def prover(
    routing: ConfigRouting, version: int, *, is_everything: bool
) -> Callable[[ConfigPart], ConfigPart | v1.ConfigPart]:
    """A function that turns parts of one configuration into that version, and proves each as gateways get it."""
    proof = Proof(routing, version, is_everything=is_everything)
    downgrade = None if version == CONTRACT_VERSION else Downgrade(routing.routes)

    def proved(part: ConfigPart) -> ConfigPart | v1.ConfigPart:
        sent = part if downgrade is None else downgrade.part(part)
        proof.take(sent)
        return sent

    return proved


@contextmanager
def one_moment() -> Iterator[None]:
    """A read-only transaction in which every query sees the same committed state."""
    is_outermost = not connection.in_atomic_block
    if is_outermost:
        # This sends the scope to the server, which would otherwise be the first query of the transaction.
        connection.cursor().close()
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # We read all rows, not the first few; JIT compilation would take longer than the statements themselves.
                cursor.execute(
                    "SET LOCAL cursor_tuple_fraction = 1; SET LOCAL jit = off; SET LOCAL work_mem = '64MB'"
                )
        yield


def head_of(revision: int, *, state: str, after: int | None = None) -> ConfigHead:
    """The beginning of a message."""
    return ConfigHead(
        revision=revision,
        issued_at=_issued_at(),
        after=after,
        state=state,
        settings=records.settings_record(),
    )


def routing_now() -> ConfigRouting:
    """All routes, and the prices of models that are routed or granted."""
    routes = records.routes()
    granted = Grant.objects.across_tenants().in_force().filter(model=OuterRef("pk"))
    models = {route.model for route in routes}
    models.update(CatalogModel.objects.filter(Exists(granted)).values_list("name", flat=True))
    return ConfigRouting(routes=routes, prices=prices_of(models))


def state_of(mark: str, routing: ConfigRouting, version: int) -> str:
    """The state that a gateway sends back: the revision, its routes and prices, and the version of the contract."""
    if not mark:
        return ""
    digest = hashlib.sha256(encode(routing)).hexdigest()[:16]
    # Consoles of version 1 wrote no version.
    if version == 1:
        return f"{mark}.{digest}{LIMITED if limits_classes(routing) else ''}"
    return f"{mark}.{digest}.{version}"


def limits_classes(routing: ConfigRouting) -> bool:
    """Whether some target may not receive every class of data, so that in version 1 a project may lack a model."""
    targets = (target for route in routing.routes for target in route.targets)
    return any(target.highest_data_class != DATA_CLASSES[-1] for target in targets)


def _issued_at() -> str:
    return datetime.now(UTC).isoformat()


def batches(found: Iterable[T]) -> Iterator[list[T]]:
    """Split `found` into lists, one for each line."""
    rest = iter(found)
    while batch := list(islice(rest, RECORDS_IN_A_LINE)):
        yield batch
