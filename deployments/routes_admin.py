"""Operators' pages of routes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from deployments.models import Route


@admin.register(Route)
class RouteAdmin(ReadOnlyAdmin):
    list_display = ["model", "targets", "changed_at"]
    list_select_related = ["model"]
    search_fields = ["model__name"]
    sort_columns = {"model_name": F("model__name")}
    fields = readonly_fields = ["model", "targets", "changed_at", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).with_entries()  # type: ignore[attr-defined]
        return rows

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["model_name", "pk"]

    @display(description=_("Targets"))
    def targets(self, route: Route) -> str:
        rows = (
            (
                entry.target.name,
                _("weight %(n)d") % {"n": entry.weight},
                ", ".join(address.url for address in entry.target.addresses.all()) or _("no address yet"),
            )
            for entry in route.entries.all()
        )
        return format_html_join("", "<p>{}: {} ({})</p>", rows) or format_html("<b>{}</b>", _("none"))
