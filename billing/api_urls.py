"""Billing's part of the HTTP API."""

from django.urls import path

from billing import api

urlpatterns = [
    path("costs/", api.CostsView.as_view(), name="costs-api"),
    path("usage/", api.UsageView.as_view(), name="usage-api"),
    path("exports/", api.ExportViewSet.as_view({"get": "list", "post": "create"}), name="export-list-api"),
    path("exports/<uuid:pk>/", api.ExportViewSet.as_view({"get": "retrieve"}), name="export-detail-api"),
    path(
        "exports/<uuid:pk>/download/",
        api.ExportViewSet.as_view({"get": "download"}, **api.ExportViewSet.download.kwargs),
        name="export-download-api",
    ),
    path("prices/", api.PriceViewSet.as_view({"get": "list"}), name="price-list-api"),
    path("prices/<uuid:pk>/", api.PriceViewSet.as_view({"get": "retrieve"}), name="price-detail-api"),
]
