"""Signing in and out, and the first page afterwards."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from tenants.models import Membership


class SignIn(LoginView):
    """E-mail address and password. Who is signed in already goes on to their pages."""

    template_name = "registration/login.html"
    redirect_authenticated_user = True


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Go to the only tenant of the person; let them choose among several; staff without one go to the admin."""
    memberships = list(
        Membership.objects.visible_to(request.user)
        .filter(user=request.user)
        .select_related("tenant")
        .order_by("tenant__name")
    )
    if len(memberships) == 1:
        return redirect("tenant-home", memberships[0].tenant.slug)
    if not memberships and request.user.is_staff:
        return redirect("admin:index")
    tenants = [
        {
            "name": membership.tenant.name,
            "slug": membership.tenant.slug,
            "role_label": membership.get_role_display(),
        }
        for membership in memberships
    ]
    return render(request, "tenants/tenant_choose.html", {"tenants": tenants})
