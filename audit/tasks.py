"""The audit log by the clock. A message is a hint: a task may run twice; the next tick repairs what one missed."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab


@shared_task
def checkpoint_audit_log() -> None:
    """Write checkpoints of new entries, and anchor them outside."""
    from audit import checkpoints

    checkpoints.checkpoint_pending_entries()
    anchor_audit_checkpoints.delay()


@shared_task
def anchor_audit_checkpoints() -> None:
    """Write the checkpoints that the store outside does not hold yet. They belong to no tenant: no scope is needed."""
    from audit import anchors

    anchors.anchor_checkpoints()


@shared_task
def prune_audit_log() -> None:
    """Let entries go that have outlived AUDIT_RETENTION_DAYS, fifty checkpoints a run."""
    from audit import retention

    retention.prune_old_entries()


SCHEDULE = {
    "checkpoint-audit-log": {"task": "audit.tasks.checkpoint_audit_log", "schedule": 60.0},
    "prune-audit-log": {
        "task": "audit.tasks.prune_audit_log",
        "schedule": crontab(minute="*/20", hour="2-4"),
    },
}
