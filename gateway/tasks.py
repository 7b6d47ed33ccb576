"""Gateway work that a timer starts."""

from __future__ import annotations

from celery import shared_task

from core.scope import platform_scope
from gateway import acknowledged, actions, compile, refused_calls
from tenants.revision import forget_changes

SCHEDULE = {
    "announce-what-the-clock-changed": {
        "task": "gateway.tasks.announce_what_the_clock_changed",
        # Seconds: how late a grant or price that begins by itself may reach gateways.
        "schedule": 20.0,
        "options": {"expire_seconds": 20},
    },
    "raise-alarms-about-gateways": {
        "task": "gateway.tasks.raise_alarms",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "prove-refused-again": {
        "task": "gateway.tasks.prove_refused_again",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "forget-refusals": {
        "task": "gateway.tasks.forget_refusals",
        "schedule": 3600.0,
        "options": {"expire_seconds": 3600},
    },
}


@shared_task(soft_time_limit=30)
def announce_what_the_clock_changed() -> None:
    """Notify gateways of grants, keys and prices that began or ended by themselves; delete old changes."""
    with platform_scope("announce what the clock changed", is_routine=True):
        actions.announce_what_the_clock_changed()
        forget_changes()


@shared_task
def raise_alarms() -> None:
    """Log an error for each gateway that lags behind the newest revision, or refused one."""
    with platform_scope("alarms about gateways", is_routine=True):
        acknowledged.raise_alarms()


@shared_task
def forget_refusals() -> None:
    """Delete old reports of refused calls."""
    with platform_scope("forget refused calls", is_routine=True):
        refused_calls.forget_refusals()


@shared_task(soft_time_limit=300)
def prove_refused_again() -> None:
    """While a part of the configuration is not published, look whether the whole can be proved again."""
    with platform_scope("prove the configuration again", is_routine=True):
        compile.prove_again()
