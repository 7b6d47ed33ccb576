"""What stops when a provider is disabled or deleted: models, tenants and calls."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db.models import Sum
from django.utils.timezone import now
from django.utils.translation import gettext as _

from billing.models import RollupTenantDay
from catalog.models import Grant
from deployments.models import Provider, RouteEntry
from tenants.signals import Impact

CALLS_OF_DAYS = 7


def models_at(provider: Provider) -> dict[UUID, str]:
    """The catalog's models that route calls to the provider, by id with their names."""
    entries = RouteEntry.objects.filter(target__provider_model__provider=provider, weight__gt=0)
    return dict(
        entries.order_by("route__model__name").values_list("route__model", "route__model__name").distinct()
    )


def only_at(provider: Provider, models: Iterable[UUID]) -> int:
    """How many of these models have no other target with a share of the calls."""
    others = RouteEntry.objects.filter(weight__gt=0).exclude(target__provider_model__provider=provider)
    return len(
        set(models) - set(others.filter(route__model__in=list(models)).values_list("route__model", flat=True))
    )


def impact_of(provider: Provider) -> list[Impact]:
    """What depends on a provider, for the page that asks before it is disabled."""
    models = models_at(provider)
    grants = Grant.objects.across_tenants().in_force().filter(model__in=models)
    tenants = grants.values("tenant").distinct().count()
    return [
        Impact(_("Models that it serves"), len(models)),
        Impact(_("Models that nothing else serves"), only_at(provider, models)),
        Impact(_("Tenants with grants on them"), tenants),
        Impact(
            _("Calls of these models in the last %(days)d days") % {"days": CALLS_OF_DAYS},
            calls_of(models.values()),
        ),
    ]


def calls_of(names: Iterable[str]) -> int:
    """The calls of models in the last days, from the rollups; those that another target served included."""
    first = now().date() - timedelta(days=CALLS_OF_DAYS - 1)
    days = RollupTenantDay.objects.across_tenants().filter(model__name__in=list(names), day__gte=first)
    return int(days.aggregate(calls=Sum("calls"))["calls"] or 0)
