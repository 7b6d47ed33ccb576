"""What billing does when a tenant is suspended, and the impact that it reports beforehand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils.timezone import now
from django.utils.translation import gettext as _

from billing.cost_reports import COSTS
from billing.costs import today_of
from billing.models import RollupHour
from exports.actions import stop_exports
from exports.models import Export
from exports.stored_sentences import TENANT_WAS_SUSPENDED
from tenants.models import Tenant
from tenants.signals import Impact


def stop_cost_reports(sender: Any, *, tenant: Tenant, **kwargs: Any) -> None:
    """End cost reports that are queued or being built. Their workers notice when they next report progress.

    Exports of the audit log continue, because people who investigate the suspension need them.
    """
    stop_exports(
        Export.objects.in_tenant(tenant).of_kinds(COSTS.name),
        error=TENANT_WAS_SUSPENDED(tenant=tenant.name),
    )


def count_stakes(sender: Any, *, tenant: Tenant, **kwargs: Any) -> list[Impact]:
    """The tenant's calls in the last 24 hours and its unfinished reports."""
    since = now() - timedelta(days=1)
    months = {today_of(tenant, moment).replace(day=1) for moment in (since, now())}
    hours = RollupHour.objects.in_tenant(tenant).filter(
        period__in=months, hour__gte=since.replace(minute=0, second=0, microsecond=0)
    )
    reports = Export.objects.in_tenant(tenant).of_kinds(COSTS.name).unfinished()
    return [
        Impact(_("Calls in the last 24 hours"), hours.aggregate(calls=Sum("calls"))["calls"] or 0),
        Impact(_("Reports in progress"), reports.count()),
    ]
