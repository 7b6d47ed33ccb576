"""Pages of a tenant that need no catalog; its home, requests and keys are in catalog/urls.py."""

from django.urls import path

from tenants.views.audit import AuditDetail, AuditList

urlpatterns = [
    path("audit/", AuditList.as_view(), name="audit-list"),
    path("audit/<uuid:pk>/", AuditDetail.as_view(), name="audit-detail"),
]
