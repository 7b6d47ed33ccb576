"""A tenant's audit log."""

from django.urls import path

from privacy.audit_file_views import AuditExports
from privacy.views import AuditDetail, AuditList

urlpatterns = [
    path("audit/", AuditList.as_view(), name="audit-list"),
    path("audit/exports/", AuditExports.as_view(), name="audit-exports"),
    path("audit/<uuid:pk>/", AuditDetail.as_view(), name="audit-detail"),
]
