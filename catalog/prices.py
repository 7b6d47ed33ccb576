"""The catalog's queries to billing: list prices of models, and the cost of a volume."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.utils.timezone import now

from billing.models import Price
from billing.prices import (
    Estimate,
    current_prices,
    estimate_monthly_cost,
    lock_prices,
    publish_price_book,
)

__all__ = ["Estimate", "list_prices", "lock_prices", "monthly_cost", "publish_list_prices"]

list_prices = current_prices
monthly_cost = estimate_monthly_cost


def publish_list_prices(
    prices: dict[str, dict[str, Decimal]], *, reason: str, valid_from: datetime | None = None
) -> tuple[int, dict[str, str]]:
    """Publish list prices (US dollars per million, by model and token kind).

    A model's first prices apply from the hour of `valid_from` on (default: the current hour). Changed prices
    apply from the next hour on. A model without prices stays unchanged, and so does a model whose price a person
    has published. Returns the number of new or changed prices, and by model the reason for rejected prices.
    """
    wanted = {name: kinds for name, kinds in prices.items() if kinds}
    by_people = Price.objects.filter(valid__upper_inf=True, created_by__isnull=False)
    kept = set(by_people.filter(sku__model__name__in=wanted).values_list("sku__model__name", flat=True))
    report = publish_price_book(
        [(name, kinds) for name, kinds in wanted.items() if name not in kept],
        valid_from=valid_from or now(),
        reason=reason,
    )
    return report.first + report.changed, dict(report.refused)
