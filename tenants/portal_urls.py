"""Pages of a tenant that need no catalog: members, invitations, service accounts. catalog/urls.py has the others."""

from django.urls import path

from tenants.views.emergency import EmergencyAccessList, EndEmergencyAccess
from tenants.views.invitations import InvitationNew, InvitationResend, InvitationWithdraw
from tenants.views.members import MemberDetail, MemberList, MemberProjectRole, MemberRemove, MemberRole
from tenants.views.palette import Find
from tenants.views.service_accounts import (
    ServiceAccountDisable,
    ServiceAccountEnable,
    ServiceAccountNew,
)
from tenants.views.settings import ProjectEdit, ProjectList, ProjectNew, TenantSettings
from tenants.views.suggestions import Suggestions
from tenants.views.tokens import NewServiceToken, RevokeTenantToken, TenantTokens
from tenants.views.webhooks import (
    DeliveryAgain,
    WebhookDelete,
    WebhookDetail,
    WebhookDisable,
    WebhookEdit,
    WebhookEnable,
    WebhookList,
    WebhookNew,
    WebhookRotate,
    WebhookTry,
)

urlpatterns = [
    path("members/", MemberList.as_view(), name="member-list"),
    path("members/invite/", InvitationNew.as_view(), name="invitation-new"),
    path("members/<uuid:pk>/", MemberDetail.as_view(), name="member-detail"),
    path("members/<uuid:pk>/role/", MemberRole.as_view(), name="member-role"),
    path("members/<uuid:pk>/project-role/", MemberProjectRole.as_view(), name="member-project-role"),
    path("members/<uuid:pk>/remove/", MemberRemove.as_view(), name="member-remove"),
    path("members/<uuid:pk>/disable/", ServiceAccountDisable.as_view(), name="service-account-disable"),
    path("members/<uuid:pk>/enable/", ServiceAccountEnable.as_view(), name="service-account-enable"),
    path("invitations/<uuid:pk>/resend/", InvitationResend.as_view(), name="invitation-resend"),
    path("invitations/<uuid:pk>/withdraw/", InvitationWithdraw.as_view(), name="invitation-withdraw"),
    path("service-accounts/new/", ServiceAccountNew.as_view(), name="service-account-new"),
    path("suggestions/<slug:kind>/", Suggestions.as_view(), name="suggestions"),
    path("find/", Find.as_view(), name="find"),
    path("settings/", TenantSettings.as_view(), name="tenant-settings"),
    path("projects/", ProjectList.as_view(), name="project-list"),
    path("projects/new/", ProjectNew.as_view(), name="project-new"),
    path("projects/<uuid:pk>/edit/", ProjectEdit.as_view(), name="project-edit"),
    path("tokens/", TenantTokens.as_view(), name="tenant-token-list"),
    path("tokens/new/", NewServiceToken.as_view(), name="tenant-token-new"),
    path("tokens/<uuid:pk>/revoke/", RevokeTenantToken.as_view(), name="tenant-token-revoke"),
    path("webhooks/", WebhookList.as_view(), name="webhook-list"),
    path("webhooks/new/", WebhookNew.as_view(), name="webhook-new"),
    path("webhooks/<uuid:pk>/", WebhookDetail.as_view(), name="webhook-detail"),
    path("webhooks/<uuid:pk>/edit/", WebhookEdit.as_view(), name="webhook-edit"),
    path("webhooks/<uuid:pk>/rotate/", WebhookRotate.as_view(), name="webhook-rotate"),
    path("webhooks/<uuid:pk>/test/", WebhookTry.as_view(), name="webhook-test"),
    path("webhooks/<uuid:pk>/disable/", WebhookDisable.as_view(), name="webhook-disable"),
    path("webhooks/<uuid:pk>/enable/", WebhookEnable.as_view(), name="webhook-enable"),
    path("webhooks/<uuid:pk>/delete/", WebhookDelete.as_view(), name="webhook-delete"),
    path("webhook-deliveries/<uuid:pk>/again/", DeliveryAgain.as_view(), name="webhook-delivery-again"),
    path("emergency-access/", EmergencyAccessList.as_view(), name="emergency-access-list"),
    path("emergency-access/<uuid:pk>/end/", EndEmergencyAccess.as_view(), name="emergency-access-end"),
]
