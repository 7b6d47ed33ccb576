"""Deployment work that a message or a timer starts. Tasks carry ids and hold no rules."""

from __future__ import annotations

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from core.scope import platform_scope
from deployments import actions, judgment, provider_refresh, provider_rotation
from deployments.cluster.base import TemporaryClusterError
from deployments.connection import try_cluster

# A worker knows the tasks that are imported here.
__all__ = ["try_cluster"]
SCHEDULE = {
    # A message that still waits when the next one is sent is worthless: this drops it.
    "reconcile-stale-deployments": {
        "task": "deployments.tasks.reconcile_stale_deployments",
        "schedule": 5.0,
        "options": {"expire_seconds": 5},
    },
    "judge-engines": {
        "task": "deployments.tasks.judge_engines",
        "schedule": 10.0,
        "options": {"expire_seconds": 10},
    },
    "watch-engines": {
        "task": "deployments.tasks.watch_engines",
        "schedule": 2.0,
        "options": {"expire_seconds": 2},
    },
    "erase-ended-credentials": {
        "task": "deployments.tasks.erase_ended_credentials",
        "schedule": 300.0,
        "options": {"expire_seconds": 300},
    },
    "refresh-providers": {
        "task": "deployments.tasks.refresh_providers",
        "schedule": 300.0,
        "options": {"expire_seconds": 300},
    },
}


@shared_task(
    autoretry_for=[TemporaryClusterError],
    max_retries=3,
    # 2, 4, 8 seconds, with jitter; afterwards the sweep asks every minute.
    retry_backoff=2,
    retry_backoff_max=30,
    soft_time_limit=60,
)
def reconcile_deployment(pk: str) -> None:
    """Make the cluster match one deployment. A cluster that takes too long counts as away."""
    with platform_scope("reconcile a deployment", is_routine=True):
        try:
            actions.reconcile(pk)
        except SoftTimeLimitExceeded:
            actions.note_too_slow(pk)


@shared_task(soft_time_limit=30)
def reconcile_stale_deployments() -> None:
    """Start what lost messages and killed workers left undone."""
    with platform_scope("reconcile what is due", is_routine=True):
        actions.reconcile_what_is_due()


@shared_task(soft_time_limit=30)
def judge_engines() -> None:
    """Notify gateways of engines whose judgment has changed."""
    with platform_scope("judge engines", is_routine=True):
        judgment.judge_all()


@shared_task(soft_time_limit=30)
def watch_engines() -> None:
    """Follow engines of this machine that died and came back."""
    with platform_scope("watch engines", is_routine=True):
        actions.watch_engines()


@shared_task(soft_time_limit=30)
def erase_ended_credentials() -> None:
    """Erase credentials of providers whose deadline has passed."""
    with platform_scope("erase ended credentials", is_routine=True):
        provider_rotation.erase_ended_credentials()


@shared_task(soft_time_limit=150)
def refresh_providers() -> None:
    """Read lists of models of providers that are old."""
    with platform_scope("read providers' lists of models", is_routine=True):
        provider_refresh.refresh_due_providers()
