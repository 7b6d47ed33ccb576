"""Billing's part of the HTTP API."""

from django.urls import path

from billing import api

urlpatterns = [
    path("costs/", api.CostsView.as_view(), name="costs-api"),
    path("usage/", api.UsageView.as_view(), name="usage-api"),
    path("prices/", api.PriceViewSet.as_view({"get": "list"}), name="price-list-api"),
    path("prices/<uuid:pk>/", api.PriceViewSet.as_view({"get": "retrieve"}), name="price-detail-api"),
]
