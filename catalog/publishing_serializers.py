"""Publishing, deprecating and retiring models, and planned changes, in the HTTP API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalog.actions.planned_changes import LONGEST_REASON
from catalog.models import PlannedChange
from catalog.publishing_checks import CHECKS
from catalog.publishing_forms import LONGEST_REASON as LONGEST_DESPITE
from core.serializers import StrictModelSerializer, StrictSerializer

# Models of one change that an answer names.
MOST_NAMED = 200


class PublishingCheckSerializer(StrictSerializer):
    name = serializers.ChoiceField([check.name for check in CHECKS])
    passes = serializers.BooleanField()
    words = serializers.CharField(help_text="What was found, or what is missing.")
    path = serializers.CharField(help_text="The staff page on which it is mended.")


class PublishModelSerializer(StrictSerializer):
    despite = serializers.CharField(
        required=False,
        default="",
        max_length=LONGEST_DESPITE,
        help_text="A reason to publish it although checks fail. The audit log keeps it.",
    )


class ComingChangeSerializer(StrictSerializer):
    kind = serializers.ChoiceField(PlannedChange.Kind.choices)
    takes_effect_at = serializers.DateTimeField()
    successor = serializers.CharField(allow_blank=True, help_text="Public name of the model to use instead.")
    words = serializers.ListField(child=serializers.CharField())


class EndModelSerializer(StrictSerializer):
    """How a model is deprecated or retired."""

    takes_effect_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="Without it, now."
    )
    reason = serializers.CharField(
        required=False, default="", max_length=LONGEST_REASON, help_text="What owners of tenants read."
    )
    successor = serializers.CharField(
        required=False, default="", max_length=120, help_text="Public name of the model to use instead."
    )
    may_touch_tenants = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Confirms it for a model in use. Without it, the answer is 409 `touches_tenants`, which says whom "
        "it touches; so does `impact/`.",
    )


class ModelImpactSerializer(StrictSerializer):
    """Whom a change of a model touches. The counts stop at 1001; calls and money are of the last 30 days."""

    tenants = serializers.IntegerField()
    projects = serializers.IntegerField()
    grants = serializers.IntegerField()
    requests = serializers.IntegerField(help_text="Open ones.")
    keys = serializers.IntegerField(help_text="Live keys of these projects that name the model.")
    owners = serializers.IntegerField(help_text="Who are told of a change.")
    names = serializers.ListField(child=serializers.CharField(), help_text="The first tenants.")
    calls = serializers.IntegerField()
    money = serializers.DictField(child=serializers.CharField(), help_text="Decimals by currency.")


class PlannedChangeSerializer(StrictModelSerializer[PlannedChange]):
    models = serializers.SerializerMethodField(help_text=f"Public names; the first {MOST_NAMED}.")
    model_count = serializers.IntegerField(source="total")
    impact = serializers.SerializerMethodField(
        help_text="Whom it touched when it was planned; null if nobody counted."
    )

    class Meta:
        model = PlannedChange
        fields = [
            "id", "kind", "state", "values", "takes_effect_at", "reason", "models", "model_count", "impact",
            "planned_by", "planned_at", "ended_at", "undone_by", "problem",
        ]  # fmt: skip

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_models(self, change: Any) -> list[str]:
        return [row.model.name for row in change.first_models]

    @extend_schema_field(ModelImpactSerializer(allow_null=True))
    def get_impact(self, change: PlannedChange) -> dict[str, Any] | None:
        return dict(ModelImpactSerializer(change.impact).data) if change.impact else None
