"""Pages outside a tenant: signing in and out, and the way to one's tenant."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from tenants.views.sessions import SessionEnd, SessionList, SignOutEverywhere
from tenants.views.sign_in import SignIn, home

urlpatterns = [
    path("", home, name="home"),
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/sessions/", SessionList.as_view(), name="session-list"),
    path("account/sessions/end-all/", SignOutEverywhere.as_view(), name="session-end-all"),
    path("account/sessions/<str:handle>/end/", SessionEnd.as_view(), name="session-end"),
]
