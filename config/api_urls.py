"""The HTTP API, version 1: each app registers its routes, in the order of the import layers."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    path("", include("tenants.api_urls")),
    path("", include("exports.api_urls")),
    path("", include("privacy.api_urls")),
    path("", include("billing.api_urls")),
    path("", include("catalog.api_urls")),
    path("", include("deployments.api_urls")),
    path("", include("gateway.api_urls")),
]
