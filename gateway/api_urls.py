"""Routes of the HTTP API."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from gateway import api, gateways_api, refused_api, revisions_api, signing_api

router = SimpleRouter()
router.register("gateways", gateways_api.GatewayViewSet, basename="gateway")
router.register("revisions", revisions_api.RevisionViewSet, basename="revision")
router.register("signing-keys", signing_api.SigningKeyViewSet, basename="signing-key")
router.register("refused-calls", refused_api.RefusedCallsViewSet, basename="refused-calls")

urlpatterns = [
    *router.urls,
    path("media-hosts/", api.MediaHostsView.as_view(), name="media-hosts-api"),
    path("region-order/", api.RegionOrderView.as_view(), name="region-order-api"),
]
