"""Work on people and tenants that a message or a clock starts. Tasks carry ids and hold no rules."""

from __future__ import annotations

from celery import shared_task

from tenants.actions import due_rules

SCHEDULE = {
    "apply-due-group-rules": {"task": "tenants.tasks.apply_due_group_rules", "schedule": 60.0},
}


@shared_task(soft_time_limit=300)
def apply_due_group_rules() -> None:
    """Compute the roles of people whose groups changed; the clock repairs what a lost message left."""
    due_rules.apply_due_rules()
