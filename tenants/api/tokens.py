"""Personal access tokens over HTTP: your own, and those of tenants where you manage tokens."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404
from django.utils.timezone import now
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.permissions import signed_in
from core.serializers import StrictModelSerializer, StrictSerializer, require_no_fields
from tenants.actions import issue_personal_access_token, revoke_personal_access_token
from tenants.actions.tokens import Bearer
from tenants.api.base import InTenantFilter, VisibleMixin, service_account_of
from tenants.models import PersonalAccessToken, Tenant
from tenants.roles import TokenScope


class TokenSerializer(StrictModelSerializer[PersonalAccessToken]):
    tenant = serializers.SlugRelatedField[Tenant](
        slug_field="slug",
        read_only=True,
        allow_null=True,
        help_text="The only tenant it opens; null: all of its owner's tenants.",
    )
    owner = serializers.CharField(source="user.email", read_only=True)
    issued_by = serializers.CharField(
        source="issued_by.email",
        read_only=True,
        default=None,
        allow_null=True,
        help_text="The person who created it and saw its secret. Null: unknown.",
    )
    state = serializers.ChoiceField(["active", "suspended", "expired", "revoked"], read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(TokenScope.choices), read_only=True)

    class Meta:
        model = PersonalAccessToken
        fields = [
            "id", "owner", "issued_by", "tenant", "name", "scopes", "prefix", "state", "created_at", "expires_at",
            "last_used_at", "revoked_at",
        ]  # fmt: skip


class IssuedTokenSerializer(TokenSerializer):
    secret = serializers.CharField(read_only=True, help_text="Shown once; it is not stored.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "secret"]


class TokenPlaceSerializer(StrictSerializer):
    """The owner of a new token, and the tenant it opens."""

    reads_everything = False
    tenant = serializers.SlugField(
        required=False, allow_null=True, help_text="Slug of the only tenant it opens; default: all of yours."
    )
    service_account = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="Id in `service-accounts/` of an account whose tokens you manage.",
    )


class NewTokenSerializer(TokenPlaceSerializer):
    """What a new token is for, what it may do, and until when."""

    reads_everything = True
    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(TokenScope.choices), allow_empty=False, max_length=len(TokenScope)
    )
    expires_at = serializers.DateTimeField(help_text="At most a year from now.")


class TokenFilter(InTenantFilter):
    """Narrow the list to a tenant, or to your own tokens."""

    mine = django_filters.BooleanFilter(method="only_mine", label="true: only your own")

    def only_mine(
        self, tokens: QuerySet[PersonalAccessToken], name: str, value: bool
    ) -> QuerySet[PersonalAccessToken]:
        return tokens.filter(user=self.request.user) if value else tokens


@extend_schema_view(
    list=extend_schema(
        description="Your tokens and those that you manage, newest first. No answer contains a secret."
    )
)
class TokenViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[PersonalAccessToken]):
    """Tokens for this API."""

    model, serializer_class, filterset_class = PersonalAccessToken, TokenSerializer, TokenFilter
    token_scope = TokenScope.MANAGE

    def get_queryset(self) -> QuerySet[PersonalAccessToken]:
        return super().get_queryset().select_related("tenant", "user", "issued_by")

    @extend_schema(request=NewTokenSerializer, responses={201: IssuedTokenSerializer})
    def create(self, request: Request) -> Response:
        """Create a token. Only this answer contains its secret.

        If a token with the scope `manage` creates it, the new token cannot exceed that token's scopes, tenant
        or expiry.
        """
        user = signed_in(request)
        place = TokenPlaceSerializer(data=request.data)
        place.is_valid(raise_exception=True)
        owner = _owner(user, place.validated_data.get("service_account"))
        tenant = _own_tenant(user, place.validated_data.get("tenant"))
        draft = PersonalAccessToken(user=owner, tenant=owner.service_of or tenant)
        issue_personal_access_token.require(user, draft)
        wanted = NewTokenSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        said = wanted.validated_data
        token, secret = issue_personal_access_token(
            owner,
            name=said["name"],
            life=said["expires_at"] - now(),
            scopes=said["scopes"],
            tenant=tenant,
            by=user,
            through=cast(Bearer | None, request.auth),  # None for a session
        )
        token.secret = secret  # type: ignore[attr-defined]
        answer = IssuedTokenSerializer(token, context=self.get_serializer_context()).data
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})

    @extend_schema(
        request=None,
        responses={200: TokenSerializer, 409: OpenApiResponse(description="It is already revoked.")},
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Revoke a token permanently, even the one used for this call."""
        found = self.subject_of(revoke_personal_access_token)
        require_no_fields(request.data)
        token = revoke_personal_access_token(found.pk, by=signed_in(request))
        return Response(self.get_serializer(token).data)


def _own_tenant(user: User, slug: str | None) -> Tenant | None:
    """Return one of the person's tenants by its slug. Raises ValidationError for any other."""
    if not slug:
        return None
    tenant = Tenant.objects.filter(pk__in=user.own_tenants(), slug=slug).first()
    if tenant is None:
        raise ValidationError({"tenant": [_("You are not a member of such a tenant.")]})
    return tenant


def _owner(user: User, service_account: UUID | None) -> User:
    """Return the owner of a new token: the person, or the service account they name. Raises Http404 for any other."""
    if service_account is None:
        return user
    account = service_account_of(user, service_account)
    if account is None:
        raise Http404
    return account
