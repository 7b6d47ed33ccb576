"""Which models gateways serve now, and which kinds of model they can serve at all.

Routes and gateways belong to packages above this one. The package `gateway` registers here at start what it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from catalog.models import AccessRequest, CatalogModel, Grant, RequestItem
from catalog.modes import mode_label
from tenants.models import DataClass, Tenant

# By model, the highest class of data with which a tenant's calls get an answer. Models that are missing get none.
Reach = Mapping[UUID, DataClass]


@dataclass(frozen=True)
class Serving:
    """What the package that knows gateways says of models."""

    # The modes for which the gateway has an endpoint.
    modes: frozenset[str]
    # By tenant, its reach among the models with these ids; None: all models. One query.
    reach: Callable[[Collection[Tenant], Collection[UUID] | None], Mapping[UUID, Reach]]
    # By model, the regions in which calls get an answer, whoever makes them. Missing: none do. One query.
    regions: Callable[[Collection[UUID]], Mapping[UUID, frozenset[str]]]
    # The revision that each gateway that is alive has acknowledged. One query.
    acknowledged: Callable[[], list[int]]


_registered: list[Serving] = []


def register(serving: Serving) -> None:
    """Register what is known of gateways. Call this from AppConfig.ready; the last call counts."""
    _registered[:] = [serving]


def reach_of(
    tenants: Collection[Tenant], models: Iterable[CatalogModel] | None = None
) -> Mapping[UUID, Reach]:
    """By tenant and model, the highest class of data with which calls get an answer now. One query.

    A model is there if its route sends calls to a target with an address that may serve the tenant, and a gateway that
    is alive has acknowledged that. Grants are another matter. None as `models` means all.
    """
    return _registered[0].reach(tenants, None if models is None else [model.pk for model in models])


def regions_served(models: Collection[UUID]) -> Mapping[UUID, frozenset[str]]:
    """By model, the regions in which calls get an answer now, whoever makes them; empty if none are stated. One query.

    Models that are missing get no answer.
    """
    return _registered[0].regions(models)


def within(reach: Reach, data_class: str) -> Q:
    """The condition on rows with a `model` that calls with data of the class in the column get an answer."""
    found = Q(pk__in=[])
    for highest in DataClass:
        if models := [pk for pk, reached in reach.items() if reached == highest]:
            found |= Q(**{"model__in": models, f"{data_class}__in": highest.and_lower})
    return found


def answered(reach: Mapping[UUID, Reach]) -> Q:
    """The condition on grants in force that gateways answer the calls of their projects to their models now.

    A project may send data of the highest class that its grants for a model allow. Gateways then call only targets that
    may receive it. `reach` is by tenant.
    """
    found = Q(pk__in=[])
    for tenant, models in reach.items():
        found |= Q(within(models, "item__data_class"), tenant=tenant)
    same = Grant.objects.across_tenants().in_force()
    higher = same.filter(project=OuterRef("project"), model=OuterRef("model")).exclude(found)
    return found & ~Q(Exists(higher))


def why_unserved(model: CatalogModel, tenant: Tenant, data_class: str = DataClass.PUBLIC) -> str:
    """What pages say if calls of the tenant to the model get no answer, with such data; else empty. One query."""
    return unserved_words(reach_of([tenant], [model])[tenant.pk].get(model.pk), data_class)


def why_item_unserved(item: RequestItem, tenant: Tenant) -> str:
    """The same for a project that gets what it asks for, beside the grants for the model that it has. Two queries."""
    grants = Grant.objects.in_tenant(tenant).in_force().filter(project=item.project, model=item.model)
    classes = grants.values_list("item__data_class", flat=True)
    highest = max(map(DataClass, [item.data_class, *classes.distinct()]), key=lambda one: one.rank)
    return why_unserved(item.model, tenant, highest)


def why_request_unserved(access_request: AccessRequest) -> str:
    """The same for all items of a request: what is to be said of each, with its name if there are several."""
    items = access_request.named_items()
    said = [(item, why_item_unserved(item, access_request.tenant)) for item in items]
    if len(items) == 1:
        return said[0][1]
    return "; ".join(f"{item}: {words}" for item, words in said if words)


def unserved_words(reached: DataClass | None, data_class: str) -> str:
    """What pages say if `reached` is the highest class of data that gets an answer; empty if `data_class` gets one."""
    if reached is None:
        return nothing_serves()
    wanted = DataClass(data_class)
    if wanted.rank <= reached.rank:
        return ""
    return _("Nothing serves this for %(class)s data yet") % {"class": wanted.label.lower()}


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
        "mode": mode_label(model.mode).lower(),
        "model": model.title,
    }


def nothing_serves() -> str:
    """What every page says of a model that is not served. The gateway answers calls to it with 404."""
    return _("Nothing serves this yet")
