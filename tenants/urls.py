"""Pages outside a tenant: signing in and out, one's own account, and the way to one's tenant."""

from django.urls import path

from tenants.oidc.logout import BackChannelLogout, SignOut
from tenants.oidc.views import ProviderCallback, ProviderSignInStart
from tenants.views.invitations import InvitationPage
from tenants.views.second_factor import (
    ConfirmSecondFactor,
    EnrolSecondFactor,
    RecoveryCodes,
    SecondFactorPage,
    TurnOffSecondFactor,
)
from tenants.views.sessions import SessionEnd, SessionList, SignOutEverywhere
from tenants.views.sign_in import AdministratorLink, PasswordChange, SignIn, home, tenant_list
from tenants.views.suggestions import tenant_suggestions
from tenants.views.tokens import MyTokens, NewToken, RevokeToken

urlpatterns = [
    path("", home, name="home"),
    path("tenants/", tenant_list, name="tenant-list"),
    path("tenants/suggestions/", tenant_suggestions, name="tenant-suggestions"),
    path("login/", SignIn.as_view(), name="login"),
    path("login/code/", ConfirmSecondFactor.as_view(), name="second-factor-confirm"),
    path("login/once/<str:token>/", AdministratorLink.as_view(), name="administrator-link"),
    path("account/second-factor/", SecondFactorPage.as_view(), name="second-factor"),
    path("account/second-factor/set-up/", EnrolSecondFactor.as_view(), name="second-factor-enrol"),
    path("account/second-factor/codes/", RecoveryCodes.as_view(), name="second-factor-codes"),
    path("account/second-factor/off/", TurnOffSecondFactor.as_view(), name="second-factor-off"),
    path("account/password/", PasswordChange.as_view(), name="password-change"),
    path("account/tokens/", MyTokens.as_view(), name="token-list"),
    path("account/tokens/new/", NewToken.as_view(), name="token-new"),
    path("account/tokens/<uuid:pk>/revoke/", RevokeToken.as_view(), name="token-revoke"),
    path("account/sessions/", SessionList.as_view(), name="session-list"),
    path("account/sessions/end-all/", SignOutEverywhere.as_view(), name="session-end-all"),
    path("account/sessions/<str:handle>/end/", SessionEnd.as_view(), name="session-end"),
    path("invitations/<str:link>/", InvitationPage.as_view(), name="invitation"),
    path("logout/", SignOut.as_view(), name="logout"),
    path("oidc/sign-in/", ProviderSignInStart.as_view(), name="oidc_authentication_init"),
    path("oidc/callback/", ProviderCallback.as_view(), name="oidc_authentication_callback"),
    path("oidc/backchannel-logout/", BackChannelLogout.as_view(), name="oidc-backchannel-logout"),
]
