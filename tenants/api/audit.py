"""The audit trail over HTTP."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from guardian.shortcuts import get_objects_for_user
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import PermissionDenied

from tenants.api.base import InTenantFilter, VisibleMixin
from tenants.models import AuditEntry, Tenant
from tenants.permissions import signed_in


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True, allow_null=True)
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
