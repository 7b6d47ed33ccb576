"""Pages below /t/<tenant>/."""

from django.urls import path

from billing import views
from billing.closing_views import ClosingPage

urlpatterns = [
    path("cost/", views.CostPage.as_view(), name="cost"),
    path("exports/", views.CostReportList.as_view(), name="export-list"),
    path("exports/new/", views.NewCostReport.as_view(), name="export-new"),
    path("settings/closing/", ClosingPage.as_view(), name="tenant-closing"),
]
