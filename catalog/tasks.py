"""Work of the catalog that a timer starts. Any task may run twice."""

from __future__ import annotations

from celery import shared_task

from catalog import digests, escalation, grant_ends, grant_owners
from catalog.actions import planned_changes
from core.scope import platform_scope

SCHEDULE = {
    "put-changes-into-effect": {
        "task": "catalog.tasks.put_changes_into_effect",
        "schedule": 30.0,
        "options": {"expire_seconds": 30},
    },
    "tell-of-changes": {
        "task": "catalog.tasks.tell_of_changes",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "tell-of-grants-that-end": {
        "task": "catalog.tasks.tell_of_grants_that_end",
        "schedule": 600.0,
        "options": {"expire_seconds": 600},
    },
    "suspend-grants-without-owner": {
        "task": "catalog.tasks.suspend_grants_without_owner",
        "schedule": 3600.0,
        "options": {"expire_seconds": 3600},
    },
    "escalate-late-reviews": {
        "task": "catalog.tasks.escalate_late_reviews",
        "schedule": 300.0,
        "options": {"expire_seconds": 300},
    },
    "send-review-digests": {
        "task": "catalog.tasks.send_review_digests",
        "schedule": 600.0,
        "options": {"expire_seconds": 600},
    },
    "go-on-with-campaigns": {
        "task": "catalog.tasks.go_on_with_campaigns",
        "schedule": 300.0,
        "options": {"expire_seconds": 300},
    },
}


@shared_task(soft_time_limit=300)
def send_review_digests() -> None:
    """Send reviewers what waits for them, at the hour that they chose."""
    with platform_scope("what waits for reviewers", is_routine=True):
        digests.send_digests()


@shared_task(soft_time_limit=300)
def tell_of_grants_that_end() -> None:
    """Tell the owners of grants that can be renewed from now on."""
    with platform_scope("grants that end soon", is_routine=True):
        grant_ends.tell_of_ends()


@shared_task(soft_time_limit=300)
def suspend_grants_without_owner() -> None:
    """Suspend grants whose owners lost their right in a way that no action followed."""
    with platform_scope("grants whose owners left", is_routine=True):
        grant_owners.suspend_the_ownerless()


@shared_task(soft_time_limit=240)
def escalate_late_reviews() -> None:
    """Pass on reviews that have been late for as long as their track says."""
    with platform_scope("escalate late reviews", is_routine=True):
        escalation.escalate_late_reviews()


@shared_task(soft_time_limit=300)
def put_changes_into_effect() -> None:
    """Put planned changes of models into effect whose time has come."""
    with platform_scope("planned changes of models", is_routine=True):
        planned_changes.put_due_into_effect()


@shared_task(soft_time_limit=300)
def tell_of_changes() -> None:
    """Tell owners of planned changes: after each commit that makes, undoes or ends one, and by the clock."""
    with platform_scope("owners of tenants that a change touches", is_routine=True):
        planned_changes.tell_of_changes()


@shared_task(soft_time_limit=420)
def go_on_with_campaigns() -> None:
    """Prepare campaigns, remind owners, and let lapse what nobody confirmed. What is left waits for the next run."""
    # That module reaches the actions, which import this one.
    from catalog import campaigns

    with platform_scope("attestation campaigns", is_routine=True):
        campaigns.go_on()
