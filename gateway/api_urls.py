"""Routes of the HTTP API."""

from django.urls import path

from gateway import api

urlpatterns = [path("media-hosts/", api.MediaHostsView.as_view(), name="media-hosts-api")]
