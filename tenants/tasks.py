"""Webhooks, and the cleanup of what they were sent. A message is only a hint, and the row is the truth."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab

from tenants.webhooks import sending


@shared_task(soft_time_limit=420)
def send_webhooks_due() -> None:
    """Send what waits for webhooks: after each commit that something waits since, and by the clock for the rest."""
    sending.send_webhooks_due()


@shared_task
def clear_settled_deliveries() -> None:
    """Delete what webhooks were sent long ago."""
    sending.clear_settled_deliveries()


SCHEDULE = {
    "send-webhooks-due": {"task": "tenants.tasks.send_webhooks_due", "schedule": 30.0},
    "clear-settled-deliveries": {
        "task": "tenants.tasks.clear_settled_deliveries",
        "schedule": crontab(hour="3", minute="47"),
    },
}
