"""Routes of the HTTP API for grants."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from catalog.actions import renew_grant, revoke_grant, take_over_grant
from catalog.models import AccessRequest, Grant
from catalog.request_serializers import (
    AccessRequestSerializer,
    GrantSerializer,
    RenewGrantSerializer,
    RevokeGrantSerializer,
)
from core.serializers import require_no_fields
from tenants.api.base import InProjectFilter, VisibleMixin
from tenants.roles import TokenScope


class GrantFilter(InProjectFilter):
    """Filter grants by tenant, project, model or owner, or keep only those in force, suspended or soon to end."""

    model = django_filters.CharFilter(field_name="model__name", label="Public name of a model")
    owner = django_filters.CharFilter(field_name="owner__email", label="E-mail address of the owner")
    in_force = django_filters.BooleanFilter(
        method="by_force", label="true: grants in force; false: all others"
    )
    suspended = django_filters.BooleanFilter(
        method="by_suspension", label="true: grants that wait for a new owner; false: all others"
    )

    def by_force(self, grants: Any, name: str, value: bool) -> Any:
        return grants.in_force() if value else grants.not_in_force()

    def by_suspension(self, grants: Any, name: str, value: bool) -> Any:
        return grants.suspended() if value else grants.not_suspended()


class GrantViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Grant]):
    """Grants: the dated rights of your projects to use models."""

    model, serializer_class, filterset_class = Grant, GrantSerializer, GrantFilter
    token_scope = TokenScope.KEYS

    def get_queryset(self) -> QuerySet[Grant]:
        return super().get_queryset().select_related("tenant", "project__tenant", "model", "item", "owner")

    @extend_schema(request=RevokeGrantSerializer, responses=GrantSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """End a grant now. Its key loses the model, and is revoked if it has no other."""
        found = self.subject_of(revoke_grant)
        said = RevokeGrantSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        grant = revoke_grant(found.pk, by=signed_in(request), reason=said.validated_data["reason"])
        return Response(self.get_serializer(grant).data)

    @extend_schema(request=RenewGrantSerializer, responses={201: AccessRequestSerializer})
    @action(detail=True, methods=["post"])
    def renew(self, request: Request, pk: str) -> Response:
        """Request the same again, in the last 30 days of a grant. The rules approve it at once, or it needs reviews.

        409 `facts_changed` names what has changed since the grant was approved; send `accepts_changes` to renew anyway.
        """
        found = self.subject_of(renew_grant)
        said = RenewGrantSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        renewal = renew_grant(found.pk, by=signed_in(request), **said.validated_data)
        asked = AccessRequest.objects.visible_to(request.user).with_names().get(pk=renewal.pk)
        context = self.get_serializer_context()
        return Response(AccessRequestSerializer(asked, context=context).data, status=201)

    @extend_schema(request=None, responses=GrantSerializer)
    @action(detail=True, methods=["post"], url_path="take-over")
    def take_over(self, request: Request, pk: str) -> Response:
        """Answer for a grant from now on. One that was suspended because its owner left is in force again."""
        found = self.subject_of(take_over_grant)
        require_no_fields(request.data)
        grant = take_over_grant(found.pk, by=signed_in(request))
        return Response(self.get_serializer(grant).data)
