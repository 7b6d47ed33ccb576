"""Gateways over HTTP, for operators and their monitoring: which revision each runs, and what it refused."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from core.serializers import StrictModelSerializer, StrictSerializer
from gateway.models import Gateway
from gateway.promises import kind_of, not_promised
from tenants.roles import TokenScope


class RefusedRevisionSerializer(StrictSerializer):
    """A revision that a gateway did not put in force."""

    revision = serializers.IntegerField(help_text="0: its head could not be read.")
    reason = serializers.CharField()


class GatewaySerializer(StrictModelSerializer[Gateway]):
    """A gateway, and what it last acknowledged."""

    newest_revision = serializers.IntegerField(source="newest", read_only=True)
    behind_since = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When the first revision was raised that it lacks."
    )
    kind = serializers.SerializerMethodField(
        help_text="What it is: empty for a Quartermaster gateway, litellm for a LiteLLM proxy with the plugin."
    )
    kind_title = serializers.SerializerMethodField(help_text="The same in words, as its page says it.")
    not_promised = serializers.SerializerMethodField(
        help_text="What a gateway of this kind cannot promise, each a sentence; empty for a Quartermaster gateway."
    )
    refused = serializers.SerializerMethodField()
    release = serializers.SerializerMethodField()
    region = serializers.SerializerMethodField()
    workers = serializers.SerializerMethodField()
    contract_version = serializers.SerializerMethodField(help_text="The version that it is sent.")
    reads_versions = serializers.SerializerMethodField()
    signing_keys = serializers.SerializerMethodField(
        help_text="Fingerprints of the keys that it was given; empty: it does not check signatures."
    )
    problem = serializers.SerializerMethodField()
    started_at = serializers.SerializerMethodField()

    class Meta:
        model = Gateway
        fields = [
            "id",
            "name",
            "prefix",
            "created_at",
            "revoked_at",
            "acknowledged_revision",
            "acknowledged_at",
            "newest_revision",
            "behind_since",
            "last_seen_at",
            "spool_pending",
            "kind",
            "kind_title",
            "not_promised",
            "refused",
            "release",
            "region",
            "workers",
            "contract_version",
            "reads_versions",
            "signing_keys",
            "problem",
            "started_at",
        ]
        read_only_fields = fields

    def get_kind(self, gateway: Gateway) -> str:
        return str(gateway.report.get("kind", ""))

    def get_kind_title(self, gateway: Gateway) -> str:
        return str(kind_of(gateway.report))

    def get_not_promised(self, gateway: Gateway) -> list[str]:
        return [str(sentence) for sentence in not_promised(gateway.report)]

    @extend_schema_field(RefusedRevisionSerializer(allow_null=True))
    def get_refused(self, gateway: Gateway) -> dict[str, Any] | None:
        refused: dict[str, Any] | None = gateway.report.get("refused")
        return refused

    def get_release(self, gateway: Gateway) -> str:
        return str(gateway.report.get("version", ""))

    def get_region(self, gateway: Gateway) -> str:
        return str(gateway.report.get("region", ""))

    def get_workers(self, gateway: Gateway) -> int | None:
        workers: int | None = gateway.report.get("workers")
        return workers

    def get_contract_version(self, gateway: Gateway) -> int | None:
        version: int | None = gateway.report.get("contract_version")
        return version

    def get_reads_versions(self, gateway: Gateway) -> list[int]:
        return list(gateway.report.get("reads", []))

    def get_signing_keys(self, gateway: Gateway) -> list[str]:
        return list(gateway.report.get("signing_keys", []))

    def get_problem(self, gateway: Gateway) -> str:
        return str(gateway.report.get("problem", ""))

    def get_started_at(self, gateway: Gateway) -> str | None:
        started: str | None = gateway.report.get("started_at")
        return started


class GatewayViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]):
    """Gateways: which revision each runs, which it refused and why, its release, region and workers."""

    token_scope = TokenScope.PLATFORM
    serializer_class = GatewaySerializer
    # For the schema; get_queryset returns the rows.
    queryset = Gateway.objects.none()
    filterset_fields = ["name"]

    def get_queryset(self) -> Any:
        return Gateway.objects.visible_to(self.request.user).with_lag().order_by("name")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if not request.user.has_perm("gateway.view_gateway"):
            raise PermissionDenied(_("Only operators can see gateways."))
        return super().list(request, *args, **kwargs)
