"""Publishing, deprecating and retiring a model, and planned changes, over HTTP."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Count, Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from catalog.actions import curate_model, deprecate_model, publish_model, retire_model, undo_change
from catalog.model_impact import impact_of
from catalog.models import CatalogModel, PlannedChange, PlannedChangeOfModel
from catalog.publishing_serializers import (
    MOST_NAMED,
    EndModelSerializer,
    ModelImpactSerializer,
    PlannedChangeSerializer,
    PublishModelSerializer,
)
from catalog.serializers import CuratedModelSerializer
from core.serializers import require_no_fields
from tenants.roles import TokenScope


class PublishingStepsViewSet(viewsets.GenericViewSet[CatalogModel]):
    """Routes of operators below one model, for its viewset."""

    @extend_schema(request=PublishModelSerializer, responses=CuratedModelSerializer)
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, name: str) -> Response:
        """Let tenants find and request a model. Nothing is approved by it.

        If a check fails, the answer is 409 `checks_fail`, which names what is missing; `publishing_checks` says where
        each is mended. Send `despite`, a reason, to publish the model all the same.
        """
        model = self.get_object()
        publish_model.require(signed_in(request), model)
        said = PublishModelSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        publish_model(model.pk, by=signed_in(request), despite=said.validated_data["despite"])
        return self._shown()

    @extend_schema(request=EndModelSerializer, responses=PlannedChangeSerializer)
    @action(detail=True, methods=["post"])
    def deprecate(self, request: Request, name: str) -> Response:
        """Advise against a model, now or later; it still answers, and can be requested."""
        model = self.get_object()
        deprecate_model.require(signed_in(request), model)
        return _answer(deprecate_model(model.pk, by=signed_in(request), **_said(request)))

    @extend_schema(request=EndModelSerializer, responses=PlannedChangeSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, name: str) -> Response:
        """Hide a model from tenants, now or later; grants in force stay."""
        model = self.get_object()
        retire_model.require(signed_in(request), model)
        return _answer(retire_model(model.pk, by=signed_in(request), **_said(request)))

    @extend_schema(responses=ModelImpactSerializer)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def impact(self, request: Request, name: str) -> Response:
        """Whom a change of the model would touch now. For those who may edit models."""
        model = self.get_object()
        curate_model.require(signed_in(request), model)
        return Response(ModelImpactSerializer(impact_of([model.pk]).as_json()).data)

    def _shown(self) -> Response:
        return Response(self._serialized([self.get_object()], many=False))  # type: ignore[attr-defined]


def _said(request: Request) -> dict[str, Any]:
    said = EndModelSerializer(data=request.data)
    said.is_valid(raise_exception=True)
    return dict(said.validated_data)


def _changes() -> QuerySet[PlannedChange]:
    named = PlannedChangeOfModel.objects.select_related("model").order_by("model__name")[:MOST_NAMED]
    first = Prefetch("of_models", named, to_attr="first_models")
    return PlannedChange.objects.annotate(total=Count("of_models")).prefetch_related(first)


def _answer(change: PlannedChange) -> Response:
    return Response(PlannedChangeSerializer(_changes().get(pk=change.pk)).data)


class PlannedChangeFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Filter planned changes by state, kind or model."""

    state = django_filters.ChoiceFilter(choices=PlannedChange.State.choices)
    kind = django_filters.ChoiceFilter(choices=PlannedChange.Kind.choices)
    model = django_filters.CharFilter(field_name="models__name", label="Public name of a model")


class PlannedChangeViewSet(viewsets.ReadOnlyModelViewSet[PlannedChange]):
    """Changes of models that are planned, in effect, or undone; for staff who see models."""

    queryset = PlannedChange.objects.none()
    serializer_class = PlannedChangeSerializer
    filterset_class = PlannedChangeFilter
    token_scope = TokenScope.PLATFORM

    def get_queryset(self) -> QuerySet[PlannedChange]:
        may_see = signed_in(self.request).has_perm("catalog.view_plannedchange")
        return _changes() if may_see else PlannedChange.objects.none()

    @extend_schema(request=None, responses=PlannedChangeSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Take a planned change back. Owners who were told of it are told."""
        change = self.get_object()
        undo_change.require(signed_in(request), change)
        require_no_fields(request.data)
        return _answer(undo_change(change.pk, by=signed_in(request)))
