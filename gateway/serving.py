"""Which models gateways serve now: routed, and acknowledged by a gateway that is alive (see catalog/serving.py)."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q, Subquery

from catalog.serving import Serving
from deployments.models import RouteEntry
from gateway.models import Gateway
from gateway.records import MODES
from tenants.models import Tenant


def condition(tenants: Collection[Tenant]) -> Q:
    """The condition on CatalogModel that some gateway sends calls of one of the tenants to an address.

    Gateways acknowledge revisions in order, so the largest acknowledged one is what counts.
    """
    acknowledged = (
        Gateway.objects.alive().order_by("-acknowledged_revision").values("acknowledged_revision")[:1]
    )
    entries = RouteEntry.objects.serving(tenants, until=Subquery(acknowledged))
    return Q(mode__in=sorted(MODES), pk__in=entries.values("route__model"))


def acknowledged() -> list[int]:
    """The revision that each gateway that is alive has acknowledged."""
    return list(Gateway.objects.alive().values_list("acknowledged_revision", flat=True))


SERVING = Serving(modes=MODES, condition=condition, acknowledged=acknowledged)
