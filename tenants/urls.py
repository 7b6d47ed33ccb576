"""Pages outside a tenant: signing in and out, and the way to one's tenant."""

from django.urls import path

from tenants.oidc.logout import BackChannelLogout, SignOut
from tenants.oidc.views import ProviderCallback, ProviderSignInStart
from tenants.views.invitations import InvitationPage
from tenants.views.sign_in import SignIn, home, tenant_list

urlpatterns = [
    path("", home, name="home"),
    path("tenants/", tenant_list, name="tenant-list"),
    path("login/", SignIn.as_view(), name="login"),
    path("invitations/<str:link>/", InvitationPage.as_view(), name="invitation"),
    path("logout/", SignOut.as_view(), name="logout"),
    path("oidc/sign-in/", ProviderSignInStart.as_view(), name="oidc_authentication_init"),
    path("oidc/callback/", ProviderCallback.as_view(), name="oidc_authentication_callback"),
    path("oidc/backchannel-logout/", BackChannelLogout.as_view(), name="oidc-backchannel-logout"),
]
