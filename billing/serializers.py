"""What the HTTP API says about costs, prices and exports. Money and prices are strings, exact."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.costs import DIMENSIONS
from billing.forms import last_day, read_month
from billing.kinds import KINDS
from billing.models import Export, Price


def plain(amount: Decimal) -> str:
    """Every digit that matters, no exponent: "0.0025"."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class ExactField(serializers.Field[Any, Any, Any, Any]):
    """A Decimal as a string; null where nothing is priced."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


@extend_schema_field({"type": "string", "format": "decimal", "example": "41.7234"})
class MoneyField(ExactField):
    """Money, in the currency beside it."""


class QuantitiesSerializer(serializers.Serializer[Any]):
    """How much of each kind; disjoint."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {kind: serializers.IntegerField(read_only=True) for kind in KINDS}


class UsageRowSerializer(serializers.Serializer[Any]):
    """Usage of one group; only the dimensions that were asked for are there."""

    day = serializers.DateField(required=False)
    month = serializers.DateField(required=False, format="%Y-%m", help_text="2026-10; of the tenant's days")
    model = serializers.CharField(required=False)
    project = serializers.CharField(required=False, help_text="slug")
    key = serializers.UUIDField(required=False)
    calls = serializers.IntegerField()
    unpriced_calls = serializers.IntegerField()
    estimated_calls = serializers.IntegerField(
        help_text="calls whose backend did not say what it used, or said what cannot be true"
    )
    estimated_tokens = serializers.IntegerField(help_text="all tokens of those calls; part of `quantities`")
    quantities = QuantitiesSerializer()


class CostRowSerializer(UsageRowSerializer):
    """Usage and cost of one group. `cost` is null when nothing in it is priced; unpriced calls are in no cost."""

    cost = MoneyField(allow_null=True)


class UsageTotalSerializer(serializers.Serializer[Any]):
    calls = serializers.IntegerField()
    unpriced_calls = serializers.IntegerField()
    estimated_calls = serializers.IntegerField(
        help_text="calls whose backend did not say what it used, or said what cannot be true"
    )
    estimated_tokens = serializers.IntegerField(help_text="all tokens of those calls; part of `quantities`")
    quantities = QuantitiesSerializer()


class CostTotalSerializer(UsageTotalSerializer):
    cost = MoneyField(allow_null=True)


class UsageSerializer(serializers.Serializer[Any]):
    tenant = serializers.CharField(help_text="slug")
    start = serializers.DateField()
    end = serializers.DateField(help_text="included")
    timezone = serializers.CharField(help_text="in which the days begin")
    rows = UsageRowSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="the next rows; the total is of all")
    total = UsageTotalSerializer()


class CostsSerializer(UsageSerializer):
    currency = serializers.CharField()
    metered_to = serializers.DateTimeField(allow_null=True)
    final_up_to = serializers.DateField(allow_null=True)
    rows = CostRowSerializer(many=True)
    total = CostTotalSerializer()


class CostPlaceSerializer(serializers.Serializer[Any]):
    """Whose costs."""

    tenant = serializers.SlugField(help_text="slug")
    project = serializers.SlugField(required=False, help_text="slug; default: all projects")


class CostQuerySerializer(CostPlaceSerializer):
    """The question behind costs/ and usage/."""

    start = serializers.DateField(help_text="first day, in the tenant's time zone")
    end = serializers.DateField(help_text="last day, included")
    group_by = serializers.CharField(
        required=False, default="day,model", allow_blank=True,
        help_text=f"comma-separated, from {', '.join(DIMENSIONS)}; empty for the total alone",
    )  # fmt: skip
    page_size = serializers.IntegerField(
        required=False,
        default=1000,
        min_value=1,
        max_value=5000,
        help_text="rows at most; `next` leads to more",
    )
    cursor = serializers.CharField(required=False, default="", allow_blank=True, help_text="from `next`")

    def validate_group_by(self, value: str) -> list[str]:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if unknown := [name for name in names if name not in DIMENSIONS]:
            raise serializers.ValidationError(
                f"Cannot group by {', '.join(unknown)}; choose from {', '.join(DIMENSIONS)}."
            )
        return list(dict.fromkeys(names))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["end"] < attrs["start"]:
            raise serializers.ValidationError({"end": "The last day is before the first."})
        if (attrs["end"] - attrs["start"]).days > 400:
            raise serializers.ValidationError({"end": "Ask for at most 400 days at once."})
        return attrs


class ExportPlaceSerializer(serializers.Serializer[Any]):
    """What kind of report, and whose."""

    kind = serializers.ChoiceField(choices=Export.Kind.choices, default="costs")
    tenant = serializers.SlugField(
        required=False, help_text="slug; auditors may leave it out for the audit log of all tenants"
    )
    project = serializers.SlugField(required=False, help_text="of costs: slug; default: all projects")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["kind"] == "costs" and "tenant" not in attrs:
            raise serializers.ValidationError({"tenant": "Say whose costs."})
        return attrs


class NewExportSerializer(ExportPlaceSerializer):
    """What a report shall be about: `period` (a month), or `start` and `end`."""

    format = serializers.ChoiceField(
        choices=Export.Format.choices, default="plain", help_text="how a CSV file is written"
    )
    period = serializers.CharField(required=False, help_text="a month: 2026-10")
    start = serializers.DateField(required=False)
    end = serializers.DateField(required=False, help_text="included")
    person = serializers.CharField(
        required=False, max_length=254, help_text="of the audit log: e-mail address, or `platform`"
    )
    verb = serializers.CharField(required=False, max_length=80, help_text="of the audit log: as of `audit/`")
    subject_id = serializers.CharField(required=False, max_length=64, help_text="of the audit log")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "period" in attrs:
            try:
                attrs["start"] = read_month(attrs["period"])
            except ValueError:
                raise serializers.ValidationError({"period": "Write a month as 2026-10."}) from None
            attrs["end"] = last_day(attrs["start"])
        elif "start" not in attrs or "end" not in attrs:
            raise serializers.ValidationError({"period": "Give a period, or start and end."})
        if not (attrs["start"].year >= 1970 and attrs["end"].year <= 9000):
            raise serializers.ValidationError({"start": "Give years from 1970 to 9000."})
        return attrs


class ExportSerializer(serializers.ModelSerializer[Export]):
    tenant: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    project: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    start = serializers.DateField(source="start_day", read_only=True)
    end = serializers.DateField(source="end_day", read_only=True)
    total = MoneyField(allow_null=True)
    format = serializers.CharField(source="csv_format", read_only=True)

    class Meta:
        model = Export
        fields = (
            "id", "kind", "format", "tenant", "project", "start", "end", "state", "rows_done", "rows_total", "currency",
            "total", "size_bytes", "sha256", "error", "created_at", "finished_at", "expires_at",
        )  # fmt: skip
        read_only_fields = fields


class PriceSerializer(serializers.ModelSerializer[Price]):
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
