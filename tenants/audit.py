"""The audit trail: one function that every action calls, in the transaction of its deed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from tenants.context import current_origin

if TYPE_CHECKING:
    from tenants.models import AuditEntry, Tenant, User


def record(
    verb: str, *, actor: User | None, subject: models.Model, tenant: Tenant | None = None, **details: Any
) -> AuditEntry:
    """Append one line: who did what (`verb`, past tense: "api_key.claimed") to `subject`.

    Args:
        actor: None means the platform itself (a task, a sweep).
        tenant: defaults to the subject's tenant; stays None for platform-wide deeds.
        details: JSON-safe facts. Never a secret, a digest or prompt content.

    The table refuses UPDATE and DELETE (trigger), so a line written is a line kept.
    """
    from tenants.models import AuditEntry, Tenant

    if tenant is None:
        tenant = subject if isinstance(subject, Tenant) else getattr(subject, "tenant", None)
    origin = current_origin.get()
    entry: AuditEntry = AuditEntry.objects.create(
        verb=verb,
        actor=actor,
        actor_label=actor.email if actor else "platform",
        tenant=tenant,
        subject_type=subject._meta.label_lower,
        subject_id=str(subject.pk),
        subject_label=str(subject)[:200],
        details={name: _plain(value) for name, value in details.items()},
        request_id=origin.request_id,
        address=origin.address,
        user_agent=origin.user_agent[:300],
    )
    return entry


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return str(value)  # Decimal, date, UUID: as written, never as a float
