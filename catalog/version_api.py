"""Versions of models over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.entry_points import SubjectMixin
from accounts.permissions import signed_in
from catalog.actions import versions
from catalog.models import CatalogModel, ModelVersion
from core.serializers import StrictModelSerializer, StrictSerializer, require_no_fields
from tenants.models import Tenant
from tenants.roles import TokenScope


class ModelVersionSerializer(StrictModelSerializer[ModelVersion]):
    """A version as tenants see it."""

    name = serializers.CharField(source="full_name", read_only=True, help_text="`org/model/version`")
    model = serializers.SlugRelatedField[CatalogModel](slug_field="name", read_only=True)
    format = serializers.ChoiceField(ModelVersion.Format.choices, allow_blank=True, read_only=True)
    base = serializers.SerializerMethodField(
        help_text="Id of the version whose weights this LoRA adapter changes."
    )

    class Meta:
        model = ModelVersion
        fields: ClassVar[list[str]] = [
            "id", "name", "model", "base", "digest", "precision", "format", "parameters", "context_tokens",
            "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_base(self, version: ModelVersion) -> UUID | None:
        # As it was loaded: without those that the reader may not see.
        return version.base.pk if version.base else None


class StaffVersionSerializer(ModelVersionSerializer):
    """A version with what it runs, and for whom it is."""

    class Meta(ModelVersionSerializer.Meta):
        fields: ClassVar[list[str]] = [
            *ModelVersionSerializer.Meta.fields,
            "upstream_name", "image", "command", "endpoints", "gpus_per_replica", "memory", "visibility", "only_for",
            "retired_at",
        ]  # fmt: skip
        read_only_fields = fields


class ChangedVersionSerializer(StrictSerializer):
    """Fields of a version. What is left out stays."""

    upstream_name = serializers.CharField(max_length=200, required=False, help_text="Its name in the engine.")
    image = serializers.CharField(max_length=300, required=False)
    command = serializers.ListField(
        child=serializers.CharField(max_length=300, trim_whitespace=False),
        max_length=versions.MOST_WORDS,
        required=False,
        help_text="`{model}`, `{host}` and `{port}` stand for the upstream name and the address to listen on.",
    )
    digest = serializers.CharField(max_length=80, required=False, allow_blank=True, help_text="`sha256:…`")
    precision = serializers.CharField(max_length=20, required=False, allow_blank=True)
    format = serializers.ChoiceField(ModelVersion.Format.choices, required=False, allow_blank=True)
    parameters = serializers.IntegerField(min_value=1, max_value=10**15, required=False, allow_null=True)
    context_tokens = serializers.IntegerField(min_value=1, max_value=10**12, required=False, allow_null=True)
    endpoints = serializers.ListField(
        child=serializers.CharField(max_length=20), max_length=20, required=False
    )
    gpus_per_replica = serializers.IntegerField(min_value=0, max_value=1024, required=False)
    memory = serializers.CharField(max_length=20, required=False)
    visibility = serializers.ChoiceField(
        ModelVersion.Visibility.choices, required=False, help_text="Of the tenants that may use the model."
    )
    only_for = serializers.ListField(
        child=serializers.CharField(max_length=60), required=False, help_text="Slugs of the chosen tenants."
    )


class NewVersionSerializer(ChangedVersionSerializer):
    """A new version of a model."""

    model = serializers.CharField(max_length=120, help_text="Public name, as in models/.")
    org = serializers.CharField(max_length=60)
    version = serializers.CharField(max_length=60)
    base = serializers.UUIDField(required=False, allow_null=True, help_text="Only for a LoRA adapter.")
    upstream_name = serializers.CharField(max_length=200, help_text="Its name in the engine.")
    image = serializers.CharField(max_length=300)


class VersionFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Filter versions by model or base."""

    model = django_filters.CharFilter(field_name="model__name", label="Public name of a model")
    base = django_filters.UUIDFilter(field_name="base", label="Id of a version: its adapters")


@extend_schema_view(list=extend_schema(description="Versions of models that you may use, newest first."))
class ModelVersionViewSet(SubjectMixin, viewsets.ReadOnlyModelViewSet[ModelVersion]):
    """Versions of models: sets of weights, and LoRA adapters."""

    queryset = ModelVersion.objects.none()
    serializer_class = ModelVersionSerializer
    filterset_class = VersionFilter
    token_scope = TokenScope.PLATFORM

    def get_queryset(self) -> Any:
        """Those that are offered to one of the person's tenants; to staff, all."""
        rows = ModelVersion.objects.select_related("model").order_by("-created_at", "-pk")
        if self._is_staff:
            return rows.select_related("base")
        tenants = list(Tenant.objects.filter(pk__in=signed_in(self.request).own_tenants()))
        bases = ModelVersion.objects.offered_to(tenants)
        return rows.offered_to(tenants).prefetch_related(Prefetch("base", bases))

    @property
    def _is_staff(self) -> bool:
        return bool(self.request.user.has_perm("catalog.view_modelversion"))

    def get_serializer_class(self) -> type[ModelVersionSerializer]:
        return StaffVersionSerializer if self._is_staff else ModelVersionSerializer

    @extend_schema(request=NewVersionSerializer, responses={201: StaffVersionSerializer})
    def create(self, request: Request) -> Response:
        """Add a version, which can be deployed from now on."""
        versions.add_version.require(signed_in(request), None)
        said = NewVersionSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        values = dict(said.validated_data)
        named = {name: values.pop(name, None) for name in ("model", "org", "version", "base")}
        made = versions.add_version(**named, values=values, by=signed_in(request))
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(request=ChangedVersionSerializer, responses=StaffVersionSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a version. What a deployment runs stays once there are any: 409 `version_deployed`."""
        row = self.subject_of(versions.change_version)
        said = ChangedVersionSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        versions.change_version(row.pk, values=said.validated_data, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=StaffVersionSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: str) -> Response:
        """Offer a version to nobody any more. Its deployments go on."""
        row = self.subject_of(versions.retire_version)
        require_no_fields(request.data)
        versions.retire_version(row.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)
