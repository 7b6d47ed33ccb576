"""Settings for all gateways, over HTTP, for operators and their automation."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from core.serializers import StrictSerializer
from deployments.list_setting_entry_points import ListSettingView
from deployments.provider_fields import MOST_REGIONS
from gateway import actions
from gateway.list_settings import MEDIA_HOSTS, MOST_MEDIA_HOSTS, REGION_ORDER


class MediaHostsSerializer(StrictSerializer):
    """Hosts from which engines may fetch pictures, sounds and files; empty: only `data:` URLs."""

    hosts = serializers.ListField(child=serializers.CharField(max_length=253), max_length=MOST_MEDIA_HOSTS)


@extend_schema_view(
    get=extend_schema(
        operation_id="media_hosts",
        description="The hosts from which engines may fetch media that clients name by URL.",
    ),
    post=extend_schema(
        operation_id="media_hosts_set",
        responses=MediaHostsSerializer,
        description="Replace the list; every gateway receives it within seconds. Safe to repeat.",
    ),
)
class MediaHostsView(ListSettingView):
    """The hosts from which engines may fetch media, one list for all gateways."""

    setting, change = MEDIA_HOSTS, actions.set_media_hosts
    serializer_class = MediaHostsSerializer
    view_permission = "gateway.view_gateway"


class RegionOrderSerializer(StrictSerializer):
    """Regions in the order in which gateways prefer targets of equal priority, after their own region."""

    regions = serializers.ListField(child=serializers.CharField(max_length=60), max_length=MOST_REGIONS)


@extend_schema_view(
    get=extend_schema(
        operation_id="region_order",
        description="Where calls go after a gateway's own region; targets elsewhere come last.",
    ),
    post=extend_schema(
        operation_id="region_order_set",
        responses=RegionOrderSerializer,
        description="Replace the order; every gateway follows it within seconds. Safe to repeat.",
    ),
)
class RegionOrderView(ListSettingView):
    """The order of regions, one for all gateways."""

    setting, change = REGION_ORDER, actions.set_region_order
    serializer_class = RegionOrderSerializer
    view_permission = "gateway.view_gateway"
