"""Pages of a tenant that need no catalog: none so far; its home, requests and keys are in catalog/urls.py."""

from django.urls.resolvers import URLPattern

urlpatterns: list[URLPattern] = []
