"""Record an action: who, as whom, what, on what, before and after, from where."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from audit.kinds_of_secrets import KINDS_OF_SECRETS
from core.context import current_origin
from core.leaks import NAMES, secret_in, without_secrets
from core.names import clean_name, show_unseen
from core.scope import current_scope, platform_scope
from core.stored_words import in_english

# The package offers these functions, so Django imports this file before it loads models: functions import the model.
if TYPE_CHECKING:
    from audit.models import AuditEntry
    from core.principals import Principal

Changes = Mapping[str, tuple[Any, Any] | list[Any]]
# JSON readers disagree on integers beyond this (RFC 8785), so we write those as text.
LARGEST_INTEGER: Final = 2**53
LONGEST_TEXT: Final = 10_000
# Rows of one INSERT.
ENTRIES_AT_ONCE: Final = 500
_OF_TENANTS: Final = """
INSERT INTO audit_auditentry (tenant_id, subject_id, subject_label, {columns})
SELECT t.id, t.id::text, left(t.name, 200), {values} FROM tenants_tenant t WHERE t.id = ANY(%s::uuid[]) ORDER BY t.id
RETURNING tenant_id, id
"""
_THEIRS: Final = {"tenant", "subject_id", "subject_label"}
_THE_DATABASES: Final = {"id", "at", "salt", "leaf_salts"}  # a trigger sets them


@dataclass(frozen=True)
class Capacity:
    """The capacity in which actions are done; `acting` sets it around them."""

    acting_as: str = ""
    on_behalf_of: Principal | None = None
    reason: str = ""
    only_in: UUID | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def holds_in(self, tenant: models.Model | None) -> bool:
        return self.only_in is None or (tenant is not None and tenant.pk == self.only_in)


_listeners: Final[list[Callable[[AuditEntry], None]]] = []
_capacity: ContextVar[Capacity] = ContextVar("audit_capacity", default=Capacity())  # noqa: B039 (frozen)


@contextmanager
def acting(
    acting_as: str,
    *,
    on_behalf_of: Principal | None = None,
    reason: str = "",
    only_in: UUID | None = None,
    **facts: Any,
) -> Iterator[None]:
    """Record every action within the block in this capacity: `delegate`, `emergency_access`, `directory`, …

    Args:
        acting_as: one of `AuditEntry.ActingAs`.
        on_behalf_of: the person for whom a delegate acts.
        reason: the actor's reason; emergency access needs one.
        only_in: id of the tenant to whose actions it applies; None: to all.
        facts: additional facts for the details of each such entry.

    Raises ValueError for a delegate of nobody, and for emergency access without a reason.
    """
    _check_capacity(acting_as, on_behalf_of, reason)
    token = _capacity.set(Capacity(acting_as, on_behalf_of, reason, only_in, facts))
    try:
        yield
    finally:
        _capacity.reset(token)


def record(
    verb: str,
    *,
    actor: Principal | None,
    subject: models.Model,
    tenant: models.Model | None = None,
    changes: Changes | None = None,
    acting_as: str = "",
    on_behalf_of: Principal | None = None,
    reason: str = "",
    **details: Any,
) -> AuditEntry:
    """Append one entry: who did what (`verb`, past tense: "api_key.claimed") to `subject`.

    Args:
        actor: None means the platform itself (a task, a sweep).
        tenant: defaults to the subject's tenant; stays None for platform-wide actions.
        changes: {field: (before, after)}; equal pairs are left out.
        acting_as: the capacity; if empty, it is derived: `staff` for platform staff who act in a tenant of which
            they are not a member, `service` for service accounts, `platform` for no actor.
        on_behalf_of: the person for whom a delegate acts.
        reason: the reason in the actor's words; required for emergency access.
        details: JSON-safe facts.

    The entry is part of the action's transaction, and permanent: the database rejects changing or deleting it.

    Raises:
        ValueError: a name that never enters the audit log (a password, a digest, a prompt), or a capacity without its
            required data. Both are programming errors.
        ValidationError: a value that is a secret, such as a key that somebody pasted into a reason.
    """
    from audit.models import AuditEntry

    if tenant is None:
        tenant = subject if subject._meta.label == "tenants.Tenant" else getattr(subject, "tenant", None)
    capacity = _capacity.get()
    if not capacity.holds_in(tenant):
        capacity = Capacity()
    capacity = replace(
        capacity,
        acting_as=acting_as or capacity.acting_as or _capacity_of(actor, tenant),
        on_behalf_of=on_behalf_of or capacity.on_behalf_of,
        reason=reason or capacity.reason,
    )
    with in_english():
        columns = _columns(verb, actor, capacity, details, changes)
        subject_label = str(subject)
    with _room_for(tenant):
        entry = AuditEntry.objects.create(
            **columns,
            tenant=tenant,
            subject_type=subject._meta.label_lower,
            subject_id=str(subject.pk),
            subject_label=clean_name(_text(subject_label), 200),
        )
    for listener in _listeners:
        listener(entry)
    return entry


def listen(listener: Callable[[AuditEntry], None]) -> None:
    """Call `listener` with each entry that `record` appends, in its transaction; an error undoes the action.

    For what repeats actions elsewhere, such as webhooks. `record_each` and `record_of_tenants` write many entries in
    one statement and call nobody. Safe to repeat.
    """
    if listener not in _listeners:
        _listeners.append(listener)


def record_each(
    verb: str,
    *,
    actor: Principal | None,
    changes: Sequence[tuple[models.Model, Changes]],
    details: Mapping[Any, Mapping[str, Any]] | None = None,
) -> None:
    """Append an entry about each of these rows, with its changes, in few statements. The rows belong to no tenant.

    Args:
        verb: what happened.
        actor: who did it.
        changes: the rows, each with what changed.
        details: by primary key, what else an entry says of its row.

    Raises what `record` raises, before anything is written.
    """
    from audit.models import AuditEntry

    capacity = _capacity.get()
    if not capacity.holds_in(None):
        capacity = Capacity()
    capacity = replace(capacity, acting_as=capacity.acting_as or _capacity_of(actor, None))
    with in_english():
        entries = [
            AuditEntry(
                **_columns(verb, actor, capacity, dict((details or {}).get(subject.pk, {})), changed),
                subject_type=subject._meta.label_lower,
                subject_id=str(subject.pk),
                subject_label=clean_name(_text(str(subject)), 200),
            )
            for subject, changed in changes
        ]
    with _room_for(None):
        AuditEntry.objects.across_tenants().bulk_create(entries, batch_size=ENTRIES_AT_ONCE)


def record_of_tenants(
    verb: str, *, actor: Principal, tenant_ids: Collection[UUID], **details: Any
) -> dict[UUID, UUID]:
    """Append the same entry about each of these tenants, as staff; return the ids of the entries by tenant.

    One statement writes all of them, or two if emergency access applies to one of the tenants. Only the tenants' ids
    are kept in memory. Ids of tenants outside the scope are skipped. Raises what `record` raises.
    """
    from audit.models import AuditEntry

    capacity = _capacity.get()
    within = {tenant_id for tenant_id in tenant_ids if capacity.only_in in (None, tenant_id)}
    written: dict[UUID, UUID] = {}
    for ids, theirs in ((within, capacity), (set(tenant_ids) - within, Capacity())):
        if ids:
            theirs = replace(theirs, acting_as=theirs.acting_as or AuditEntry.ActingAs.STAFF)
            columns = _columns(verb, actor, theirs, details, None)
            written |= _insert(AuditEntry(subject_type="tenants.tenant", **columns), ids)
    return written


def _insert(entry: AuditEntry, tenant_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Write `entry` once for each tenant."""
    inserted = [
        column for column in entry._meta.concrete_fields if column.name not in _THEIRS | _THE_DATABASES
    ]
    statement = _OF_TENANTS.format(
        columns=", ".join(str(column.column) for column in inserted), values=", ".join(["%s"] * len(inserted))
    )
    values = [column.get_db_prep_save(getattr(entry, column.attname), connection) for column in inserted]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values, list(tenant_ids)])
        return dict(cursor.fetchall())


def _columns(
    verb: str,
    actor: Principal | None,
    capacity: Capacity,
    details: Mapping[str, Any],
    changes: Changes | None,
) -> dict[str, Any]:
    """The columns of an entry, except its tenant and subject. Raises what `record` raises."""
    _check_capacity(capacity.acting_as, capacity.on_behalf_of, capacity.reason)
    origin = current_origin.get()
    return {
        "verb": verb,
        "actor": actor,
        "actor_label": actor.email if actor else "platform",
        "acting_as": capacity.acting_as,
        "on_behalf_of": capacity.on_behalf_of,
        "on_behalf_of_label": capacity.on_behalf_of.email if capacity.on_behalf_of else "",
        "reason": _text(capacity.reason)[:1000],
        "details": {_name(name): _plain(value) for name, value in {**capacity.facts, **details}.items()},
        "changes": {
            _name(field): [_plain(before), _plain(after)]
            for field, (before, after) in (changes or {}).items()
            if before != after
        },
        "request_id": without_secrets(origin.request_id)[:64],
        "trace_id": origin.trace_id,
        "address": origin.address,
        "user_agent": without_secrets(_storable(origin.user_agent))[:300],
    }


@contextmanager
def _room_for(tenant: models.Model | None) -> Iterator[None]:
    """The scope for writing an entry: an action of no tenant is outside every person's scope.

    (It may be written from any scope, but PostgreSQL returns the values it fills in, and shows only rows in scope.)
    """
    if tenant is not None or current_scope.get().is_platform:
        yield
        return
    with platform_scope("write down an action of no tenant", is_routine=True):
        yield


def difference(before: Any, after: Any, fields: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    """The differences between two states of a row, for `changes`.

    `before` and `after` are rows or mappings; None stands for a row that does not exist yet, or no longer exists.
    """
    pairs = {field: (_value(before, field), _value(after, field)) for field in fields}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}


def _value(row: Any, field: str) -> Any:
    if row is None:
        return None
    value: Any = row.get(field) if isinstance(row, Mapping) else getattr(row, field)
    return str(value) if isinstance(value, models.Model) else value


def _capacity_of(actor: Principal | None, tenant: models.Model | None) -> str:
    if actor is None:
        return "platform"
    if actor.is_service_account:
        return "service"
    if actor.is_staff and tenant is not None and not actor.memberships.filter(tenant=tenant).exists():
        return "staff"
    return "self"


def _check_capacity(acting_as: str, on_behalf_of: Principal | None, reason: str) -> None:
    from audit.models import AuditEntry

    if acting_as not in AuditEntry.ActingAs.values:
        raise ValueError(
            f"{acting_as!r} is not a capacity. Use one of {', '.join(AuditEntry.ActingAs.values)}."
        )
    if acting_as == "delegate" and on_behalf_of is None:
        raise ValueError("A delegate acts for another person: give on_behalf_of.")
    if acting_as == "emergency_access" and not reason.strip():
        raise ValueError("Emergency access needs a reason.")


def _name(name: Any) -> str:
    """The name of a fact. Raises ValueError for a name that may never be recorded, or that names a person."""
    name = str(name)
    if name.lower() in NAMES:
        raise ValueError(f"{name!r} must not enter the audit log. Record a prefix, a count or nothing.")
    if "@" in name:
        raise ValueError(
            "Names of facts must not name a person, because they cannot be erased. Put the address in a value."
        )
    return _text(name)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INTEGER else str(value)
    if isinstance(value, dict):
        return {_name(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return [_plain(inner) for inner in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    # Decimal, date, UUID: as text, never as a float.
    return _text(str(value))


def require_no_secret(text: str) -> None:
    """Raises ValidationError if a key or a token is in `text`, which then must not be stored anywhere."""
    if kind := secret_in(text):
        raise ValidationError(
            # Not translated here, where the words of the entry are in English.
            _("This text contains %(kind)s, which must stay secret. Remove it from the text, and revoke it."),
            code="secret",
            params={"kind": KINDS_OF_SECRETS[kind]},
        )


def _text(text: str) -> str:
    require_no_secret(text)
    return _storable(text)[:LONGEST_TEXT]


def _storable(text: str) -> str:
    """`text` as PostgreSQL can store it and people can read it: a mark replaces invisible characters such as NUL,
    characters that reverse the order of letters, and half characters."""
    return show_unseen(text.encode("utf-8", "replace").decode())
