"""Scheduled cleanup. A message is only a hint, and the row is the truth: any task may run twice."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab

from accounts import idempotency, sessions


@shared_task(soft_time_limit=120)
def clear_expired_sessions() -> None:
    """Delete the rows of expired sessions."""
    sessions.clear_expired_sessions()


@shared_task(soft_time_limit=120)
def clear_idempotency_records() -> None:
    """Delete answers to idempotent requests that no client will repeat any more."""
    idempotency.clear_idempotency_records()


SCHEDULE = {
    "clear-expired-sessions": {
        "task": "accounts.tasks.clear_expired_sessions",
        "schedule": crontab(minute="17"),
    },
    "clear-idempotency-records": {
        "task": "accounts.tasks.clear_idempotency_records",
        "schedule": crontab(minute="37"),
    },
}
