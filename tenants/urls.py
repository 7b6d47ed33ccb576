"""Pages outside a tenant: signing in and out, and the way to one's tenant."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from tenants.views.invitations import InvitationPage
from tenants.views.sign_in import SignIn, home, tenant_list

urlpatterns = [
    path("", home, name="home"),
    path("tenants/", tenant_list, name="tenant-list"),
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("invitations/<str:link>/", InvitationPage.as_view(), name="invitation"),
]
