"""Work on people and tenants that a message or a clock starts. Tasks carry ids and hold no rules."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab

from tenants import sessions

SCHEDULE = {
    "clear-expired-sessions": {
        "task": "tenants.tasks.clear_expired_sessions",
        "schedule": crontab(minute="17"),
    },
}


@shared_task(soft_time_limit=120)
def clear_expired_sessions() -> None:
    """Delete the rows of sessions that are over."""
    sessions.clear_expired_sessions()
