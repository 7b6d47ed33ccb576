"""Route of /api/v1/ for the audit log."""

from rest_framework.routers import SimpleRouter

from privacy.api import AuditEntryViewSet

router = SimpleRouter()
router.register("audit", AuditEntryViewSet, basename="api-audit")

urlpatterns = router.urls
