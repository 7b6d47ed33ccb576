"""Routes of the HTTP API."""

from rest_framework.routers import DefaultRouter

from deployments import api

router = DefaultRouter()
router.include_root_view = False
router.register("clusters", api.ClusterViewSet, basename="cluster")
router.register("deployments", api.DeploymentViewSet, basename="deployment")

urlpatterns = router.urls
