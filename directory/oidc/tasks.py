"""Scheduled tasks of the provider. Tasks carry ids and contain no logic."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils.timezone import now

from core.scope import platform_scope
from directory import group_mappings
from directory.models import GroupMapping
from directory.oidc import checks
from directory.stored_sentences import GROUP_MAPPING

SCHEDULE = {
    "check-provider-identities": {
        "task": "directory.oidc.tasks.check_due_identities",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "apply-forgotten-group-mappings": {
        "task": "directory.oidc.tasks.apply_forgotten_group_mappings",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
}
FORGOTTEN_AFTER = timedelta(minutes=2)


@shared_task(soft_time_limit=60)
def check_due_identities() -> None:
    """Distribute the identities that are due among the workers, in batches."""
    if not settings.OIDC_ISSUER:
        return
    for _ in range(checks.BATCHES_A_MINUTE):
        if not (claimed := checks.claim_due_identities()):
            return
        check_identities.delay([str(pk) for pk in claimed])


@shared_task(soft_time_limit=540)
def check_identities(claimed: list[str]) -> None:
    """Ask the provider about a batch of identities."""
    checks.check_identities([UUID(pk) for pk in claimed])


@shared_task(soft_time_limit=540)
def apply_group_mapping(mapping_id: str) -> None:
    """Give the roles of a mapping that began, or remove the roles of one that ended."""
    with platform_scope("group mappings: a mapping may concern any tenant"):
        mapping = GroupMapping.objects.unapplied().filter(pk=mapping_id).select_related("tenant").first()
        if mapping is not None:
            group_mappings.apply_group_mapping(mapping, reason=GROUP_MAPPING(mapping=mapping))


@shared_task(soft_time_limit=60)
def apply_forgotten_group_mappings() -> None:
    """Enqueue the mappings whose message was lost or whose task did not finish."""
    with platform_scope("group mappings: a mapping may concern any tenant"):
        forgotten = GroupMapping.objects.unapplied().exclude(created_at__gt=now() - FORGOTTEN_AFTER)
        mappings = list(forgotten.values_list("pk", flat=True)[:100])
    for pk in mappings:
        apply_group_mapping.delay(str(pk))
