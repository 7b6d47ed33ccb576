"""From rows to everything that gateways must know, at one moment and in a constant number of queries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from django.db import connection, transaction

from gateway import records
from gateway.apart import Apart
from gateway.contract import CONTRACT_VERSION, CONTRACT_VERSIONS, DATA_CLASSES, ConfigSnapshot, encode
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
from gateway.proof import NotProved
from gateway.publishing import Publishing, publishable_routing
from gateway.refused import note_proved, note_refused, standing_refusal
from tenants.revision import current_revision, mark_of

T = TypeVar("T")
# At the end of a state of version 1: as `limits_classes` says.
LIMITED = "-limited"


def compile_snapshot(version: int = CONTRACT_VERSION) -> ConfigSnapshot:
    """Everything a gateway needs to know at the current revision, in one object with every key written out.

    The object is of the newest version; it is proved for gateways of `version`. What cannot be proved is replaced by
    what can, and noted (gateway/corrections.py). Raises NotProved if even that cannot be proved.

    For small platforms, tests and clients that do not accept CONFIG_TYPE; `compile_everything` never holds it all in
    memory.

    Reads within one REPEATABLE READ transaction, so that the revision and the rows are of the same moment. A change
    committed meanwhile affects neither; its own revision brings it. The number of queries does not depend on the
    number of tenants, keys and routes. Called inside a transaction, it reads what that transaction sees.
    """
    with one_moment():
        revision = current_revision()
        apart = Apart()
        sent = Publishing(publishable_routing(version), version, is_everything=True)
        found = sent.records(list(apart.tenant_records()), list(apart.project_records()))
        tenants = {tenant.id: tenant for tenant in found[0]}
        projects = {project.id: project for project in found[1]}
        limits = {record.scope_id: record.configs() for record in apart.limits_records()}
        keys = []
        for key in apart.key_records():
            project = projects.get(key.project_id)
            resolved = resolve(key, project, tenants.get(project.tenant_id) if project else None, limits)
            if resolved is not None:
                keys.append(resolved)
        snapshot = ConfigSnapshot(
            revision=revision,
            issued_at=_issued_at(),
            keys=keys,
            routes=sent.routing.routes,
            prices=sent.routing.prices,
            settings=records.settings_record(),
        )
    sent.note(revision, apart.faults)
    return snapshot


def compile_everything(version: int = CONTRACT_VERSION) -> Iterator[bytes | Message]:
    """The same as `compile_snapshot`, as gzip members of lines, in constant memory. The first comes at once.

    What it yields last is no member, but what the end of the message is made of (gateway/signing.py). What cannot be
    proved is replaced by what can, and noted (gateway/corrections.py). Raises NotProved before the end if even that
    cannot be proved.
    """
    with one_moment():
        revision = current_revision()
        apart = Apart()
        sent = Publishing(publishable_routing(version), version, is_everything=True)
        packed = Packer(sent)
        state = state_of(mark_of(revision), sent.routing, version)
        yield packed(head_of(revision, state=state), sent.routing)
        # Tenants before projects: what a project may use in version 1 depends on its tenant.
        for tenants in batches(apart.tenant_records()):
            yield packed(ConfigRecords(tenants=tenants))
        for projects in batches(apart.project_records()):
            yield packed(ConfigRecords(projects=projects))
        for limits in batches(apart.limits_records()):
            yield packed(ConfigRecords(limits=limits))
        for keys in batches(apart.key_records()):
            yield packed(ConfigRecords(keys=keys))
        yield packed.message(revision, state=state)
    sent.note(revision, apart.faults)


def prove_again() -> bool:
    """Whether the whole can be proved again, if a part was refused; gateways then get everything. Safe to repeat.

    It compiles everything, in each version of the contract, and sends it to nobody.
    """
    refusal = standing_refusal()
    if refusal is None:
        return False
    assert refusal.refused_at is not None
    for version in CONTRACT_VERSIONS:
        try:
            for _member in compile_everything(version):
                pass
        except NotProved as fault:
            note_refused([fault], current_revision())
    return note_proved(refusal.refused_at)


class Packer:
    """Packs parts of one configuration into gzip members, as they are published; and digests them."""

    def __init__(self, publishing: Publishing) -> None:
        self._published = publishing
        self._digest = hashlib.sha256()

    def __call__(self, *parts: ConfigPart) -> bytes:
        """A member with these parts."""
        text = lines_of([self._published(part) for part in parts])
        self._digest.update(text)
        return compressed(text)

    def message(self, revision: int, *, state: str, after: int | None = None) -> Message:
        """What was packed, for the end of the message."""
        self._published(ConfigEnd(revision=revision))
        return Message(self._published.version, revision, after, state, self._digest.digest())


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
