"""Routes of the HTTP API for attestations: which grants of a campaign are still needed."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from catalog.actions.campaigns import answer_attestation
from catalog.models import Attestation, AttestationCampaign
from core.serializers import StrictModelSerializer, StrictSerializer
from tenants.api.base import InTenantFilter, VisibleMixin
from tenants.models import Project, Tenant
from tenants.roles import TokenScope


class CampaignSerializer(StrictModelSerializer[AttestationCampaign]):
    class Meta:
        model = AttestationCampaign
        fields = ["id", "name", "state", "closes_at"]


class AttestationSerializer(StrictModelSerializer[Attestation]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    campaign = CampaignSerializer(read_only=True)
    project = serializers.SlugRelatedField[Project](source="grant.project", slug_field="slug", read_only=True)
    model = serializers.CharField(source="grant.model.name", read_only=True)
    owner = serializers.EmailField(source="grant.owner.email", read_only=True, default=None, allow_null=True)

    class Meta:
        model = Attestation
        fields = ["id", "tenant", "campaign", "grant", "project", "model", "owner", "answer", "answered_at"]


class AnswerSerializer(StrictSerializer):
    """Whether the grant is still needed."""

    answer = serializers.ChoiceField(
        choices=["confirmed", "dropped"], help_text="dropped: the grant is revoked at once."
    )


class AttestationFilter(InTenantFilter):
    """Filter attestations by tenant, answer or campaign, or keep only those of grants that an owner answers for."""

    answer = django_filters.ChoiceFilter(choices=Attestation.Answer.choices)
    campaign = django_filters.UUIDFilter(field_name="campaign", label="Id of a campaign")
    owner = django_filters.CharFilter(field_name="grant__owner__email", label="E-mail address of the owner")


class AttestationViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Attestation]):
    """Attestations: the grants of a campaign, and whether their owners still need them."""

    model, serializer_class, filterset_class = Attestation, AttestationSerializer, AttestationFilter
    token_scope = TokenScope.KEYS

    def get_queryset(self) -> QuerySet[Attestation]:
        rows = super().get_queryset().select_related("tenant", "campaign")
        return rows.select_related("grant__project__tenant", "grant__model", "grant__owner", "grant__tenant")

    @extend_schema(request=AnswerSerializer, responses=AttestationSerializer)
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: str) -> Response:
        """Say whether the grant is still needed. One that is not is revoked at once."""
        found = self.subject_of(answer_attestation)
        said = AnswerSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        answer_attestation(found.pk, by=signed_in(request), answer=said.validated_data["answer"])
        return Response(self.get_serializer(self.get_object()).data)
