"""Pages below /t/<tenant>/ about what gateways enforce."""

from django.urls import path

from gateway.pages import ProjectLimits
from gateway.refused_pages import RefusedCallsPage

urlpatterns = [
    path("projects/<uuid:pk>/limits/", ProjectLimits.as_view(), name="project-limits"),
    path("refused-calls/", RefusedCallsPage.as_view(), name="refused-calls"),
]
