"""Tenants, projects, keys, limits and the audit trail over HTTP."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from guardian.shortcuts import get_objects_for_user
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.actions import claim_api_key, revoke_api_key
from tenants.models import ApiKey, AuditEntry, Limit, Membership, Project, Tenant
from tenants.permissions import signed_in


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes personal access tokens."""

    target_class = "tenants.authentication.TokenAuthentication"
    name = "personalAccessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A personal access token, qmp_…"}


class VisibleMixin:
    """Gives a viewset only the rows its user may see; what is not visible answers 404."""

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


class LimitSerializer(serializers.ModelSerializer[Limit]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True)
    key = serializers.PrimaryKeyRelatedField[ApiKey](read_only=True)

    class Meta:
        model = Limit
        fields = ["id", "tenant", "project", "key", "model", "kind", "value", "is_hard", "created_at"]


class LimitViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Limit]):
    """Numbers that gateways enforce. `model` empty: all models together. Every limit that applies is checked."""

    model, serializer_class, filterset_class = Limit, LimitSerializer, InProjectFilter

    def get_queryset(self) -> QuerySet[Limit]:
        return super().get_queryset().select_related("tenant", "project")


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True)
    models = serializers.ListField(source="model_names", child=serializers.CharField(), read_only=True)

    class Meta:
        model = ApiKey
        fields = [
            "id", "tenant", "project", "name", "models", "networks", "state", "prefix", "created_at", "claim_by",
            "claimed_at", "expires_at", "revoked_at", "last_used_at",
        ]  # fmt: skip


class ClaimedKeySerializer(ApiKeySerializer):
    secret = serializers.CharField(read_only=True, help_text="Shown once: it is stored nowhere.")

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "secret"]


class RevokeSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


@extend_schema_view(
    list=extend_schema(description="Keys of your projects, newest first. No answer holds a secret.")
)
class ApiKeyViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[ApiKey]):
    """Bearer secrets of your projects."""

    model, serializer_class, filterset_class = ApiKey, ApiKeySerializer, InProjectFilter

    def get_queryset(self) -> QuerySet[ApiKey]:
        return super().get_queryset().select_related("tenant", "project")

    @extend_schema(
        request=None,
        responses={
            200: ClaimedKeySerializer,
            409: OpenApiResponse(description="It was claimed or revoked already."),
        },
        description="Make the secret of a waiting key. It is in this answer and never again.",
    )
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, pk: str) -> Response:
        key, secret = claim_api_key(self.get_object().pk, by=signed_in(request))
        key.secret = secret  # type: ignore[attr-defined]
        answer = ClaimedKeySerializer(key, context=self.get_serializer_context()).data
        return Response(answer, headers={"Cache-Control": "no-store"})

    @extend_schema(request=RevokeSerializer, responses=ApiKeySerializer, description="Stop a key for good.")
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        found = self.get_object()
        wanted = RevokeSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        key = revoke_api_key(found.pk, by=signed_in(request), reason=wanted.validated_data["reason"])
        return Response(self.get_serializer(key).data)


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    actor = serializers.CharField(source="actor_label", read_only=True)

    class Meta:
        model = AuditEntry
        fields = [
            "id", "tenant", "at", "actor", "verb", "subject_type", "subject_id", "subject_label", "details",
            "request_id", "address",
        ]  # fmt: skip

    def to_representation(self, instance: AuditEntry) -> dict[str, Any]:
        """Where staff sit is not the tenant's to know."""
        line = super().to_representation(instance)
        by_staff = instance.actor is not None and instance.actor.is_staff
        if by_staff and not signed_in(self.context["request"]).is_staff:
            line["address"] = None
        return dict(line)


class AuditFilter(InTenantFilter):
    """Narrow the trail to a tenant, a verb or a subject."""

    verb = django_filters.CharFilter()
    subject_id = django_filters.CharFilter()
    after = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")


class AuditEntryViewSet(
    VisibleMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AuditEntry]
):
    """Who did what, when and from where, in tenants whose trail you may read. Nothing here can be changed."""

    model, serializer_class, filterset_class = AuditEntry, AuditEntrySerializer, AuditFilter

    def get_queryset(self) -> QuerySet[AuditEntry]:
        visible = super().get_queryset().select_related("tenant", "actor")
        user = self.request.user
        if not user.is_authenticated or user.has_perm("tenants.view_audit"):
            return visible
        readable = get_objects_for_user(
            user, "tenants.view_audit", Tenant.objects.visible_to(user), accept_global_perms=False
        )
        if not readable.exists():
            raise PermissionDenied(
                "Your role does not let you read the audit trail. Ask an owner or admin for it."
            )
        return visible.filter(tenant__in=readable.values("pk"))
