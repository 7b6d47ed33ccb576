"""Routes of the HTTP API."""

from django.urls import path

from gateway import api

urlpatterns = [
    path("media-hosts/", api.MediaHostsView.as_view(), name="media-hosts-api"),
    path("region-order/", api.RegionOrderView.as_view(), name="region-order-api"),
]
