"""The map of the console. Portal pages of a tenant live under /t/<tenant>/, staff pages under /admin/."""

from django.contrib import admin
from django.urls import include, path

from config.health import healthz, readyz
from config.metrics import metrics
from tenants.views.sign_in import staff_password, staff_sign_in

admin.site.site_header = "Quartermaster"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/login/", staff_sign_in, name="staff-sign-in"),
    path("admin/password_change/", staff_password, name="staff-password"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("config.api_urls")),
    path("scim/v2/", include("tenants.scim.urls")),
    path("internal/v1/", include("gateway.urls")),
    path("", include("tenants.urls")),
    path("t/<slug:tenant>/", include("tenants.portal_urls")),
    path("t/<slug:tenant>/", include("catalog.urls")),
    path("t/<slug:tenant>/", include("billing.urls")),
    path("t/<slug:tenant>/", include("gateway.portal_urls")),
]

handler400 = "tenants.views.errors.bad_request"
handler403 = "tenants.views.errors.permission_denied"
handler404 = "tenants.views.errors.page_not_found"
handler500 = "tenants.views.errors.server_error"
