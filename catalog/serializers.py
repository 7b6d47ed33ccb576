"""Models, access requests and grants in the HTTP API."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalog.actions.access_requests import LONGEST_DAYS
from catalog.actions.comments import LONGEST_COMMENT
from catalog.actions.facts import notice_of
from catalog.fact_fields import WordList, YesNo
from catalog.model_facts import FACTS, PUBLIC, ModelFact
from catalog.models import (
    AccessRequest,
    CatalogModel,
    Grant,
    Offer,
    RequestComment,
    Review,
    ReviewDecision,
    Track,
)
from catalog.provenance import fact_rows
from core.serializers import StrictModelSerializer, StrictSerializer
from tenants.models import DataClass, Limit, Project, Tenant

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

    class Meta(ModelSerializer.Meta):
        fields = [
            *ModelSerializer.Meta.fields,
            *(name for name in PUBLIC if name not in ModelSerializer.Meta.fields),
            "offers",
            "sources",
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

    class Meta(ModelDetailSerializer.Meta):
        fields = [*ModelDetailSerializer.Meta.fields, *(name for name in FACTS if name not in PUBLIC)]

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


class DecisionSerializer(StrictModelSerializer[ReviewDecision]):
    reviewer = serializers.CharField(source="reviewer.email", read_only=True)
    in_place_of = serializers.CharField(
        source="delegation.giver.email",
        read_only=True,
        default=None,
        allow_null=True,
        help_text="Who had delegated this decision to the reviewer; null: nobody.",
    )

    class Meta:
        model = ReviewDecision
        fields = ["reviewer", "in_place_of", "verdict", "comment", "at", "round", "facts"]


class ReviewSerializer(StrictModelSerializer[Review]):
    track = serializers.CharField(source="track_id", read_only=True, help_text="Code of the track.")
    decisions = DecisionSerializer(many=True, read_only=True)

    class Meta:
        model = Review
        fields = [
            "track",
            "reason",
            "state",
            "round",
            "opened_by_facts",
            "due_at",
            "decided_at",
            "decisions",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "round": {
                "help_text": "Decisions of earlier rounds do not count, because the facts became worse."
            },
            "opened_by_facts": {"help_text": "It was not required, or not again, when access was requested."},
        }


class AccessRequestSerializer(StrictModelSerializer[AccessRequest]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True)
    model = serializers.SlugRelatedField[CatalogModel](slug_field="name", read_only=True)
    requested_by = serializers.CharField(source="requested_by.email", read_only=True)
    reviews = ReviewSerializer(many=True, read_only=True)
    notice = serializers.SerializerMethodField(
        help_text="Reviews that it needs now in addition to the first ones, with the reasons. Usually empty."
    )
    grant = serializers.SerializerMethodField()
    key = serializers.SerializerMethodField(help_text="The key to claim, or the claimed key.")

    class Meta:
        model = AccessRequest
        fields = [
            "id", "reference", "tenant", "project", "model", "requested_by", "purpose", "data_class",
            "expected_tokens_per_day", "limits", "duration_days", "expected_monthly_cost", "currency", "state",
            "created_at", "resent_at", "decided_at", "rule_version", "facts", "reviews", "notice", "grant", "key",
        ]  # fmt: skip

    def get_notice(self, access_request: AccessRequest) -> str:
        return notice_of(list(access_request.reviews.all()))

    def get_grant(self, access_request: AccessRequest) -> UUID | None:
        grant = getattr(access_request, "grant", None)
        return grant.pk if grant else None

    def get_key(self, access_request: AccessRequest) -> UUID | None:
        grant = getattr(access_request, "grant", None)
        return grant.key_id if grant else None


class ProjectNameSerializer(StrictSerializer):
    """`project` is an id, or a slug that only one of your tenants has."""

    reads_everything = False
    project = serializers.CharField(max_length=60)


@extend_schema_field(
    {"type": "object", "properties": {kind: {"type": "string"} for kind in Limit.Kind.values}}
)
class WantedLimitsField(serializers.DictField):
    """Numbers by kind of limit, which the action reads: it refuses other kinds."""

    child = serializers.CharField()


class NewAccessRequestSerializer(ProjectNameSerializer):
    """A new request. `project` is an id, or a slug that only one of your tenants has."""

    reads_everything = True
    model = serializers.CharField(max_length=120, help_text="Public name, as in models/.")
    purpose = serializers.CharField(max_length=2000)
    expected_tokens_per_day = serializers.IntegerField(min_value=1)
    data_class = serializers.ChoiceField(DataClass.choices, default=DataClass.INTERNAL)
    limits = WantedLimitsField(required=False, help_text='By kind: {"requests_per_minute": "3"}')
    duration_days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, default=365)


class ResendSerializer(StrictSerializer):
    """What is changed in a returned request. What is left out stays as it was."""

    purpose = serializers.CharField(max_length=2000, required=False)
    expected_tokens_per_day = serializers.IntegerField(min_value=1, required=False)
    data_class = serializers.ChoiceField(DataClass.choices, required=False)
    limits = WantedLimitsField(
        required=False, help_text="All limits; a limit left out is no longer asked for."
    )
    duration_days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, required=False)


class NewReviewSerializer(StrictSerializer):
    track = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Track.objects.all(),
        help_text="Code of the track, such as `security`.",
    )
    verdict = serializers.ChoiceField(ReviewDecision.Verdict.choices)
    comment = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)
    facts = serializers.DictField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The request's `facts` as you have read them. If the facts of your track have become "
        "worse, the answer is 409 `facts_changed` and nothing is decided. Default: the facts "
        "that the request shows.",
    )


class NewCommentSerializer(StrictSerializer):
    text = serializers.CharField(
        max_length=LONGEST_COMMENT,
        help_text="`@` and an e-mail address mention a person, if they can see the request.",
    )


class CommentSerializer(StrictModelSerializer[RequestComment]):
    author = serializers.CharField(source="author.email", read_only=True)

    class Meta:
        model = RequestComment
        fields = ["id", "author", "capacity", "text", "mentions", "at"]
        read_only_fields = ["capacity", "mentions"]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "capacity": {"help_text": "What the author was to the request when they wrote."},
            "text": {"help_text": "`@[…]` with the id of a person is a mention."},
            "mentions": {
                "help_text": "Ids of the people whom the text mentions, and who could see the request then."
            },
        }


class GrantSerializer(StrictModelSerializer[Grant]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True)
    model = serializers.SlugRelatedField[CatalogModel](slug_field="name", read_only=True)

    class Meta:
        model = Grant
        fields = [
            "id", "tenant", "project", "model", "access_request", "key", "valid_from", "valid_until", "revoked_at",
            "created_at",
        ]  # fmt: skip
