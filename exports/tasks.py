"""Tasks for exports. A message is a hint: every task may run twice, and a sweep makes up for lost messages."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab

from core.scope import platform_scope, tenant_scope
from exports import building, files
from exports.models import Export


@shared_task
def build_export(tenant_id: str | None, export_id: str) -> None:
    """Build an export of a tenant, with only its rows in reach. Without a tenant, build one over all tenants."""
    if tenant_id is not None:
        with tenant_scope(tenant_id):
            building.build_export(export_id)
    else:
        with platform_scope("a report over all tenants, ordered by an auditor"):
            if Export.objects.across_tenants().filter(pk=export_id, tenant=None).exists():
                building.build_export(export_id)


@shared_task
def build_exports_left_alone() -> None:
    """Enqueue exports whose message was lost or whose worker died."""
    with platform_scope("find reports left alone", is_routine=True):
        left_alone = list(Export.objects.across_tenants().left_alone().values_list("tenant_id", "pk"))
    for tenant_id, pk in left_alone:
        build_export.delay(str(tenant_id) if tenant_id else None, str(pk))


@shared_task
def expire_exports() -> None:
    with platform_scope("expire reports", is_routine=True):
        files.expire_exports()


SCHEDULE = {
    "exports-build-exports-left-alone": {"task": "exports.tasks.build_exports_left_alone", "schedule": 30.0},
    "exports-expire-exports": {"task": "exports.tasks.expire_exports", "schedule": crontab(minute=17)},
}
