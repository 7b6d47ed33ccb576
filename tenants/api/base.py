"""What the routes of the HTTP API share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.request import Request

from accounts.entry_points import SubjectMixin
from accounts.models import User
from core.scope import current_scope
from core.serializers import StrictSerializer
from core.tenant_managers import TenantOwned
from tenants.models import Membership, Project, Tenant
from tenants.roles import TokenScope


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes personal access tokens."""

    target_class = "tenants.token_authentication.TokenAuthentication"
    name = "personalAccessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A personal access token, qmp_…"}


class TenantNameSerializer(StrictSerializer):
    reads_everything = False
    tenant = serializers.SlugField(help_text="Slug of the tenant.")


def named_tenant(user: Any, said: Any) -> Tenant:
    """Return the tenant that a body or query names: 404 if `user` may not know of it, 400 if none is named.

    Call it before reading anything else, so that people without access learn nothing about the form.
    """
    wanted = TenantNameSerializer(data=said)
    wanted.is_valid(raise_exception=True)
    return get_object_or_404(Tenant.objects.visible_to(user), slug=wanted.validated_data["tenant"])


def visible_tenant(user: User, slug: str) -> Tenant:
    """Return the tenant by its slug; 404 if `user` may not know of it."""
    return get_object_or_404(Tenant.objects.visible_to(user), slug=slug)


def visible_project(user: User, tenant: Tenant, slug: str | None) -> Project | None:
    """Return the tenant's project by its slug, or None without a slug; 404 if `user` may know of no such project."""
    if not slug:
        return None
    return get_object_or_404(Project.objects.visible_to(user).in_tenant(tenant), slug=slug)


def peek(request: Request, name: str) -> Any:
    """Return one value of a body that is not validated yet, of any type; None if it is missing."""
    return request.data.get(name) if isinstance(request.data, Mapping) else None


class VisibleMixin(SubjectMixin):
    """Gives a viewset only the rows that its user may see; other rows answer 404."""

    token_scope: TokenScope | None = (
        # The scope that a token requires for changes (tenants.token_authentication).
        None
    )
    model: Any

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            rows: QuerySet[Any] = self.model._default_manager.none()
            return rows
        visible: QuerySet[Any] = self.model.objects.visible_to(self.request.user)
        scope = current_scope.get()
        if issubclass(self.model, TenantOwned) and len(scope.tenants) == 1 and not scope.is_platform:
            # Only this tenant is in scope. With its id in the filter, an index gives its newest rows in order.
            visible = visible.filter(tenant=scope.tenants[0])
        return visible


class InTenantFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Narrow a list to one tenant, by its slug."""

    tenant = django_filters.CharFilter(field_name="tenant__slug", label="Slug of a tenant")


class InProjectFilter(InTenantFilter):
    """Narrow a list to one tenant or project, by slug."""

    project = django_filters.CharFilter(field_name="project__slug", label="Slug of a project")


def service_account_of(user: User, pk: UUID) -> User | None:
    """Return the service account that `service-accounts/` lists for `user` under this id; None for any other id."""
    members = Membership.objects.visible_to(user).filter(user__service_of__isnull=False)
    member = members.select_related("user__service_of").filter(pk=pk).first()
    return member.user if member else None
