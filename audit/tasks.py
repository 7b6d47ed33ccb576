"""Scheduled tasks of the audit log. A message is only a hint: a task may run twice, and the next run catches up."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab


@shared_task
def checkpoint_audit_log() -> None:
    """Write checkpoints of new entries, and anchor them in the external store."""
    from audit import checkpoints

    checkpoints.checkpoint_pending_entries()
    anchor_audit_checkpoints.delay()


@shared_task
def anchor_audit_checkpoints() -> None:
    """Write checkpoints that the external store does not have yet. They have no tenant, so this needs no scope."""
    from audit import anchors

    anchors.anchor_checkpoints()


@shared_task
def prune_audit_log() -> None:
    """Delete entries older than AUDIT_RETENTION_DAYS, fifty checkpoints per run."""
    from audit import retention

    retention.prune_old_entries()


SCHEDULE = {
    "checkpoint-audit-log": {"task": "audit.tasks.checkpoint_audit_log", "schedule": 60.0},
    "prune-audit-log": {
        "task": "audit.tasks.prune_audit_log",
        "schedule": crontab(minute="*/20", hour="2-4"),
    },
}
