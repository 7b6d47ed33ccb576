"""Models to look at beside one: a cheaper one and one with a larger context, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from django.db.models import Case, When
from django.utils.translation import gettext as _

from catalog import capabilities
from catalog.actions.access_requests import region_problem
from catalog.mix import Mix
from catalog.models import CatalogModel
from core.templatetags.qm import context_size
from tenants.models import DataClass, Tenant

# Of this price, or less: smaller differences are not worth a change.
CHEAPER: Final = Decimal("0.8")
# Times the context.
LARGER: Final = 2
# Of those that fit, so many are looked at for one that the tenant's regions allow.
_LOOKED_AT: Final = 20


@dataclass(frozen=True)
class Neighbor:
    """Another model, and why it is offered."""

    model: CatalogModel
    reason: str


def neighbors_of(model: CatalogModel, tenant: Tenant, mix: Mix) -> list[Neighbor]:
    """At most two models that do what `model` does: one costs less, one has a larger context. At most three queries.

    Both are of its kind, take data of its class and have its known capabilities; the cheaper has its context. Those
    of the same maker come first. Of several, the dearest of the cheaper ones is taken, as it is likely nearest, and the
    cheapest of those with a larger context. Models without a price, or that cost nothing, are not compared.

    Args:
        model: the model.
        tenant: whose regions they must keep to.
        mix: what a million tokens are.
    """
    cost = CatalogModel.objects.filter(pk=model.pk).values_list(mix.price(), flat=True).first()
    if not cost:
        return []
    alike, found = _alike(model, mix), []
    cheaper = alike.filter(cost__lte=cost * CHEAPER).order_by("is_foreign", "-cost", "name")
    if model.context_tokens is not None:
        cheaper = cheaper.filter(context_tokens__gte=model.context_tokens)
    if saving := _allowed(cheaper, tenant):
        percent = (100 * (1 - saving.cost / cost)).quantize(Decimal(1), ROUND_HALF_EVEN)
        words = _("%(percent)s%% cheaper for your mix of tokens, and does as much")
        found.append(Neighbor(saving, words % {"percent": percent}))
    if model.context_tokens is not None:
        larger = alike.filter(context_tokens__gte=LARGER * model.context_tokens)
        larger = larger.exclude(pk__in=[one.model.pk for one in found]).order_by("is_foreign", "cost", "name")
        if roomy := _allowed(larger, tenant):
            found.append(Neighbor(roomy, _larger(roomy, cost)))
    return found


def _alike(model: CatalogModel, mix: Mix) -> Any:
    """Other models of its kind, with what they `cost` and whether another maker's (`is_foreign`)."""
    needed = {flag: True for flag in capabilities.WORDS if model.capabilities.get(flag)}
    classes = [one for one in DataClass if one.rank >= DataClass(model.highest_data_class).rank]
    return (
        CatalogModel.objects.published()
        .filter(mode=model.mode, highest_data_class__in=classes, capabilities__contains=needed)
        .exclude(pk=model.pk)
        .annotate(cost=mix.price(), is_foreign=Case(When(maker=model.maker, then=0), default=1))
        .filter(cost__isnull=False)
    )


def _allowed(models: Any, tenant: Tenant) -> Any:
    """The first that the tenant's regions allow, with its `cost`; None if there is none."""
    return next((one for one in models[:_LOOKED_AT] if not region_problem(tenant, one)), None)


def _larger(model: Any, cost: Decimal) -> str:
    size = context_size(model.context_tokens)
    times = (model.cost / cost).quantize(Decimal("0.1"), ROUND_HALF_EVEN)
    if times == 1:
        return _("Context of %(size)s tokens for about the same price") % {"size": size}
    return _("Context of %(size)s tokens for %(times)s times the price") % {
        "size": size,
        "times": f"{times.normalize():f}",
    }
