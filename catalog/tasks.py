"""Catalog work by the clock."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab

from tenants import idempotency

SCHEDULE = {
    "clear-stored-answers": {"task": "catalog.tasks.clear_stored_answers", "schedule": crontab(minute="37")},
}


@shared_task(soft_time_limit=120)
def clear_stored_answers() -> None:
    """Delete the answers to idempotent requests that nobody will repeat any more."""
    idempotency.clear_stored_answers()
