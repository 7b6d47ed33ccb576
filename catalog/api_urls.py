"""Routes of /api/v1/ for models, access requests and grants."""

from rest_framework.routers import SimpleRouter

from catalog.api import AccessRequestViewSet, ModelViewSet
from catalog.attestations_api import AttestationViewSet
from catalog.grants_api import GrantViewSet
from catalog.imports_api import ImportEntryViewSet, ImportViewSet
from catalog.publishing_api import PlannedChangeViewSet
from catalog.tracks_api import TrackViewSet
from catalog.version_api import ModelVersionViewSet

router = SimpleRouter()
router.register("models", ModelViewSet, basename="api-model")
router.register("model-versions", ModelVersionViewSet, basename="api-model-version")
router.register("access-requests", AccessRequestViewSet, basename="api-access-request")
router.register("attestations", AttestationViewSet, basename="api-attestation")
router.register("tracks", TrackViewSet, basename="api-track")
router.register("grants", GrantViewSet, basename="api-grant")
router.register("planned-changes", PlannedChangeViewSet, basename="api-planned-change")
router.register("catalog-imports", ImportViewSet, basename="api-catalog-import")
router.register("catalog-import-entries", ImportEntryViewSet, basename="api-catalog-import-entry")

urlpatterns = router.urls
