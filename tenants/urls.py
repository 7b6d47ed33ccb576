"""Pages outside a tenant: the choice of tenants, invitations, and your own tokens."""

from django.urls import path

from tenants.views.home import home, tenant_list
from tenants.views.invitations import InvitationPage
from tenants.views.suggestions import tenant_suggestions
from tenants.views.tokens import MyTokens, NewToken, RevokeToken

urlpatterns = [
    path("", home, name="home"),
    path("tenants/", tenant_list, name="tenant-list"),
    path("tenants/suggestions/", tenant_suggestions, name="tenant-suggestions"),
    path("account/tokens/", MyTokens.as_view(), name="token-list"),
    path("account/tokens/new/", NewToken.as_view(), name="token-new"),
    path("account/tokens/<uuid:pk>/revoke/", RevokeToken.as_view(), name="token-revoke"),
    path("invitations/<str:link>/", InvitationPage.as_view(), name="invitation"),
]
