"""The search in the top bar, on both sites: a list below the field, or a page of its own."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.generic import TemplateView

from accounts.permissions import signed_in
from core.menu import portal_menu, staff_menu
from core.palette import found_by_staff, found_in_tenant, term_of
from tenants.views.mixins import PartialMixin, TenantPageMixin


class Find(PartialMixin, TenantPageMixin, TemplateView):
    """What a tenant's search finds. Without JavaScript it is a page, else htmx shows the list while people type."""

    template_name = "find.html"
    partial_name = "components/found.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        menu = portal_menu(self.request, self.tenant.slug, context["portal"])
        term = term_of(self.request)
        found = found_in_tenant(signed_in(self.request), self.tenant, menu, term)
        return context | {"term": term, "found": found, "shell": "base.html"}


def staff_find(request: HttpRequest) -> HttpResponse:
    """What the staff site's search finds: lists of the menu, and rows by the lists' own searches."""
    term = term_of(request)
    is_part = request.headers.get("HX-Request") == "true" and request.headers.get("HX-Request-Type") != "full"
    context = admin.site.each_context(request) | {
        "term": term,
        "found": found_by_staff(request, staff_menu(request), term),
        "shell": "shell.html",
    }
    answer = render(request, "components/found.html" if is_part else "find.html", context)
    answer["Vary"] = "HX-Request, HX-Request-Type, Cookie"
    return answer
