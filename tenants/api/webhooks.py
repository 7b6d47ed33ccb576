"""Webhooks over HTTP, and what they were sent."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from core.serializers import StrictModelSerializer, StrictSerializer, require_no_fields
from tenants.actions import (
    add_webhook,
    change_webhook,
    delete_webhook,
    disable_webhook,
    enable_webhook,
    rotate_webhook_secret,
    send_delivery_again,
    try_webhook,
)
from tenants.actions.webhooks import OVERLAPS_HOURS
from tenants.api.base import InTenantFilter, TenantNameSerializer, VisibleMixin, named_tenant
from tenants.models import Tenant, Webhook, WebhookDelivery
from tenants.roles import TokenScope
from tenants.webhooks.events import EVENTS, TEST


class WebhookSerializer(StrictModelSerializer[Webhook]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    events = serializers.ListField(child=serializers.ChoiceField(EVENTS), read_only=True)
    state = serializers.ChoiceField(["active", "failing", "disabled"], read_only=True)
    disabled_by = serializers.ChoiceField(Webhook.Off.choices, allow_blank=True, read_only=True)
    secret_ends_with = serializers.CharField(source="hint", read_only=True)

    class Meta:
        model = Webhook
        fields = [
            "id", "tenant", "name", "url", "events", "state", "failing_since", "disabled_at", "disabled_by",
            "secret_ends_with", "old_secret_until", "created_at",
        ]  # fmt: skip


class WebhookWithSecretSerializer(WebhookSerializer):
    secret = serializers.CharField(read_only=True, help_text="Shown once; it is stored encrypted.")

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class ChangeWebhookSerializer(StrictSerializer):
    name = serializers.CharField(max_length=80)
    url = serializers.CharField(max_length=2000, help_text="https, and a public address.")
    events = serializers.ListField(
        child=serializers.ChoiceField(EVENTS), allow_empty=False, max_length=len(EVENTS)
    )


class NewWebhookSerializer(TenantNameSerializer, ChangeWebhookSerializer):
    reads_everything = True


class RotateWebhookSerializer(StrictSerializer):
    overlap_hours = serializers.ChoiceField(
        OVERLAPS_HOURS, default=24, help_text="For how long the old secret signs as well."
    )


class DeliverySerializer(StrictModelSerializer[WebhookDelivery]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    webhook = serializers.PrimaryKeyRelatedField[Webhook](read_only=True)
    event = serializers.ChoiceField([*EVENTS, TEST], read_only=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "tenant", "webhook", "event", "subject_id", "occurred_at", "state", "attempts", "due_at",
            "status_code", "milliseconds", "problem", "settled_at",
        ]  # fmt: skip
        read_only_fields = fields


class DeliveryFilter(InTenantFilter):
    """Narrow the list to a tenant, or to one webhook."""

    webhook = django_filters.UUIDFilter(field_name="webhook_id", label="Id of a webhook")


@extend_schema_view(
    list=extend_schema(description="Webhooks of the tenants that you manage. No answer contains a secret.")
)
class WebhookViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Webhook]):
    """Addresses that are sent what happens in a tenant (Standard Webhooks)."""

    model, serializer_class, filterset_class = Webhook, WebhookSerializer, InTenantFilter
    token_scope = TokenScope.MANAGE

    def get_queryset(self) -> QuerySet[Webhook]:
        return super().get_queryset().select_related("tenant")

    @extend_schema(request=NewWebhookSerializer, responses={201: WebhookWithSecretSerializer})
    def create(self, request: Request) -> Response:
        """Add a webhook. Only this answer contains its secret."""
        user = signed_in(request)
        tenant = named_tenant(user, request.data)
        add_webhook.require(user, tenant)
        wanted = NewWebhookSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        said = wanted.validated_data
        webhook, secret = add_webhook(
            tenant, name=said["name"], url=said["url"], events=said["events"], by=user
        )
        return self._with_secret(webhook, secret, 201)

    @extend_schema(request=ChangeWebhookSerializer, responses=WebhookSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what a webhook is called, where it leads, or its events. Omitted fields stay; its secret does, too."""
        found = self.subject_of(change_webhook)
        wanted = ChangeWebhookSerializer(data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        said: dict[str, Any] = {"name": found.name, "url": found.url, "events": found.events}
        webhook = change_webhook(found.pk, by=signed_in(request), **said | wanted.validated_data)
        return Response(self.get_serializer(webhook).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a webhook with the list of what it was sent."""
        found = self.subject_of(delete_webhook)
        delete_webhook(found.pk, by=signed_in(request))
        return Response(status=204)

    @extend_schema(request=RotateWebhookSerializer, responses=WebhookWithSecretSerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Give a webhook a new secret. Only this answer contains it."""
        found = self.subject_of(rotate_webhook_secret)
        wanted = RotateWebhookSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        hours = int(wanted.validated_data["overlap_hours"])
        webhook, secret = rotate_webhook_secret(found.pk, overlap_hours=hours, by=signed_in(request))
        return self._with_secret(webhook, secret, 200)

    @extend_schema(
        request=None,
        responses={200: WebhookSerializer, 409: OpenApiResponse(description="It is disabled already.")},
    )
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Send nothing more to a webhook."""
        found = self.subject_of(disable_webhook)
        require_no_fields(request.data)
        return Response(self.get_serializer(disable_webhook(found.pk, by=signed_in(request))).data)

    @extend_schema(
        request=None,
        responses={200: WebhookSerializer, 409: OpenApiResponse(description="It is not disabled.")},
    )
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        """Send what happens from now on to a disabled webhook again."""
        found = self.subject_of(enable_webhook)
        require_no_fields(request.data)
        return Response(self.get_serializer(enable_webhook(found.pk, by=signed_in(request))).data)

    @extend_schema(
        request=None,
        responses={202: DeliverySerializer, 409: OpenApiResponse(description="A test is still on its way.")},
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send a webhook an event that means nothing. `webhook-deliveries/` says what it answered."""
        found = self.subject_of(try_webhook)
        require_no_fields(request.data)
        delivery = try_webhook(found.pk, by=signed_in(request))
        return Response(DeliverySerializer(delivery, context=self.get_serializer_context()).data, status=202)

    def _with_secret(self, webhook: Webhook, secret: str, status: int) -> Response:
        # `secret` of the row is what is stored; the serializer reads this copy's.
        webhook.secret = secret
        answer = WebhookWithSecretSerializer(webhook, context=self.get_serializer_context()).data
        return Response(answer, status=status, headers={"Cache-Control": "no-store"})


@extend_schema_view(
    list=extend_schema(description="What webhooks of the tenants that you manage were sent, newest first.")
)
class WebhookDeliveryViewSet(
    VisibleMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[WebhookDelivery],
):
    """What webhooks were sent, and what they answered."""

    model, serializer_class, filterset_class = WebhookDelivery, DeliverySerializer, DeliveryFilter
    token_scope = TokenScope.MANAGE

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        return super().get_queryset().select_related("tenant", "webhook")

    @extend_schema(
        request=None,
        responses={202: DeliverySerializer, 409: OpenApiResponse(description="It is still being sent.")},
    )
    @action(detail=True, methods=["post"], url_path="send-again")
    def send_again(self, request: Request, pk: str) -> Response:
        """Send it again, with the same id."""
        found = self.subject_of(send_delivery_again)
        require_no_fields(request.data)
        delivery = send_delivery_again(found.pk, by=signed_in(request))
        return Response(self.get_serializer(delivery).data, status=202)
