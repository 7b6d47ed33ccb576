"""What gateways must know of prices. The ledger prices every call itself, exactly; this is for money limits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway.contract import PriceConfig


def prices_of(models: Iterable[str]) -> list[PriceConfig]:
    """Prices in force now of `models`, in one query; an unpriced kind is absent."""
    return []


def has_price_change_between(since: datetime, until: datetime) -> bool:
    """Whether a price began or ended after `since` and not after `until`."""
    return False
