"""Routes of /api/v1/ for tenants, projects, members, keys, limits, tokens and webhooks."""

from rest_framework.routers import SimpleRouter

from tenants.api.keys import ApiKeyViewSet
from tenants.api.limits import LimitViewSet
from tenants.api.members import InvitationViewSet, MemberViewSet, ServiceAccountViewSet
from tenants.api.tenancy import ProjectViewSet, TenantViewSet
from tenants.api.tokens import TokenViewSet
from tenants.api.webhooks import WebhookDeliveryViewSet, WebhookViewSet

router = SimpleRouter()
router.register("tenants", TenantViewSet, basename="api-tenant")
router.register("projects", ProjectViewSet, basename="api-project")
router.register("members", MemberViewSet, basename="api-member")
router.register("invitations", InvitationViewSet, basename="api-invitation")
router.register("service-accounts", ServiceAccountViewSet, basename="api-service-account")
router.register("keys", ApiKeyViewSet, basename="api-key")
router.register("limits", LimitViewSet, basename="api-limit")
router.register("tokens", TokenViewSet, basename="api-token")
router.register("webhooks", WebhookViewSet, basename="api-webhook")
router.register("webhook-deliveries", WebhookDeliveryViewSet, basename="api-webhook-delivery")

urlpatterns = router.urls
