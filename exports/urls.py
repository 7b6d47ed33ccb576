"""Pages below /t/<tenant>/."""

from django.urls import path

from exports.views import DownloadExport, ExportDetail

urlpatterns = [
    path("exports/<uuid:pk>/", ExportDetail.as_view(), name="export-detail"),
    path("exports/<uuid:pk>/download/", DownloadExport.as_view(), name="export-download"),
]
