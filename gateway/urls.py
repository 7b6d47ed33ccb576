"""The routes that gateways call, below /internal/v1/."""

from django.urls import path

from gateway import views

urlpatterns = [
    path("config", views.config, name="gateway-config"),
    path("gateways/<str:name>/ack", views.ack, name="gateway-ack"),
    path("refusals", views.refusals, name="gateway-refusals"),
    path("usage", views.usage, name="gateway-usage"),
]
