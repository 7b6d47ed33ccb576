"""Which models gateways serve now: routed, and acknowledged by a gateway that is alive (see catalog/serving.py)."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q, Subquery

from catalog.serving import Serving
from deployments.models import RouteEntry
from deployments.providers.dialects import DIALECTS
from gateway.contract import SERVED_MODES
from gateway.models import Gateway
from tenants.models import Tenant


def condition(tenants: Collection[Tenant]) -> Q:
    """The condition on CatalogModel that some gateway sends calls of one of the tenants to an address.

    Gateways acknowledge revisions in order, so the largest acknowledged one is what counts.
    """
    acknowledged = (
        Gateway.objects.alive().order_by("-acknowledged_revision").values("acknowledged_revision")[:1]
    )
    entries = RouteEntry.objects.serving(tenants, until=Subquery(acknowledged)).exclude(_without_endpoint())
    return Q(mode__in=sorted(SERVED_MODES), pk__in=entries.values("route__model"))


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


SERVING = Serving(modes=SERVED_MODES, condition=condition, acknowledged=acknowledged)
