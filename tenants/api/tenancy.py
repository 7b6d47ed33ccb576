"""Tenants and projects over HTTP."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import InTenantFilter, VisibleMixin
from tenants.api.project_roles import ROLES_SCHEMA, SET_ROLE_SCHEMA, project_roles
from tenants.models import Membership, Project, Tenant


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    role = serializers.SerializerMethodField(help_text="Your role there; null for platform staff.")

    class Meta:
        model = Tenant
        fields = [
            "id",
            "slug",
            "name",
            "status",
            "currency",
            "timezone",
            "highest_data_class",
            "regions",
            "role",
        ]

    def get_role(self, tenant: Tenant) -> str | None:
        role: str | None = self._roles.get(tenant.pk)
        return role

    @cached_property
    def _roles(self) -> dict[Any, str]:
        user = self.context["request"].user
        return dict(Membership.objects.visible_to(user).filter(user=user).values_list("tenant", "role"))


class TenantViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Tenant]):
    """The tenants you belong to; all of them for platform staff."""

    model, serializer_class = Tenant, TenantSerializer
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"


class ProjectSerializer(serializers.ModelSerializer[Project]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)

    class Meta:
        model = Project
        fields = ["id", "tenant", "slug", "name", "cost_centre", "created_at"]


class ProjectViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Project]):
    """Teams and applications inside your tenants."""

    model, serializer_class, filterset_class = Project, ProjectSerializer, InTenantFilter

    def get_queryset(self) -> QuerySet[Project]:
        return super().get_queryset().select_related("tenant")

    @SET_ROLE_SCHEMA
    @ROLES_SCHEMA
    @action(detail=True, methods=["get", "post"], pagination_class=None, filterset_class=None)
    def roles(self, request: Request, pk: str) -> Response:
        return project_roles(request, self.get_object().pk)
