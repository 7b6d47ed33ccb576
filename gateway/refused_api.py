"""Refused calls over HTTP."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers, viewsets

from core.filters import MomentFilter
from core.serializers import StrictModelSerializer, StrictSerializer
from gateway.models import RefusedCalls
from tenants.api.base import InTenantFilter, VisibleMixin
from tenants.models import Tenant


class RefusedSampleSerializer(StrictSerializer):
    """One of the calls."""

    call_id = serializers.UUIDField(help_text="The call's `x-request-id`.")
    at = serializers.IntegerField(help_text="Seconds since 1970.")


class RefusedCallsSerializer(StrictModelSerializer[RefusedCalls]):
    """Calls of one key that a gateway refused alike within one minute."""

    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    gateway = serializers.CharField(source="gateway_name", read_only=True)
    samples = RefusedSampleSerializer(many=True, read_only=True)

    class Meta:
        model = RefusedCalls
        fields = [
            "id",
            "tenant",
            "project_id",
            "key_id",
            "gateway",
            "minute",
            "model",
            "status",
            "code",
            "count",
            "limit_id",
            "limit_scope",
            "limit_scope_id",
            "limit_kind",
            "limit_value",
            "limit_model",
            "samples",
        ]
        read_only_fields = fields


class RefusedCallsFilter(InTenantFilter):
    """Narrow the list to a tenant, project, key, code or limit."""

    project = django_filters.UUIDFilter("project_id", label="Id of a project")
    key = django_filters.UUIDFilter("key_id", label="Id of a key")
    limit_id = django_filters.UUIDFilter(label="Id of the limit that refused")
    code = django_filters.CharFilter("code", label="The code of the answer")
    since = MomentFilter("minute", "gte", label="The first minute")


class RefusedCallsViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[RefusedCalls]):
    """Calls that gateways refused, by minute. Best effort: a gateway that is killed loses its last minute.

    `limit_value` is in calls, tokens, or nano-units (10⁻⁹) of the tenant's currency. Calls without a valid key are not
    here.
    """

    model, serializer_class, filterset_class = RefusedCalls, RefusedCallsSerializer, RefusedCallsFilter

    def get_queryset(self) -> QuerySet[RefusedCalls]:
        return super().get_queryset().select_related("tenant")
