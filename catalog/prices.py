"""What the catalog asks billing: list prices of models, and what a volume would cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.utils.timezone import now

from billing.prices import Estimate, publish_price_book
from billing.prices import current_prices as list_prices
from billing.prices import estimate_monthly_cost as monthly_cost
from tenants.models import User

__all__ = ["Estimate", "list_prices", "monthly_cost", "publish_list_prices"]


def publish_list_prices(
    prices: Mapping[str, Mapping[str, Decimal]], *, by: User | None, valid_from: datetime | None = None
) -> tuple[int, list[tuple[str, str]]]:
    """Make these the list prices (US dollars per million, by model and token kind).

    A model's first prices hold from `valid_from` on (default: the present hour), later versions from the next hour.
    A model with no kinds stays as it is: unpriced, or priced by an operator.

    Returns how many prices are new or changed, and the models that billing refused, with its reasons.
    """
    report = publish_price_book(
        ((name, kinds) for name, kinds in prices.items() if kinds),
        valid_from=valid_from or now(),
        reason="List price of the imported price map",
        by=by,
    )
    return report.first + report.changed, report.refused
