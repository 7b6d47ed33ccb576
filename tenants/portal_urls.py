"""Pages of a tenant that need no catalog; its home, requests and keys are in catalog/urls.py."""

from django.urls import path

from tenants.views.settings import ProjectEdit, ProjectList, ProjectNew, TenantSettings

urlpatterns = [
    path("settings/", TenantSettings.as_view(), name="tenant-settings"),
    path("projects/", ProjectList.as_view(), name="project-list"),
    path("projects/new/", ProjectNew.as_view(), name="project-new"),
    path("projects/<uuid:pk>/edit/", ProjectEdit.as_view(), name="project-edit"),
]
