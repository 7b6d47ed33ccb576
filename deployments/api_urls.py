"""Routes of the HTTP API."""

from rest_framework.routers import SimpleRouter

from deployments import api, routes_api

router = SimpleRouter()
router.register("clusters", api.ClusterViewSet, basename="cluster")
router.register("deployments", api.DeploymentViewSet, basename="deployment")
router.register("routes", routes_api.RouteViewSet, basename="route")

urlpatterns = router.urls
