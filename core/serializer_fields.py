"""Money in the HTTP API: exact strings, never floats."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


def plain(amount: Decimal) -> str:
    """Every digit that matters, no exponent: "0.0025"."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class ExactField(serializers.Field[Any, Any, Any, Any]):
    """A Decimal as a string; null if there is no price."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


@extend_schema_field({"type": "string", "format": "decimal", "example": "41.7234"})
class MoneyField(ExactField):
    """Money, in the currency beside it."""
