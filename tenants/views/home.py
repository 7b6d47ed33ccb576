"""The first page after sign-in: the person's only tenant, or a choice of tenants."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.permissions import signed_in
from core.keyset import requested_page
from tenants.models import Membership, Tenant

TENANTS_PER_PAGE = 20


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Open the person's only tenant. With several they choose one. Staff without a tenant go to the admin."""
    user = signed_in(request)
    mine = Membership.objects.visible_to(user).filter(user=user).select_related("tenant")
    memberships = list(mine[:2])
    if len(memberships) == 1:
        return redirect("tenant-home", memberships[0].tenant.slug)
    if not memberships and user.is_staff:
        return redirect("admin:index")
    return tenant_list(request)


@login_required
def tenant_list(request: HttpRequest) -> HttpResponse:
    """List the tenants that the person may open, by name, with a search, a page at a time."""
    user = signed_in(request)
    query = request.GET.get("q", "").strip().replace("\0", "")[:100]
    tenants = Tenant.objects.visible_to(user)
    for word in query.split():
        tenants = tenants.filter(Q(name__icontains=word) | Q(slug__icontains=word))
    page = requested_page(
        request,
        tenants,
        ("name", "pk"),
        size=TENANTS_PER_PAGE,
    )
    mine = Membership.objects.visible_to(user).filter(user=user, tenant__in=page.rows)
    roles = {membership.tenant_id: membership.get_role_display() for membership in mine}
    context = {
        "tenants": [
            {"name": tenant.name, "slug": tenant.slug, "role_label": roles.get(tenant.pk, "")}
            for tenant in page.rows
        ],
        "query": query,
        "may_search": bool(query or page.before or page.after),
        **page.links(q=query),
    }
    return render(request, "tenants/tenant_choose.html", context)
