"""Pages of a tenant that need no catalog; its home, requests and keys are in catalog/urls.py."""

from django.urls import path

from tenants.views.tokens import NewServiceToken, RevokeTenantToken, TenantTokens

urlpatterns = [
    path("tokens/", TenantTokens.as_view(), name="tenant-token-list"),
    path("tokens/new/", NewServiceToken.as_view(), name="tenant-token-new"),
    path("tokens/<uuid:pk>/revoke/", RevokeTenantToken.as_view(), name="tenant-token-revoke"),
]
