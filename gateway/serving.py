"""Which models gateways serve now: routed, and acknowledged by a gateway that is alive (see catalog/serving.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Subquery

from catalog.serving import Serving
from deployments.models import RouteEntry
from deployments.providers.dialects import DIALECTS
from deployments.reach import Audience, highest_of
from deployments.runtimes import takes
from gateway.contract import SERVED_MODES
from gateway.models import Gateway
from tenants.models import DataClass, Tenant


def reach(
    tenants: Collection[Tenant], models: Collection[UUID] | None = None
) -> dict[UUID, dict[UUID, DataClass]]:
    """By tenant and model, the highest class of data with which some gateway answers the tenant's calls. One query."""
    audiences = _audiences(models)
    found = {
        tenant.pk: {model: highest_of(those, tenant) for model, those in audiences.items()}
        for tenant in tenants
    }
    return {
        tenant: {model: highest for model, highest in each.items() if highest is not None}
        for tenant, each in found.items()
    }


def served_regions(models: Collection[UUID]) -> dict[UUID, frozenset[str]]:
    """The regions in which gateways get answers for these models, whoever may call; no regions are stated: empty.

    Models that are missing get no answer at all. One query.
    """
    return {
        model: frozenset(region for one in those for region in one.regions)
        for model, those in _audiences(models).items()
    }


def _audiences(models: Collection[UUID] | None) -> dict[UUID, set[Audience]]:
    """By model, what the targets that some gateway calls say of whom they serve; None: of all models.

    Gateways acknowledge revisions in order, so the largest acknowledged one is what counts.
    """
    acknowledged = (
        Gateway.objects.alive().order_by("-acknowledged_revision").values("acknowledged_revision")[:1]
    )
    entries = RouteEntry.objects.with_calls(until=Subquery(acknowledged)).exclude(_without_endpoint())
    entries = entries.filter(route__model__mode__in=sorted(SERVED_MODES))
    if models is not None:
        entries = entries.filter(route__model__in=models)
    audiences: dict[UUID, set[Audience]] = defaultdict(set)
    rows: QuerySet[RouteEntry, Any] = entries.order_by().values_list(
        "route__model",
        "target__deployment__cluster__region",
        "target__provider_model__provider__regions",
        "target__provider_model__provider__highest_data_class",
        F("is_closed"),
        "target__deployment__only_tenant",
        "route__model__mode",
        "target__deployment__version__endpoints",
        "target__deployment__version__image",
        "target__deployment__version__command",
        "target__deployment__applied_image",
        "target__deployment__applied_command",
    )
    for model, region, regions, highest, is_closed, only_tenant, mode, stated, *programs in rows:
        # As gateway/targets.py decides it.
        if stated is not None and not takes(mode, stated, *programs):
            continue
        audiences[model].add(
            Audience(
                regions=tuple(([region] if region else []) if regions is None else regions),
                highest_data_class=DataClass(highest or DataClass.RESTRICTED),
                is_closed=is_closed,
                only_tenant=only_tenant,
            )
        )
    return audiences


def _without_endpoint() -> Q:
    """The condition on RouteEntry that its provider's dialect has no endpoint for its model (gateway/targets.py)."""
    found = Q(pk__in=[])
    own, listed = "target__provider_model__model__mode", "target__provider_model__mode"
    for mode in SERVED_MODES:
        lacking = [slug for slug, dialect in DIALECTS.items() if not dialect.takes(mode)]
        of_mode = Q(**{listed: mode}) | Q(**{listed: "", own: mode})
        found |= Q(target__provider_model__provider__dialect__in=lacking) & of_mode
    return found


def acknowledged() -> list[int]:
    """The revision that each gateway that is alive has acknowledged."""
    return list(Gateway.objects.alive().values_list("acknowledged_revision", flat=True))


SERVING = Serving(modes=SERVED_MODES, reach=reach, regions=served_regions, acknowledged=acknowledged)
