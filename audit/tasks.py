"""The audit log by the clock. A message is a hint: a task may run twice; the next tick repairs what one missed."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab


@shared_task
def seal_audit_log() -> None:
    """Seal what was written, and carry the seals outside."""
    from audit import seals

    seals.seal_waiting_entries()
    export_audit_seals.delay()


@shared_task
def export_audit_seals() -> None:
    """Carry the seals that the store outside does not hold yet. Seals are no tenant's, so no scope is needed."""
    from audit import carrying

    carrying.export_seals()


@shared_task
def prune_audit_log() -> None:
    """Let entries go that have outlived AUDIT_RETENTION_DAYS, fifty seals a run."""
    from audit import retention

    retention.prune_old_entries()


SCHEDULE = {
    "seal-audit-log": {"task": "audit.tasks.seal_audit_log", "schedule": 60.0},
    "prune-audit-log": {
        "task": "audit.tasks.prune_audit_log",
        "schedule": crontab(minute="*/20", hour="2-4"),
    },
}
