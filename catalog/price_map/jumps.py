"""Large price changes since the last import. Someone should check whether a unit is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

# Providers cut prices by half or two thirds. A fivefold step is rare, and a wrong unit changes a price a thousandfold.
FACTOR: Final = Decimal(5)


def jumps_between(before: Mapping[str, Decimal], after: Mapping[str, Decimal]) -> str:
    """A text with the prices, by kind, that changed by `FACTOR` or more, became free or priced, appeared or vanished.

    Prices are per million. The text is empty if nothing jumped or if there was no price at all before.
    """
    return "; ".join(_jumps(before, after)) if before else ""


def _jumps(before: Mapping[str, Decimal], after: Mapping[str, Decimal]) -> Iterator[str]:
    for kind in sorted(before.keys() | after.keys()):
        old, new = before.get(kind), after.get(kind)
        if old is None and new is not None:
            yield f"{kind} had no price, now {_plain(new)}"
        elif old is not None and new is None:
            yield f"{kind} {_plain(old)}, now without a price"
        elif old is None or new is None or old == new:
            continue
        elif not old or not new:
            yield f"{kind} {_plain(old)} → {_plain(new)}"
        elif max(old, new) >= FACTOR * min(old, new):
            times = (max(old, new) / min(old, new)).quantize(Decimal("0.1"))
            yield f"{kind} {_plain(old)} → {_plain(new)} ({'×' if new > old else '÷'}{_plain(times)})"


def decimals(prices: Mapping[str, str]) -> dict[str, Decimal]:
    """An offer's prices, converted from strings to numbers."""
    return {kind: Decimal(price) for kind, price in prices.items()}


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
