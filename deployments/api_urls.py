"""Routes of the HTTP API."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from deployments import api, provider_api, routes_api

router = SimpleRouter()
router.register("clusters", api.ClusterViewSet, basename="cluster")
router.register("deployments", api.DeploymentViewSet, basename="deployment")
router.register("routes", routes_api.RouteViewSet, basename="route")
router.register("providers", provider_api.ProviderViewSet, basename="provider")
router.register(
    "provider-credentials", provider_api.ProviderCredentialViewSet, basename="provider-credential"
)
router.register("provider-models", provider_api.ProviderModelViewSet, basename="provider-model")

urlpatterns = [
    *router.urls,
    path("provider-networks/", provider_api.ProviderNetworksView.as_view(), name="provider-networks-api"),
]
