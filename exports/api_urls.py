"""Routes of /api/v1/ for exports."""

from django.urls import path

from exports.api import ExportViewSet

urlpatterns = [
    path("exports/", ExportViewSet.as_view({"get": "list", "post": "create"}), name="export-list-api"),
    path("exports/<uuid:pk>/", ExportViewSet.as_view({"get": "retrieve"}), name="export-detail-api"),
    path(
        "exports/<uuid:pk>/download/",
        ExportViewSet.as_view({"get": "download"}, **ExportViewSet.download.kwargs),
        name="export-download-api",
    ),
]
