"""Models to look at beside one: a cheaper one and one with a larger context, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from django.db.models import Case, When
from django.utils.translation import gettext as _

from catalog import capabilities
from catalog.mix import Mix
from catalog.models import CatalogModel
from catalog.request_problems import region_problem
from core.joined import listed
from core.templatetags.qm import context_size
from tenants.models import DataClass, Tenant

# Of this price, or less: smaller differences are not worth a change.
CHEAPER: Final = Decimal("0.8")
# Times the context.
LARGER: Final = 2
# Of those that fit, so many are looked at for one that the tenant's regions allow.
_LOOKED_AT: Final = 20


# Without one of these a model does not do the same work. What else it lacks, is said.
NEEDED: Final = ("function_calling", "vision", "reasoning")


@dataclass(frozen=True)
class Neighbor:
    """Another model, why it is offered, and what it lacks in words; empty if nothing is known."""

    model: CatalogModel
    reason: str
    lacks: str


def neighbors_of(model: CatalogModel, tenant: Tenant, mix: Mix) -> list[Neighbor]:
    """At most two models for the work of `model`: one costs less, one has a larger context. At most three queries.

    Both are of its kind, take data of its class and have those of its capabilities that are NEEDED; the cheaper one has
    its context. Models of the same maker come first, then those that lack little else. Of several, the dearest of the
    cheaper ones is taken, as it is likely nearest, and the cheapest of those with a larger context. Models without a
    price, or that cost nothing, are not compared.

    Args:
        model: the model.
        tenant: whose regions they must keep to.
        mix: what a million tokens are.
    """
    cost = CatalogModel.objects.filter(pk=model.pk).values_list(mix.price(), flat=True).first()
    if not cost:
        return []
    alike, found = _alike(model, tenant, mix), []
    cheaper = alike.filter(cost__lte=cost * CHEAPER).order_by("is_foreign", "-cost", "name")
    if model.context_tokens is not None:
        cheaper = cheaper.filter(context_tokens__gte=model.context_tokens)
    if saving := _best(cheaper, model, tenant):
        words = _("%(percent)s%% cheaper for your mix of tokens") % {"percent": _saved(saving.cost, cost)}
        found.append(Neighbor(saving, words, _lacks(saving, model)))
    if model.context_tokens is not None:
        larger = alike.filter(context_tokens__gte=LARGER * model.context_tokens)
        larger = larger.exclude(pk__in=[one.model.pk for one in found]).order_by("is_foreign", "cost", "name")
        if roomy := _best(larger, model, tenant):
            found.append(Neighbor(roomy, _larger(roomy, cost), _lacks(roomy, model)))
    return found


def _alike(model: CatalogModel, tenant: Tenant, mix: Mix) -> Any:
    """Other models of its kind, with what they `cost` and whether another maker's (`is_foreign`)."""
    needed = {flag: True for flag in NEEDED if model.capabilities.get(flag)}
    classes = [one for one in DataClass if one.rank >= DataClass(model.highest_data_class).rank]
    return (
        CatalogModel.objects.offered_to([tenant])
        .filter(mode=model.mode, highest_data_class__in=classes, capabilities__contains=needed)
        .exclude(pk=model.pk)
        .annotate(cost=mix.price(), is_foreign=Case(When(maker=model.maker, then=0), default=1))
        .filter(cost__isnull=False)
    )


def _best(models: Any, model: CatalogModel, tenant: Tenant) -> Any:
    """Of the first that the tenant's regions allow, the one that lacks least, with its `cost`; None: there is none."""
    allowed = [one for one in models[:_LOOKED_AT] if not region_problem(tenant, one)]
    return min(allowed, key=lambda one: (one.is_foreign, len(_missing(one, model))), default=None)


def _missing(one: CatalogModel, model: CatalogModel) -> dict[str, bool]:
    return {flag: True for flag, has in model.capabilities.items() if has and not one.capabilities.get(flag)}


def _lacks(one: CatalogModel, model: CatalogModel) -> str:
    words = capabilities.words(_missing(one, model))
    return _("Without: %(capabilities)s") % {"capabilities": listed(words)} if words else ""


def _saved(lower: Decimal, cost: Decimal) -> Decimal:
    """By how many percent the lower price is below the other; whole, and never 100 while something is paid."""
    percent = (100 * (1 - lower / cost)).quantize(Decimal(1), ROUND_HALF_EVEN)
    return min(percent, Decimal(99)) if lower else percent


def _larger(model: Any, cost: Decimal) -> str:
    size = context_size(model.context_tokens)
    times = (model.cost / cost).quantize(Decimal("0.1"), ROUND_HALF_EVEN)
    if times < 1:
        return _("Context of %(size)s tokens, and %(percent)s%% cheaper for your mix") % {
            "size": size,
            "percent": _saved(model.cost, cost),
        }
    if times == 1:
        return _("Context of %(size)s tokens for about the same price") % {"size": size}
    return _("Context of %(size)s tokens for %(times)s times the price") % {
        "size": size,
        "times": f"{times.normalize():f}",
    }
