"""A tenant's audit log."""

from django.urls import path

from privacy.views import AuditDetail, AuditList

urlpatterns = [
    path("audit/", AuditList.as_view(), name="audit-list"),
    path("audit/<uuid:pk>/", AuditDetail.as_view(), name="audit-detail"),
]
