"""Tenants and projects over HTTP."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from core.serializers import StrictModelSerializer, StrictSerializer, require_no_fields
from tenants.actions import (
    change_project,
    change_tenant,
    create_project,
    resume_tenant,
    suspend_tenant,
)
from tenants.api.base import InTenantFilter, VisibleMixin, named_tenant
from tenants.api.fields import AddressSerializerField
from tenants.api.limits import (
    LIMITS_SCHEMA,
    SET_LIMITS_SCHEMA,
    TAKES_OF_LIMITS,
    TAKES_TO_SET_LIMITS,
    project_limits,
)
from tenants.api.project_roles import (
    ROLES_SCHEMA,
    SET_ROLE_SCHEMA,
    TAKES_OF_ROLES,
    TAKES_TO_SET_ROLE,
    project_roles,
)
from tenants.models import Membership, Project, Tenant
from tenants.roles import TokenScope

_NOT_ACTIVE = OpenApiResponse(description="The tenant is suspended or closed; `detail` says why.")


class TenantSerializer(StrictModelSerializer[Tenant]):
    role = serializers.SerializerMethodField(help_text="Your role there; null for platform staff.")

    class Meta:
        model = Tenant
        fields = ("id", "slug", *Tenant.EDITABLE, "status", "suspended_reason", "role")

    def get_role(self, tenant: Tenant) -> str | None:
        return self._roles.get(tenant.pk)

    @cached_property
    def _roles(self) -> dict[Any, str]:
        user = self.context["request"].user
        return dict(Membership.objects.visible_to(user).filter(user=user).values_list("tenant", "role"))


class ChangeTenantSerializer(StrictModelSerializer[Tenant]):
    """Omitted fields stay."""

    class Meta:
        model = Tenant
        fields = Tenant.EDITABLE
        extra_kwargs: ClassVar[dict[str, Any]] = {"regions": {"max_length": 50}}


class BecauseSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500, help_text="The tenant's members see it on every page.")


class TenantViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Tenant]):
    """Your tenants. Platform staff see all tenants."""

    model, serializer_class = Tenant, TenantSerializer
    token_scope = TokenScope.MANAGE
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"

    @extend_schema(request=ChangeTenantSerializer, responses={200: TenantSerializer, 409: _NOT_ACTIVE})
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change a tenant's settings. Its slug is permanent."""
        tenant = self.subject_of(change_tenant)
        said = ChangeTenantSerializer(data=request.data, partial=True)
        said.is_valid(raise_exception=True)
        changed = change_tenant(tenant.pk, by=signed_in(request), **said.validated_data)
        return Response(self.get_serializer(changed).data)

    @extend_schema(request=BecauseSerializer, responses={200: TenantSerializer, 409: _NOT_ACTIVE})
    @action(detail=True, methods=["post"], token_scope=TokenScope.PLATFORM)
    def suspend(self, request: Request, slug: str) -> Response:
        """Stop a tenant's keys, requests and exports until it is resumed. Only operators can."""
        tenant = self.subject_of(suspend_tenant)
        said = BecauseSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        suspended = suspend_tenant(tenant.pk, by=signed_in(request), reason=said.validated_data["reason"])
        return Response(self.get_serializer(suspended).data)

    @extend_schema(
        request=None,
        responses={200: TenantSerializer, 409: OpenApiResponse(description="It is not suspended.")},
    )
    @action(detail=True, methods=["post"], token_scope=TokenScope.PLATFORM)
    def resume(self, request: Request, slug: str) -> Response:
        """Resume a suspended tenant. Only operators can."""
        tenant = self.subject_of(resume_tenant)
        require_no_fields(request.data)
        resumed = resume_tenant(tenant.pk, by=signed_in(request))
        return Response(self.get_serializer(resumed).data)


class ProjectSerializer(StrictModelSerializer[Project]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    owner = serializers.EmailField(source="owner.email", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Project
        fields = ("id", "tenant", "slug", *Project.EDITABLE, "created_at")


class ChangeProjectSerializer(StrictModelSerializer[Project]):
    """Omitted fields stay."""

    owner = AddressSerializerField(
        required=False, allow_null=True, help_text="A member's e-mail address; null: no named owner."
    )

    class Meta:
        model = Project
        fields: tuple[str, ...] = Project.EDITABLE
        # The action checks whether the slug is free.
        validators: ClassVar[list[Any]] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("owner"):
            members = Membership.objects.in_tenant(self.context["tenant"]).select_related("user")
            member = members.filter(user__email=attrs["owner"]).first()
            if member is None:
                raise serializers.ValidationError({"owner": [_("There is no such member.")]})
            attrs["owner"] = member.user
        return attrs


class NewProjectSerializer(ChangeProjectSerializer):
    """A new project."""

    tenant = serializers.SlugField(help_text="Slug of the tenant.")
    slug = serializers.SlugField(max_length=60, help_text="Permanent; used in reports.")

    class Meta(ChangeProjectSerializer.Meta):
        fields = ("tenant", "slug", *Project.EDITABLE)


class ProjectViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Project]):
    """Teams and applications inside your tenants."""

    model, serializer_class, filterset_class = Project, ProjectSerializer, InTenantFilter
    token_scope = TokenScope.MANAGE

    def get_queryset(self) -> QuerySet[Project]:
        return super().get_queryset().select_related("tenant", "owner")

    @extend_schema(request=NewProjectSerializer, responses={201: ProjectSerializer, 409: _NOT_ACTIVE})
    def create(self, request: Request) -> Response:
        """Create a project in a tenant."""
        tenant = named_tenant(request.user, request.data)
        create_project.require(signed_in(request), tenant)
        said = NewProjectSerializer(data=request.data, context={"tenant": tenant})
        said.is_valid(raise_exception=True)
        fields = {name: value for name, value in said.validated_data.items() if name != "tenant"}
        project = create_project(tenant, by=signed_in(request), **fields)
        return Response(self.get_serializer(project).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ChangeProjectSerializer, responses={200: ProjectSerializer, 409: _NOT_ACTIVE})
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a project. Its slug is permanent."""
        project = self.subject_of(change_project)
        said = ChangeProjectSerializer(data=request.data, partial=True, context={"tenant": project.tenant})
        said.is_valid(raise_exception=True)
        changed = change_project(project.pk, by=signed_in(request), **said.validated_data)
        return Response(self.get_serializer(changed).data)

    @SET_ROLE_SCHEMA
    @ROLES_SCHEMA
    @TAKES_OF_ROLES
    @TAKES_TO_SET_ROLE
    @action(detail=True, methods=["get", "post"], pagination_class=None, filterset_class=None)
    def roles(self, request: Request, pk: str) -> Response:
        return project_roles(request, self.get_object())

    @SET_LIMITS_SCHEMA
    @LIMITS_SCHEMA
    @TAKES_OF_LIMITS
    @TAKES_TO_SET_LIMITS
    @action(detail=True, methods=["get", "patch"], pagination_class=None, filterset_class=None)
    def limits(self, request: Request, pk: str) -> Response:
        return project_limits(request, self.get_object())
