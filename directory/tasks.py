"""Scheduled tasks of the directory. A message is a hint and the row is the truth: any task may run twice."""

from __future__ import annotations

from celery import shared_task

from directory.actions import due_group_mappings


@shared_task(soft_time_limit=300)
def apply_due_group_mappings() -> None:
    """Compute the roles of a batch of people whose groups changed. If more are left, another batch follows at once.

    The scheduled run picks up what a lost message left undone.
    """
    if due_group_mappings.apply_due_group_mappings():
        apply_due_group_mappings.delay()


SCHEDULE = {
    "apply-due-group-mappings": {"task": "directory.tasks.apply_due_group_mappings", "schedule": 60.0},
}
