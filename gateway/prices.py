"""Prices for gateways, for money limits only. The ledger prices every call itself, exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from django.db.models import Q

from billing.models import Price
from gateway.contract import NANO, PriceConfig

MILLION = 1_000_000


def prices_of(models: Iterable[str]) -> list[PriceConfig]:
    """The current prices of `models` for every kind of usage, in one query; an unpriced kind is missing."""
    rows = (
        Price.objects.in_force()
        .filter(sku__model__name__in=list(models))
        .order_by("sku__model__name", "sku__kind")
        .values_list("sku__model__name", "currency", "sku__kind", "per_million")
    )
    by_model: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for model, currency, kind, per_million in rows:
        by_model[model, currency][kind] = nano_per_unit(per_million)
    return [
        PriceConfig(model=model, currency=currency, nano_per_unit=prices)
        for (model, currency), prices in by_model.items()
    ]


def nano_per_unit(per_million: Decimal) -> int:
    """A price per million as whole nano-units per unit, rounded up, so that a limit never lets more through."""
    return int((per_million * NANO / MILLION).to_integral_value(ROUND_CEILING))


def has_price_change_between(since: datetime, until: datetime) -> bool:
    """Whether a price began or ended after `since` and no later than `until`."""
    return Price.objects.filter(
        Q(valid__startswith__gt=since, valid__startswith__lte=until)
        | Q(valid__endswith__gt=since, valid__endswith__lte=until)
    ).exists()
