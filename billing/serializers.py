"""Costs and prices in the HTTP API. Money and prices are exact strings."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from billing.costs import DIMENSIONS
from billing.models import Price
from core.serializer_fields import MoneyField
from core.serializers import StrictModelSerializer, StrictSerializer


class UsageTotalSerializer(StrictSerializer):
    calls = serializers.IntegerField()
    unpriced_calls = serializers.IntegerField()
    estimated_calls = serializers.IntegerField(
        help_text="calls whose backend reported no usage, or an impossible one"
    )
    estimated_tokens = serializers.IntegerField(help_text="all tokens of those calls; part of `quantities`")
    tokens = serializers.IntegerField(help_text="all kinds of tokens together")
    quantities = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="whole numbers by kind of usage, without kinds that were not used; the kinds are disjoint",
    )


class UsageRowSerializer(UsageTotalSerializer):
    """Usage of one group, with only the requested dimensions."""

    day = serializers.DateField(required=False)
    month = serializers.DateField(
        required=False, format="%Y-%m", help_text="such as 2026-10; consists of the tenant's days"
    )
    model = serializers.CharField(required=False)
    project = serializers.CharField(required=False, help_text="slug")
    key = serializers.UUIDField(required=False)


class CostRowSerializer(UsageRowSerializer):
    """Usage and cost of one group. `cost` is null if nothing in it is priced; it never includes unpriced calls."""

    cost = MoneyField(allow_null=True)


class CostTotalSerializer(UsageTotalSerializer):
    cost = MoneyField(allow_null=True)


class UsageSerializer(StrictSerializer):
    tenant = serializers.CharField(help_text="slug")
    start = serializers.DateField()
    end = serializers.DateField(help_text="included")
    timezone = serializers.CharField(help_text="time zone in which the days begin")
    rows = UsageRowSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="the next rows; the total covers all pages")
    total = UsageTotalSerializer()


class CostsSerializer(UsageSerializer):
    currency = serializers.CharField()
    metered_to = serializers.DateTimeField(allow_null=True)
    final_up_to = serializers.DateField(allow_null=True)
    rows = CostRowSerializer(many=True)
    total = CostTotalSerializer()


class CostPlaceSerializer(StrictSerializer):
    """The tenant and project whose costs are shown."""

    # Of a query, which may hold what is for others.
    reads_everything = False
    tenant = serializers.SlugField(help_text="slug")
    project = serializers.SlugField(required=False, help_text="slug; default: all projects")


class CostQuerySerializer(CostPlaceSerializer):
    """The query parameters of costs/ and usage/."""

    start = serializers.DateField(help_text="first day, in the tenant's time zone")
    end = serializers.DateField(help_text="last day, included")
    group_by = serializers.CharField(
        required=False, default="day,model", allow_blank=True,
        help_text=f"comma-separated, from {', '.join(DIMENSIONS)}; empty: only the total",
    )  # fmt: skip
    page_size = serializers.IntegerField(
        required=False,
        default=1000,
        min_value=1,
        max_value=5000,
        help_text="maximum number of rows; `next` leads to more",
    )
    cursor = serializers.CharField(required=False, default="", allow_blank=True, help_text="from `next`")

    def validate_group_by(self, value: str) -> list[str]:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if unknown := [name for name in names if name not in DIMENSIONS]:
            message = _("Cannot group by %(unknown)s; choose from %(known)s.")
            words = {"unknown": ", ".join(unknown), "known": ", ".join(DIMENSIONS)}
            raise serializers.ValidationError(message % words)
        return list(dict.fromkeys(names))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["end"] < attrs["start"]:
            raise serializers.ValidationError({"end": _("The last day is before the first.")})
        if (attrs["end"] - attrs["start"]).days > 400:
            raise serializers.ValidationError({"end": _("Request at most 400 days at once.")})
        return attrs


class PriceSerializer(StrictModelSerializer[Price]):
    model = serializers.CharField(source="sku.model.name", read_only=True)
    kind = serializers.CharField(source="sku.kind", read_only=True)
    valid_from = serializers.DateTimeField(source="valid.lower", read_only=True)
    valid_until = serializers.DateTimeField(source="valid.upper", read_only=True, allow_null=True)
    per_million = MoneyField()

    class Meta:
        model = Price
        fields = (
            "id", "model", "kind", "per_million", "currency", "valid_from", "valid_until", "same_as", "reason",
            "created_at",
        )  # fmt: skip
        read_only_fields = fields
