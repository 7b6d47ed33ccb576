"""Providers in the HTTP API. No answer holds a credential."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from catalog.models import CatalogModel
from core.egress.networks import MOST_NETWORKS
from core.serializers import StrictModelSerializer, StrictSerializer
from deployments.models import Provider, ProviderCredential, ProviderModel
from deployments.models.providers import LONGEST_TIMEOUT_SECONDS, dialect_choices
from deployments.provider_credentials import LONGEST, NewCredential, clean_credential
from deployments.provider_fields import MOST_HEADERS, MOST_REGIONS
from deployments.provider_rotation import LONGEST_OVERLAP_HOURS
from deployments.provider_routing import MOST_AT_ONCE
from deployments.providers.listing import LONGEST_NAME


class ProviderCredentialSerializer(StrictModelSerializer[ProviderCredential]):
    """A credential, by what people recognize it by."""

    class Meta:
        model = ProviderCredential
        fields = [
            "id",
            "provider",
            "kind",
            "reference",
            "hint",
            "fingerprint",
            "valid_from",
            "valid_until",
            "created_at",
        ]
        read_only_fields = fields


class NewCredentialSerializer(StrictSerializer):
    """A secret to store, or where gateways find it. Never part of an answer."""

    kind = serializers.ChoiceField(choices=ProviderCredential.Kind.choices)
    secret = serializers.CharField(max_length=LONGEST, required=False, default="", write_only=True)
    reference = serializers.CharField(max_length=200, required=False, default="")


class ProviderFieldsSerializer(StrictModelSerializer[Provider]):
    """The fields of a provider that people change."""

    dialect = serializers.ChoiceField(choices=dialect_choices())
    regions = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=MOST_REGIONS, required=False
    )
    extra_headers = serializers.DictField(
        child=serializers.CharField(max_length=500),
        required=False,
        help_text=f"At most {MOST_HEADERS}; never a secret.",
    )
    private_ca = serializers.CharField(max_length=65_536, required=False, allow_blank=True)
    is_tested = serializers.BooleanField(
        default=True,
        write_only=True,
        help_text="false: save without a test, for a provider that only gateways can reach",
    )
    credential = NewCredentialSerializer(
        required=False,
        allow_null=True,
        default=None,
        write_only=True,
        help_text="replaces those in force at once; necessary if calls go to another place",
    )

    class Meta:
        model = Provider
        fields = [*Provider.EDITABLE, "is_tested", "credential"]
        extra_kwargs: ClassVar[dict[str, dict[str, Any]]] = {
            name: {"max_value": LONGEST_TIMEOUT_SECONDS, "min_value": 1}
            for name in ("connect_timeout_seconds", "first_byte_timeout_seconds", "idle_timeout_seconds")
        } | {"retention_days": {"max_value": 36_500}}


class ChangedProviderSerializer(ProviderFieldsSerializer):
    """Fields of a provider to change."""

    may_change_audience = serializers.BooleanField(
        default=False,
        write_only=True,
        help_text="true: confirms that tenants with a grant gain or lose a model; the 409 without it names them",
    )

    class Meta(ProviderFieldsSerializer.Meta):
        fields = [*ProviderFieldsSerializer.Meta.fields, "may_change_audience"]


class NewProviderSerializer(ProviderFieldsSerializer):
    """A new provider, with its credential."""

    credential = NewCredentialSerializer(required=False, allow_null=True, default=None)

    class Meta(ProviderFieldsSerializer.Meta):
        fields = ["name", *ProviderFieldsSerializer.Meta.fields]
        # The action answers 409 for a name that is taken.
        extra_kwargs: ClassVar[dict[str, dict[str, Any]]] = ProviderFieldsSerializer.Meta.extra_kwargs | {
            "name": {"validators": []}
        }

    def draft(self) -> tuple[Provider, NewCredential | None, bool]:
        """The validated provider, unsaved, its credential, and whether to test it. Raises ValidationError."""
        values = dict(self.validated_data)
        credential, is_tested = values.pop("credential"), values.pop("is_tested")
        return Provider(**values), credential_of(credential), is_tested


def credential_of(values: dict[str, Any] | None) -> NewCredential | None:
    """The credential of a validated request, which has no defaults if it is partial. Raises ValidationError."""
    if values is None:
        return None
    return clean_credential(values.get("kind", ""), values.get("secret", ""), values.get("reference", ""))


class ProviderSerializer(StrictModelSerializer[Provider]):
    """A provider, and what its last test found."""

    credentials = ProviderCredentialSerializer(many=True, read_only=True)
    regions = serializers.ListField(child=serializers.CharField(), read_only=True)
    extra_headers = serializers.DictField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Provider
        fields = [
            "id",
            "name",
            *Provider.EDITABLE,
            "is_enabled",
            "tested_at",
            "answered_in_ms",
            "fault",
            "listed_at",
            "created_at",
            "credentials",
        ]
        read_only_fields = fields


class RouteModelsSerializer(StrictSerializer):
    """Models of a provider, by id."""

    models = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE)


class ProviderModelSerializer(StrictModelSerializer[ProviderModel]):
    """A model as its provider names it."""

    model = serializers.SlugRelatedField(slug_field="name", read_only=True, allow_null=True)  # type: ignore[var-annotated]
    matched_by = serializers.CharField(
        read_only=True, help_text="exact, normalized (another spelling) or person; empty: not matched"
    )
    is_listed = serializers.BooleanField(read_only=True)

    class Meta:
        model = ProviderModel
        fields = [
            "id",
            "provider",
            "name",
            "mode",
            "model",
            "matched_by",
            "is_named_by_hand",
            "is_listed",
            "first_seen_at",
            "last_seen_at",
        ]
        read_only_fields = fields


class TestReportSerializer(StrictSerializer):
    """A test that reached the provider."""

    milliseconds = serializers.IntegerField()
    lists_models = serializers.BooleanField()
    models = serializers.ListField(child=serializers.CharField())
    words = serializers.CharField()


class RotateSerializer(StrictSerializer):
    credential = NewCredentialSerializer()
    overlap_hours = serializers.IntegerField(min_value=0, max_value=LONGEST_OVERLAP_HOURS)
    is_tested = serializers.BooleanField(default=True)


class NameModelSerializer(StrictSerializer):
    name = serializers.CharField(max_length=LONGEST_NAME)
    mode = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)


class CatalogModelField(serializers.SlugRelatedField):  # type: ignore[type-arg]
    """A model of the catalog by its name. A name that PostgreSQL cannot store matches none."""

    def to_internal_value(self, data: Any) -> CatalogModel:
        if not isinstance(data, str) or "\0" in data:
            self.fail("invalid")
        model: CatalogModel = super().to_internal_value(data)
        return model


class MatchSerializer(StrictSerializer):
    model = CatalogModelField(slug_field="name", queryset=CatalogModel.objects.all(), allow_null=True)


class ManagersSerializer(StrictSerializer):
    """People beside operators who may manage one provider."""

    managers = serializers.ListField(child=serializers.EmailField())


class SetManagerSerializer(StrictSerializer):
    email = serializers.CharField(max_length=254)
    is_manager = serializers.BooleanField()


class ImpactSerializer(StrictSerializer):
    label = serializers.CharField()  # type: ignore[assignment]
    value = serializers.IntegerField()


class NetworksSerializer(StrictSerializer):
    """Networks beyond the public Internet in which providers may be; empty: none."""

    networks = serializers.ListField(child=serializers.CharField(max_length=60), max_length=MOST_NETWORKS)
