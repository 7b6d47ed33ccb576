"""Scheduled tasks of billing. Every task may run twice. A later run makes up for a lost message."""

from __future__ import annotations

from datetime import UTC, date, timedelta

import structlog
from celery import shared_task
from celery.schedules import crontab
from django.db import DatabaseError, connection
from django.utils.timezone import now

from billing import folding, key_months, periods, quality
from billing.known_kinds import unknown_kinds
from core.scope import platform_scope, tenant_scope

log = structlog.get_logger(__name__)


@shared_task
def post_all_cost_lines() -> None:
    """Post the finished days of all tenants with days to post. A failure for one tenant does not hold up the others.

    Log an error about kinds of usage that nobody has described: calls that used them are not priced.
    """
    with platform_scope("find days to post"):
        tenants = periods.tenants_to_post()
    for tenant in tenants:
        try:
            with tenant_scope(tenant.pk):
                periods.post_cost_lines(tenant)
        except DatabaseError:
            log.exception("cost_lines_not_posted", tenant=tenant.slug)
    if unknown := unknown_kinds():
        log.error("usage_kinds_not_described", kinds=unknown)


@shared_task
def fold_rollups() -> None:
    """Move the newest sums into the rollups' folded tables. Until then, readers add them up."""
    with platform_scope("fold rollups", is_routine=True):
        folding.fold_rollups()


@shared_task
def sum_key_months() -> None:
    """Add days that are over to the monthly sums by key. A failure for one tenant does not hold up the others."""
    with platform_scope("find days to sum by key", is_routine=True):
        tenants = {tenant_id for tenant_id, _ in key_months.tenants_to_sum()}
    for tenant_id in sorted(tenants):
        try:
            with tenant_scope(tenant_id):
                key_months.sum_key_months(tenant_id)
        except DatabaseError:
            log.exception("key_months_not_summed", tenant=str(tenant_id))


@shared_task
def make_partitions_ahead() -> None:
    """Create the event partitions of this month and the next two. Log an error about misplaced events."""
    month = now().astimezone(UTC).date().replace(day=1)
    with connection.cursor() as cursor:
        for _ in range(3):
            cursor.execute("SELECT make_usage_partition(%s)", [month])
            month = (month + timedelta(days=32)).replace(day=1)
    if misplaced := events_without_partition():
        log.error("usage_events_without_partition", months=[f"{month:%Y-%m}" for month in misplaced])


def events_without_partition() -> list[date]:
    """Months with events in the default partition, because their own was missing on arrival. Normally none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT month FROM months_without_usage_partition() AS month")
        return sorted(month for (month,) in cursor.fetchall())


@shared_task
def note_last_use_of_keys() -> None:
    """Store on each key when it was last used, based on the calls of the last 15 minutes."""
    with platform_scope("note last use of keys", is_routine=True), connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tenants_apikey k SET last_used_at = used.at
              FROM (SELECT key_id, max(occurred_at) AS at FROM usage_event
                     WHERE occurred_at > now() - interval '15 minutes' GROUP BY key_id ORDER BY key_id) used
             WHERE k.id = used.key_id AND (k.last_used_at IS NULL OR k.last_used_at < used.at)
            """
        )


@shared_task
def measure_quality() -> None:
    """Count how the calls of today and yesterday went, for the pages of models. Calls that come later are left out."""
    today = now().astimezone(UTC).date()
    with platform_scope("measure quality", is_routine=True):
        for day in (today - timedelta(days=1), today):
            quality.measure_day(day)


SCHEDULE = {
    # Drop a message that has waited until the next one is due.
    "billing-fold-rollups": {
        "task": "billing.tasks.fold_rollups",
        "schedule": 5.0,
        "options": {"expire_seconds": 5},
    },
    "billing-post-all-cost-lines": {
        "task": "billing.tasks.post_all_cost_lines",
        "schedule": crontab(minute=7),
    },
    "billing-sum-key-months": {
        "task": "billing.tasks.sum_key_months",
        "schedule": crontab(minute=37),
    },
    "billing-make-partitions-ahead": {
        "task": "billing.tasks.make_partitions_ahead",
        "schedule": crontab(minute=3, hour="*/6"),
    },
    "billing-measure-quality": {"task": "billing.tasks.measure_quality", "schedule": crontab(minute=22)},
    "billing-note-last-use-of-keys": {"task": "billing.tasks.note_last_use_of_keys", "schedule": 60.0},
}
