"""Pages outside a tenant: signing in and out, and the way to one's tenant."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from tenants.views.sign_in import SignIn, home
from tenants.views.tokens import MyTokens, NewToken, RevokeToken

urlpatterns = [
    path("", home, name="home"),
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/tokens/", MyTokens.as_view(), name="token-list"),
    path("account/tokens/new/", NewToken.as_view(), name="token-new"),
    path("account/tokens/<uuid:pk>/revoke/", RevokeToken.as_view(), name="token-revoke"),
]
