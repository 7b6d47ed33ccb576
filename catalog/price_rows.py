"""The rows of a model's price list on its page."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from billing.kinds import DECLARED, Unit
from billing.known_kinds import words_of

# Number of tokens in the cost example.
_EXAMPLE = {"input": 2_000, "output": 500}


@dataclass(frozen=True)
class PriceRow:
    """A row in the list of a model's prices."""

    label: str
    price: Decimal | None
    next_price: Decimal | None
    example_tokens: int | None
    example_amount: Decimal | None


def price_rows(prices: dict[str, Decimal]) -> list[PriceRow]:
    """The rows of a model's price list: tokens per million, other units for as many as they are usually quoted for."""
    if not prices:
        return []
    labels = {
        "input": _("Input"),
        "cache_read": _("Cached input"),
        "cache_write": _("Cache writes"),
        "output": _("Output"),
        "reasoning": _("Reasoning"),
        "image": _("Images"),
        "audio": _("Audio"),
        "request": _("Per million requests"),
    }
    return [
        PriceRow(
            label=label,
            price=prices.get(kind),
            next_price=None,
            example_tokens=_EXAMPLE.get(kind),
            example_amount=_amount(prices, kind),
        )
        for kind, label in labels.items()
        if kind in prices or (kind == "input" and not prices.keys() - labels.keys())
    ] + _unit_rows({kind: price for kind, price in prices.items() if kind not in labels})


def _unit_rows(prices: dict[str, Decimal]) -> list[PriceRow]:
    """Prices of kinds that are no tokens, for as many units as they are usually quoted for."""
    declared = {str(one.kind): one for one in DECLARED}
    pictures = {kind for kind in prices if kind in declared and declared[kind].unit == Unit.IMAGE}
    rows = []
    # Nearly all providers have one price for every size.
    is_one = len(pictures) > 1 and len({prices[kind] for kind in pictures}) == 1
    for kind, per_million in prices.items():
        if is_one and kind in pictures and kind != min(pictures):
            continue
        known = declared.get(kind)
        units = known.price_for if known else 1_000_000
        words = _("Images") if is_one and kind in pictures else words_of(kind)
        rows.append(
            PriceRow(
                label=_("%(kind)s, per %(number)s")
                % {"kind": words, "number": number_format(units, force_grouping=True)},
                price=per_million * units * (known.scale if known else 1) / 1_000_000,
                next_price=None,
                example_tokens=None,
                example_amount=None,
            )
        )
    return rows


def example_of(prices: dict[str, Decimal]) -> dict[str, Any] | None:
    """The cost of one call as people know it; None without a price for it."""
    amounts = [amount for kind in _EXAMPLE if (amount := _amount(prices, kind)) is not None]
    return {"label": _("a letter of two pages"), "amount": sum(amounts)} if amounts else None


def _amount(prices: dict[str, Decimal], kind: str) -> Decimal | None:
    return prices[kind] * _EXAMPLE[kind] / 1_000_000 if kind in prices and kind in _EXAMPLE else None
