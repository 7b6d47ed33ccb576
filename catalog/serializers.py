"""Models, access requests and grants in the HTTP API."""

from __future__ import annotations

from typing import Any

from django import forms
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.quality import DAYS
from catalog.fact_fields import WordList, YesNo
from catalog.model_facts import FACTS, PUBLIC, ModelFact
from catalog.models import (
    CatalogModel,
    Offer,
)
from catalog.planned_words import coming_changes
from catalog.provenance import fact_rows
from catalog.publishing_checks import checked
from catalog.publishing_serializers import ComingChangeSerializer, PublishingCheckSerializer
from catalog.quality_api import QualitySerializer, quality_for
from core.serializers import StrictModelSerializer, StrictSerializer
from tenants.models import DataClass

# Maximum number of projects listed with a model.
MOST_ACCESS = 20


class OfferSerializer(StrictModelSerializer[Offer]):
    class Meta:
        model = Offer
        fields = [
            "provider",
            "region",
            "source",
            "source_key",
            "source_url",
            "prices",
            "deprecation_date",
            "is_primary",
        ]


class MyAccessSerializer(StrictSerializer):
    tenant = serializers.CharField()
    project = serializers.CharField()
    state = serializers.ChoiceField(["granted", "in_review"])
    is_served = serializers.BooleanField(
        help_text="Whether a gateway answers calls now, with the data that this grant or request names."
    )
    grant = serializers.UUIDField(allow_null=True)
    access_request = serializers.UUIDField()
    valid_until = serializers.DateTimeField(allow_null=True)


class ModelSerializer(StrictModelSerializer[CatalogModel]):
    prices = serializers.SerializerMethodField(
        help_text="List prices: money per million of a token kind, as strings."
    )
    currency = serializers.SerializerMethodField()
    is_served = serializers.SerializerMethodField(
        help_text="Whether a gateway answers calls to it now, for one of your tenants, with data up to "
        "`served_up_to`. `my_access` says it for each of your projects."
    )
    served_up_to = serializers.SerializerMethodField(
        help_text="The highest class of data in calls that get an answer now; null if none do."
    )
    my_access = serializers.SerializerMethodField(
        help_text=f"Your projects that may use it, then those with a request; the first {MOST_ACCESS}."
    )
    has_more_access = serializers.SerializerMethodField(
        help_text="There are more projects: grants/?model=&in_force=true and "
        "access-requests/?model=&state=pending list them all. Staff get those of all tenants, "
        "or of one with `tenant`."
    )

    class Meta:
        model = CatalogModel
        fields = [
            "name", "title", "maker", "description", "mode", "context_tokens", "max_output_tokens", "capabilities",
            "providers", "regions", "hosting", "lifecycle", "deprecation_date", "risk_tier", "highest_data_class",
            "prices", "currency", "is_served", "served_up_to", "my_access", "has_more_access",
        ]  # fmt: skip

    def get_prices(self, model: CatalogModel) -> dict[str, str]:
        return {
            kind: format(price, "f") for kind, price in self.context["prices"].get(model.name, {}).items()
        }

    def get_currency(self, model: CatalogModel) -> str:
        return "USD"

    def get_is_served(self, model: CatalogModel) -> bool:
        return self.get_served_up_to(model) is not None

    @extend_schema_field(serializers.ChoiceField(choices=DataClass.choices, allow_null=True))
    def get_served_up_to(self, model: CatalogModel) -> str | None:
        found = [reach[model.pk] for reach in self.context["reach"].values() if model.pk in reach]
        return max(found, key=lambda one: one.rank, default=None)

    @extend_schema_field(MyAccessSerializer(many=True))
    def get_my_access(self, model: CatalogModel) -> list[dict[str, Any]]:
        access: list[dict[str, Any]] = self.context["access"].get(model.pk, [])
        return access[:MOST_ACCESS]

    def get_has_more_access(self, model: CatalogModel) -> bool:
        return len(self.context["access"].get(model.pk, [])) > MOST_ACCESS


class FactSourceSerializer(StrictSerializer):
    fact = serializers.CharField()
    source = serializers.CharField(  # type: ignore[assignment]
        allow_blank=True, help_text="`operator`, or the name of an import; empty if nobody has stated it."
    )
    at = serializers.DateTimeField(allow_null=True)


class CuratedFactSerializer(FactSourceSerializer):
    by = serializers.UUIDField(allow_null=True)
    stated = serializers.JSONField(
        allow_null=True, help_text="What the last import says, if it is something else."
    )
    is_differing = serializers.BooleanField(
        help_text="The import says something new, of which nobody has decided whether it holds."
    )


class ModelDetailSerializer(ModelSerializer):
    offers = OfferSerializer(many=True, read_only=True)
    sources = serializers.SerializerMethodField(help_text="Where each fact comes from, and since when.")
    quality = serializers.SerializerMethodField(
        help_text=f"How it answered in the last {DAYS} days, measured by our gateways; null: too few calls."
    )
    planned_changes = serializers.SerializerMethodField(help_text="What is going to change, the next first.")

    class Meta(ModelSerializer.Meta):
        fields = [
            *ModelSerializer.Meta.fields,
            *(name for name in PUBLIC if name not in ModelSerializer.Meta.fields),
            "offers",
            "sources",
            "planned_changes",
            "quality",
        ]

    def to_representation(self, instance: CatalogModel) -> Any:
        said = super().to_representation(instance)
        # A reader learns no name of a model that they may not find.
        if instance.successor and not self.context["visible"].filter(name=instance.successor).exists():
            said["successor"] = ""
        return said

    @extend_schema_field(QualitySerializer(allow_null=True))
    def get_quality(self, model: CatalogModel) -> dict[str, Any] | None:
        return quality_for(model, self.context["tenants"])

    @extend_schema_field(ComingChangeSerializer(many=True))
    def get_planned_changes(self, model: CatalogModel) -> list[dict[str, Any]]:
        return [
            {
                "kind": one.kind,
                "takes_effect_at": one.takes_effect_at,
                "successor": one.successor,
                "words": [one.title, *one.lines],
            }
            for one in coming_changes(model, self.context["visible"])
        ]

    @extend_schema_field(FactSourceSerializer(many=True))
    def get_sources(self, model: CatalogModel) -> list[dict[str, Any]]:
        return [
            {"fact": row.name, "source": row.source, "at": row.at}
            for row in fact_rows(model)
            if not row.fact.is_internal
        ]


class CuratedModelSerializer(ModelDetailSerializer):
    """A model as those see it who may edit it."""

    publishing_checks = serializers.SerializerMethodField(
        help_text="What a model needs before it is published."
    )

    class Meta(ModelDetailSerializer.Meta):
        fields = [
            *ModelDetailSerializer.Meta.fields,
            *(name for name in FACTS if name not in PUBLIC),
            "publishing_checks",
        ]

    @extend_schema_field(PublishingCheckSerializer(many=True))
    def get_publishing_checks(self, model: CatalogModel) -> list[dict[str, Any]]:
        return [
            {"name": one.name, "passes": one.passes, "words": one.words, "path": one.path}
            for one in checked(model)
        ]

    @extend_schema_field(CuratedFactSerializer(many=True))
    def get_sources(self, model: CatalogModel) -> list[dict[str, Any]]:
        return [
            {
                "fact": row.name,
                "source": row.source,
                "at": row.at,
                "by": row.by,
                "stated": row.stated,
                "is_differing": row.is_differing,
            }
            for row in fact_rows(model)
        ]


class CurateModelSerializer(StrictSerializer):
    """The facts of a model that operators edit; those that are absent stay."""

    seen = serializers.DictField(
        required=False,
        help_text="The facts as you have read them. If one that you change is something else now, the answer is 409 "
        "`edited_since` and nothing changes.",
    )
    may_touch_tenants = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Confirms a change that restricts a model in use. Without it, the answer is 409 "
        "`touches_tenants`, which says whom it touches.",
    )
    takes_effect_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="When the change takes effect; without it, now. Until then the model stays as it is, and the change "
        "can be undone (`planned-changes/`).",
    )
    reason = serializers.CharField(
        required=False, default="", max_length=300, help_text="What owners of tenants read of the change."
    )

    def get_fields(self) -> dict[str, Any]:
        return {**{name: field_of(fact) for name, fact in FACTS.items()}, **super().get_fields()}


def field_of(fact: ModelFact) -> serializers.Field[Any, Any, Any, Any]:
    """The field that describes a fact to clients. The action validates once more, with the fact's own rules."""
    said: Any = fact.field()
    common: dict[str, Any] = {"required": False, "help_text": str(fact.label)}
    if isinstance(said, YesNo):
        return serializers.BooleanField(allow_null=True, **common)
    if isinstance(said, WordList):
        return serializers.ListField(child=serializers.CharField(), max_length=said.most, **common)
    if isinstance(said, forms.ChoiceField):
        choices: Any = said.choices
        return serializers.ChoiceField(choices=list(choices), **common)
    if isinstance(said, forms.IntegerField):
        common |= {"min_value": said.min_value, "max_value": said.max_value}
        return serializers.IntegerField(allow_null=not fact.is_required, **common)
    if isinstance(said, forms.DateField):
        return serializers.DateField(allow_null=not fact.is_required, **common)
    longest = getattr(said, "max_length", None)
    return serializers.CharField(allow_blank=not fact.is_required, max_length=longest, **common)
