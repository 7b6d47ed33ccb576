"""The measured quality of a model in the HTTP API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from billing.quality import Spread, quality_of
from catalog.models import CatalogModel
from catalog.quality_words import rounded
from core.serializers import StrictSerializer
from tenants.models import Tenant


class SpreadSerializer(StrictSerializer):
    middle = serializers.FloatField(help_text="For half of the calls.")
    slow = serializers.FloatField(
        help_text="For 95 % of the calls: at most so many seconds, at least such a speed."
    )


class QualitySerializer(StrictSerializer):
    calls = serializers.IntegerField(help_text="The sample; of all tenants, to two digits.")
    is_own = serializers.BooleanField(help_text="Only calls of your tenant were counted.")
    failed_percent = serializers.FloatField()
    answered_in = SpreadSerializer(allow_null=True, help_text="Seconds to the end of an answer.")
    first_token_in = SpreadSerializer(allow_null=True, help_text="Seconds to the first token of a stream.")
    tokens_per_second = SpreadSerializer(allow_null=True)


def quality_for(model: CatalogModel, tenants: Sequence[Tenant]) -> dict[str, Any] | None:
    """How a model answered, as members of these tenants may know it; their own calls only if they have one tenant.

    At most two queries. Numbers have two digits that matter, because exact ones of all tenants would tell how much
    others call between two looks.
    """
    quality = quality_of(model.name, tenants[0] if len(tenants) == 1 else None)
    if quality is None:
        return None
    return {
        "calls": quality.calls if quality.is_own else rounded(quality.calls),
        "is_own": quality.is_own,
        "failed_percent": round(quality.failed_percent, 1),
        "answered_in": _spread(quality.answered_in),
        "first_token_in": _spread(quality.first_token_in),
        "tokens_per_second": _spread(quality.tokens_per_second),
    }


def _spread(spread: Spread | None) -> dict[str, float] | None:
    if spread is None:
        return None
    return {"middle": float(f"{spread.middle:.2g}"), "slow": float(f"{spread.slow:.2g}")}
