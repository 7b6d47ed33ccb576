"""Which models gateways serve now, and which kinds of model they can serve at all.

Routes and gateways belong to packages above this one. The package `gateway` registers here at start what it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from catalog.models import CatalogModel
from tenants.models import Tenant


@dataclass(frozen=True)
class Serving:
    """What the package that knows gateways says of models."""

    # The modes for which the gateway has an endpoint.
    modes: frozenset[str]
    # The condition on CatalogModel that a gateway serves the model to one of them.
    condition: Callable[[Collection[Tenant]], Q]
    # The revision that each gateway that is alive has acknowledged. One query.
    acknowledged: Callable[[], list[int]]


_registered: list[Serving] = []


def register(serving: Serving) -> None:
    """Register what is known of gateways. Call this from AppConfig.ready; the last call counts."""
    _registered[:] = [serving]


def served_to(tenants: Collection[Tenant]) -> Q:
    """The condition on CatalogModel that calls of one of these tenants get an answer now.

    True if the model's route sends calls to a target with an address that may serve the tenant, and a gateway that is
    alive has acknowledged that. Grants are another matter.
    """
    return _registered[0].condition(tenants)


def served_among(models: Iterable[CatalogModel], tenants: Collection[Tenant]) -> set[UUID]:
    """The ids of those of `models` that gateways serve to one of the tenants. One query."""
    found = CatalogModel.objects.filter(served_to(tenants), pk__in=[model.pk for model in models])
    return set(found.values_list("pk", flat=True))


def why_unserved(model: CatalogModel, tenant: Tenant) -> str:
    """What pages say if calls of the tenant to the model get no answer now; empty if they do. One query."""
    return "" if served_among([model], [tenant]) else nothing_serves()


def acknowledged_revisions() -> list[int]:
    """The configuration revision that each gateway that is alive has acknowledged. One query."""
    return _registered[0].acknowledged()


def can_be_served(mode: str) -> bool:
    """Whether the gateway has an endpoint for models of this mode."""
    return mode in _registered[0].modes


def servable_modes() -> frozenset[str]:
    """The modes for which the gateway has an endpoint."""
    return _registered[0].modes


def mode_problem(model: CatalogModel) -> str | None:
    """Why nobody can request the model; None if the gateway has an endpoint for it."""
    if can_be_served(model.mode):
        return None
    return _("The gateway has no endpoint for %(mode)s models yet, so nobody could call %(model)s.") % {
        "mode": model.mode.replace("_", " "),
        "model": model.title,
    }


def nothing_serves() -> str:
    """What every page says of a model that is not served. The gateway answers calls to it with 404."""
    return _("Nothing serves this yet")
