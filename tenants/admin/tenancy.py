"""Tenants, projects and memberships, for operators."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display

from tenants.admin.base import LookAdmin, LookOnly
from tenants.models import Membership, Project, Tenant


class MembershipInline(LookOnly, TabularInline):  # type: ignore[misc]
    model = Membership
    fields = ["user", "role", "created_at"]
    readonly_fields = ["user", "role", "created_at"]
    extra = 0
    tab = True


class ProjectInline(LookOnly, TabularInline):  # type: ignore[misc]
    model = Project
    fields = ["name", "slug", "cost_centre", "created_at"]
    readonly_fields = ["name", "slug", "cost_centre", "created_at"]
    extra = 0
    tab = True


@admin.register(Tenant)
class TenantAdmin(LookAdmin):
    list_display = ["name", "slug", "status_label", "currency", "timezone", "highest_data_class"]
    list_filter = ["status"]
    search_fields = ["name", "slug"]
    ordering = ["name"]
    fields = [
        "name", "slug", "status", "currency", "timezone", "cost_centre", "highest_data_class", "regions", "created_at",
    ]  # fmt: skip
    readonly_fields = fields
    inlines = [ProjectInline, MembershipInline]

    @display(description=_("Status"), label={"Suspended": "warning", "Closed": "danger"})
    def status_label(self, tenant: Tenant) -> str:
        return tenant.get_status_display()


@admin.register(Project)
class ProjectAdmin(LookAdmin):
    list_display = ["name", "tenant", "slug", "cost_centre", "created_at"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "slug", "tenant__name"]
    ordering = ["tenant__name", "name"]
    fields = ["tenant", "name", "slug", "cost_centre", "created_at"]
    readonly_fields = fields


@admin.register(Membership)
class MembershipAdmin(LookAdmin):
    list_display = ["user", "tenant", "role", "created_at"]
    list_filter = ["role", "tenant"]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__email", "user__name", "tenant__name"]
    ordering = ["tenant__name", "user__email"]
    fields = ["tenant", "user", "role", "created_at"]
    readonly_fields = fields
