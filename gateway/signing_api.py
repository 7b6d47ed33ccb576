"""The keys that sign configuration, over HTTP, for operators and their automation."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.entry_points import SubjectMixin
from accounts.permissions import signed_in
from core.serializers import StrictModelSerializer, require_no_fields
from gateway import signing_actions
from gateway.models import SigningKey
from gateway.signing import pin_of
from tenants.roles import TokenScope


class SigningKeySerializer(StrictModelSerializer[SigningKey]):
    """A key with which the console signs configuration; only its public half."""

    fingerprint = serializers.CharField(read_only=True)
    for_gateways = serializers.SerializerMethodField(help_text="The text for GATEWAY_CONFIG_KEYS.")
    only_key_of = serializers.SerializerMethodField(
        help_text="Names of gateways that were given no other key in use."
    )

    class Meta:
        model = SigningKey
        fields = ["id", "fingerprint", "for_gateways", "only_key_of", "created_at", "retired_at"]

    def get_for_gateways(self, key: SigningKey) -> str:
        return str(pin_of(key))

    def get_only_key_of(self, key: SigningKey) -> list[str]:
        return signing_actions.gateways_given_only(key) if key.retired_at is None else []


class SigningKeyViewSet(
    SubjectMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """Keys with which the console signs configuration for gateways."""

    token_scope = TokenScope.PLATFORM
    serializer_class = SigningKeySerializer
    # For the schema; get_queryset returns the rows.
    queryset = SigningKey.objects.none()

    def get_queryset(self) -> Any:
        return SigningKey.objects.visible_to(self.request.user).order_by("-created_at")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if not request.user.has_perm("gateway.view_signingkey"):
            raise PermissionDenied(_("Only operators can see signing keys."))
        return super().list(request, *args, **kwargs)

    @extend_schema(request=None, responses={201: SigningKeySerializer})
    def create(self, request: Request) -> Response:
        """Add a key. The console signs with it and the older ones from now on."""
        signing_actions.add_signing_key.require(signed_in(request), None)
        require_no_fields(request.data)
        key = signing_actions.add_signing_key(by=signed_in(request))
        return Response(self.get_serializer(key).data, status=201)

    @extend_schema(request=None, responses=SigningKeySerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: str) -> Response:
        """Stop signing with a key. 409 names the gateways that were given no other."""
        key = self.subject_of(signing_actions.retire_signing_key)
        require_no_fields(request.data)
        signing_actions.retire_signing_key(key.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_object()).data)
