"""Pages below /t/<tenant>/."""

from django.urls import path

from billing import views
from billing.audit_views import AuditExports
from billing.closing_views import ClosingPage

urlpatterns = [
    path("cost/", views.CostPage.as_view(), name="cost"),
    path("exports/", views.ExportList.as_view(), name="export-list"),
    path("exports/new/", views.NewExport.as_view(), name="export-new"),
    path("exports/<uuid:pk>/", views.ExportDetail.as_view(), name="export-detail"),
    path("exports/<uuid:pk>/download/", views.DownloadExport.as_view(), name="export-download"),
    path("settings/closing/", ClosingPage.as_view(), name="tenant-closing"),
    path("audit/exports/", AuditExports.as_view(), name="audit-exports"),
]
