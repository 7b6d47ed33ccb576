"""What the catalog's offers say that calls to providers' models cost."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import NamedTuple
from uuid import UUID

from catalog.models import Offer
from deployments.models import ProviderModel
from deployments.provider_matching import IN_CATALOG, candidates


class _Offer(NamedTuple):
    """What is compared of an offer."""

    source_key: str
    region: str
    prices: dict[str, str]


def offer_prices(models: Iterable[ProviderModel]) -> dict[UUID, dict[str, Decimal]]:
    """US dollars per million units by kind, by the id of each provider's model for which there is an offer.

    It is the offer of that provider for the catalog's model: of the same name, else one in a region of the provider,
    else the first by name. One query; none without models.
    """
    matched = [one for one in models if one.model_id is not None]
    if not matched:
        return {}
    offers: dict[tuple[UUID, str], list[_Offer]] = {}
    rows = Offer.objects.filter(model__in={one.model_id for one in matched}).order_by("source_key")
    for model, provider, *rest in rows.values_list("model_id", "provider", "source_key", "region", "prices"):
        offers.setdefault((model, provider), []).append(_Offer(*rest))
    found = {}
    for one in matched:
        assert one.model_id is not None
        dialect = one.provider.dialect
        theirs = offers.get((one.model_id, IN_CATALOG.get(dialect, dialect)), [])
        if theirs:
            exact, _ = candidates(one.name, dialect)
            regions = one.provider.regions
            best = min(theirs, key=lambda it: (it.source_key not in exact, it.region not in regions))
            found[one.pk] = _decimals(best.prices)
    return found


def _decimals(prices: dict[str, str]) -> dict[str, Decimal]:
    found = {}
    for kind, price in prices.items():
        try:
            found[kind] = Decimal(price)
        except InvalidOperation:
            continue
    return found
