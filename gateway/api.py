"""Settings for all gateways, over HTTP, for operators and their automation."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import signed_in
from deployments.provider_fields import MOST_REGIONS
from gateway import actions
from gateway.models import GatewayPolicy
from tenants.roles import TokenScope


class MediaHostsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Hosts from which engines may fetch pictures, sounds and files; empty: only `data:` URLs."""

    hosts = serializers.ListField(
        child=serializers.CharField(max_length=253), max_length=actions.MOST_MEDIA_HOSTS
    )


class MediaHostsView(APIView):
    """The hosts from which engines may fetch media, one list for all gateways."""

    token_scope = TokenScope.PLATFORM

    @extend_schema(operation_id="media_hosts", responses=MediaHostsSerializer)
    def get(self, request: Request) -> Response:
        """The hosts from which engines may fetch media that clients name by URL."""
        if not request.user.has_perm("gateway.view_gateway"):
            raise PermissionDenied("Only operators can see settings of all gateways.")
        policy = GatewayPolicy.objects.first()
        return Response({"hosts": policy.media_hosts if policy else []})

    @extend_schema(
        operation_id="media_hosts_set", request=MediaHostsSerializer, responses=MediaHostsSerializer
    )
    def post(self, request: Request) -> Response:
        """Replace the list; every gateway receives it within seconds. Safe to repeat."""
        actions.set_media_hosts.require(signed_in(request), None)
        wanted = MediaHostsSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        policy = actions.set_media_hosts(wanted.validated_data["hosts"], by=signed_in(request))
        return Response({"hosts": policy.media_hosts})


class RegionOrderSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Regions in the order in which gateways prefer targets of equal priority, after their own region."""

    regions = serializers.ListField(child=serializers.CharField(max_length=60), max_length=MOST_REGIONS)


class RegionOrderView(APIView):
    """The order of regions, one for all gateways."""

    token_scope = TokenScope.PLATFORM

    @extend_schema(operation_id="region_order", responses=RegionOrderSerializer)
    def get(self, request: Request) -> Response:
        """Where calls go after a gateway's own region; targets elsewhere come last."""
        if not request.user.has_perm("gateway.view_gateway"):
            raise PermissionDenied("Only operators can see settings of all gateways.")
        policy = GatewayPolicy.objects.first()
        return Response({"regions": policy.region_order if policy else []})

    @extend_schema(
        operation_id="region_order_set", request=RegionOrderSerializer, responses=RegionOrderSerializer
    )
    def post(self, request: Request) -> Response:
        """Replace the order; every gateway follows it within seconds. Safe to repeat."""
        actions.set_region_order.require(signed_in(request), None)
        wanted = RegionOrderSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        policy = actions.set_region_order(wanted.validated_data["regions"], by=signed_in(request))
        return Response({"regions": policy.region_order})
