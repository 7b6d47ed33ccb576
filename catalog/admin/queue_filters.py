"""Filters of the review queue."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.permissions import signed_in
from catalog.models import Review
from catalog.review_queue import open_for_decision
from core.choices import MOST
from tenants.models import Tenant

# The most urgent open reviews, whose tenants are offered.
LOOKED_AT = 1000


class QueueTenantFilter(admin.SimpleListFilter):
    """The tenants of the most urgent open reviews; the address takes any other by the name in its own address."""

    title, parameter_name = _("tenant"), "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        urgent = open_for_decision(Review.objects.visible_to(request.user)).order_by("due_at", "pk")
        tenants = Tenant.objects.visible_to(signed_in(request))
        found = tenants.filter(pk__in=urgent.values("tenant")[:LOOKED_AT]).order_by("name", "pk")[:MOST]
        offered = list(found.values_list("slug", "name"))
        chosen = request.GET.get(self.parameter_name)
        if chosen and chosen not in dict(offered):
            offered += tenants.filter(slug=chosen).values_list("slug", "name")
        return offered

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Review]) -> QuerySet[Review]:
        return queryset.filter(tenant__slug=self.value()) if self.value() else queryset
