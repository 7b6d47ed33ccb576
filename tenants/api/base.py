"""What routes of the HTTP API share."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from tenants.roles import TokenScope


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes personal access tokens."""

    target_class = "tenants.authentication.TokenAuthentication"
    name = "personalAccessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A personal access token, qmp_…"}


class VisibleMixin:
    """Gives a viewset only the rows its user may see; what is not visible answers 404."""

    token_scope: TokenScope | None = None  # what a token needs to change something (tenants.authentication)
    model: Any
    request: Any

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            rows: QuerySet[Any] = self.model._default_manager.none()
            return rows
        visible: QuerySet[Any] = self.model.objects.visible_to(self.request.user)
        return visible


class InTenantFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Narrow a list to one tenant, by its slug."""

    tenant = django_filters.CharFilter(field_name="tenant__slug", label="Slug of a tenant")


class InProjectFilter(InTenantFilter):
    """Narrow a list to one tenant or project, by slug."""

    project = django_filters.CharFilter(field_name="project__slug", label="Slug of a project")
