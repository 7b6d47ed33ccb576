"""Pages below /t/<tenant>/ about what gateways enforce."""

from django.urls import path

from gateway.pages import ProjectLimits

urlpatterns = [
    path("projects/<uuid:pk>/limits/", ProjectLimits.as_view(), name="project-limits"),
]
