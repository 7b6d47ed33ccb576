"""Signing in and out through the identity provider."""

from django.urls import path

from directory.oidc.logout import BackChannelLogout, SignOut
from directory.oidc.views import ProviderCallback, ProviderSignInStart

urlpatterns = [
    path("logout/", SignOut.as_view(), name="logout"),
    path("oidc/sign-in/", ProviderSignInStart.as_view(), name="oidc_authentication_init"),
    path("oidc/callback/", ProviderCallback.as_view(), name="oidc_authentication_callback"),
    path("oidc/backchannel-logout/", BackChannelLogout.as_view(), name="oidc-backchannel-logout"),
]
