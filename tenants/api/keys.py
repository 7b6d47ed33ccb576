"""Keys over HTTP."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.permissions import signed_in
from core.rate_limits import limit_rate
from core.serializers import StrictModelSerializer, StrictSerializer
from tenants.actions import claim_api_key, revoke_api_key
from tenants.api.base import InProjectFilter, VisibleMixin, service_account_of
from tenants.models import ApiKey, Project, Tenant
from tenants.roles import TokenScope


class ApiKeySerializer(StrictModelSerializer[ApiKey]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True)
    models = serializers.ListField(source="model_names", child=serializers.CharField(), read_only=True)
    owner = serializers.EmailField(
        source="owner.email",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="The person who answers for it.",
    )

    class Meta:
        model = ApiKey
        fields = [
            "id", "tenant", "project", "name", "models", "networks", "state", "prefix", "owner", "created_at",
            "claim_by", "claimed_at", "expires_at", "suspended_at", "suspended_reason", "revoked_at", "last_used_at",
        ]  # fmt: skip


class ClaimedKeySerializer(ApiKeySerializer):
    secret = serializers.CharField(read_only=True, help_text="Shown once; it is not stored.")

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "secret"]


class ClaimSerializer(StrictSerializer):
    service_account = serializers.UUIDField(
        required=False,
        default=None,
        allow_null=True,
        help_text="Id in `service-accounts/` of the account that will own the key; default: you.",
    )


class RevokeSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


@extend_schema_view(
    list=extend_schema(description="Keys of your projects, newest first. No answer contains a secret.")
)
class ApiKeyViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[ApiKey]):
    """Bearer secrets of your projects."""

    model, serializer_class, filterset_class = ApiKey, ApiKeySerializer, InProjectFilter
    token_scope = TokenScope.KEYS

    def get_queryset(self) -> QuerySet[ApiKey]:
        return super().get_queryset().select_related("tenant", "project", "owner")

    @extend_schema(
        request=ClaimSerializer,
        responses={
            200: ClaimedKeySerializer,
            409: OpenApiResponse(description="It was already claimed or revoked."),
        },
        description="Generate the secret of a key that waits. Only this answer contains it.",
    )
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, pk: str) -> Response:
        found = self.get_object()
        limit_rate("key_claim", str(signed_in(request).pk))
        claim_api_key.require(signed_in(request), found)
        said = ClaimSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        owner = _holder(signed_in(request), said.validated_data["service_account"])
        key, secret = claim_api_key(found.pk, by=signed_in(request), owner=owner)
        key.secret = secret  # type: ignore[attr-defined]
        answer = ClaimedKeySerializer(key, context=self.get_serializer_context()).data
        return Response(answer, headers={"Cache-Control": "no-store"})

    @extend_schema(
        request=RevokeSerializer, responses=ApiKeySerializer, description="Revoke a key permanently."
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        found = self.subject_of(revoke_api_key)
        wanted = RevokeSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        key = revoke_api_key(found.pk, by=signed_in(request), reason=wanted.validated_data["reason"])
        return Response(self.get_serializer(key).data)


def _holder(user: User, service_account: UUID | None) -> UUID | None:
    """Return the user id of the service account that is to own a key. Raises ValidationError if it does not exist."""
    if service_account is None:
        return None
    account = service_account_of(user, service_account)
    if account is None:
        raise ValidationError({"service_account": [_("Choose an active service account of this tenant.")]})
    return account.pk
