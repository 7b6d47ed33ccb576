"""The URLs of the console. Portal pages of a tenant are under /t/<tenant>/, staff pages under /admin/."""

from django.contrib import admin
from django.urls import include, path

from accounts.views.sign_in import staff_password, staff_sign_in
from config.health import healthz, readyz
from config.metrics import metrics
from tenants.views.palette import staff_find

admin.site.site_header = "Quartermaster"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/login/", staff_sign_in, name="staff-sign-in"),
    path("admin/password_change/", staff_password, name="staff-password"),
    path("admin/find/", admin.site.admin_view(staff_find), name="staff-find"),
    # In place of Unfold's own search, which answers with a part of a page.
    path("admin/search/", admin.site.admin_view(staff_find)),
    path("admin/", admin.site.urls),
    path("api/v1/", include("config.api_urls")),
    path("scim/v2/", include("directory.scim.urls")),
    path("internal/v1/", include("gateway.urls")),
    path("", include("accounts.urls")),
    path("", include("tenants.urls")),
    path("", include("directory.urls")),
    path("t/<slug:tenant>/", include("tenants.portal_urls")),
    path("t/<slug:tenant>/", include("exports.urls")),
    path("t/<slug:tenant>/", include("privacy.portal_urls")),
    path("t/<slug:tenant>/", include("catalog.urls")),
    path("t/<slug:tenant>/", include("billing.urls")),
    path("t/<slug:tenant>/", include("gateway.portal_urls")),
]

handler400 = "tenants.views.errors.bad_request"
handler403 = "tenants.views.errors.permission_denied"
handler404 = "tenants.views.errors.page_not_found"
handler500 = "tenants.views.errors.server_error"
