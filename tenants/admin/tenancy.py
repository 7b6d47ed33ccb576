"""Tenants, projects and memberships, for operators."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action, display

from accounts.admin.base import Colors, ReadOnly, ReadOnlyAdmin, offers
from accounts.admin.dialogs import Dialog, DialogForm, reason_field
from accounts.permissions import signed_in
from core.editing import sent_values
from core.errors import Conflict
from tenants.actions import change_tenant, create_tenant, resume_tenant, suspend_tenant
from tenants.admin.emergency import EmergencyActions
from tenants.admin.tenant_forms import NewTenantForm, OperatorsTenantForm, create_with_owner
from tenants.models import Membership, Project, Tenant
from tenants.signals import impact_of

# The most projects and members that a tenant's page shows.
ROWS_SHOWN = 25


class FirstRows(BaseInlineFormSet):  # type: ignore[type-arg]
    """The first rows of a long list, without a count. A separate page has all of them."""

    def get_queryset(self) -> Any:
        if not hasattr(self, "_first_rows"):
            self._first_rows = list(super().get_queryset()[:ROWS_SHOWN])
        return self._first_rows


class MembershipInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Membership
    fields = ["user", "role", "created_at"]
    readonly_fields = ["user", "role", "created_at"]
    ordering = ["user__email"]
    extra = 0
    formset = FirstRows
    tab = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "tenant")


class ProjectInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Project
    fields = readonly_fields = [*Project.EDITABLE, "slug", "created_at"]
    ordering = ["name"]
    extra = 0
    formset = FirstRows
    tab = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("owner", "tenant")


class SuspendForm(DialogForm):
    """Shows what stops before it asks for the reason."""

    form_before_template = "admin/tenants/impact.html"
    reason = reason_field(help_text=_("The tenant's members see it on every page."), rows=3)

    def get_before_template_context(self, request: HttpRequest, object_id: str = "") -> dict[str, Any]:
        tenant = Tenant.objects.visible_to(signed_in(request)).get(pk=object_id)
        return {"tenant": tenant, "impact": impact_of(tenant)}


@admin.register(Tenant)
class TenantAdmin(EmergencyActions, ReadOnlyAdmin):
    page_badge = "status_label"
    list_display = ["name", "slug", "status_label", "currency", "timezone", "highest_data_class"]
    list_filter = ["status"]
    search_fields = ["name", "slug"]
    ordering = ["name"]
    fields = readonly_fields = [
        *Tenant.EDITABLE, "slug", "status", "suspended_at", "suspended_reason", "created_at", "all_rows",
    ]  # fmt: skip
    inlines = [ProjectInline, MembershipInline]
    actions_list = ["new_tenant"]
    actions_detail = ["settings", "suspend", "resume", "emergency_access"]

    @display(description=_("All of them"))
    def all_rows(self, tenant: Tenant) -> SafeString:
        """Link to the full lists whose first rows the page shows."""
        lists = (("tenants_project", _("Projects")), ("tenants_membership", _("Members")))
        ways = ((reverse(f"admin:{name}_changelist"), tenant.pk, words) for name, words in lists)
        return format_html_join(" · ", '<a class="underline" href="{}?tenant__id__exact={}">{}</a>', ways)

    @display(description=_("Status"), label=Colors(suspended="warning", closed="danger"))
    def status_label(self, tenant: Tenant) -> tuple[str, str]:
        return tenant.status, tenant.get_status_display()

    def has_new_tenant_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return create_tenant.is_for(request.user)

    @action(description=_("New tenant"), url_path="new", permissions=["new_tenant"])
    def new_tenant(self, request: HttpRequest) -> HttpResponse:
        """Create a tenant and invite its first owner."""
        form = NewTenantForm(request.POST or None)
        if form.is_valid() and (tenant := create_with_owner(form, by=signed_in(request))):
            messages.success(request, _("%(tenant)s is created.") % {"tenant": tenant})
            return redirect("admin:tenants_tenant_change", tenant.pk)
        hint = _("Its first owner gets an invitation by e-mail, and invites everyone else.")
        return self.form_page(request, form, title=_("New tenant"), button=_("Create tenant"), hint=hint)

    @offers(change_tenant)
    @action(description=_("Settings"), url_path="settings", permissions=["new_tenant"])
    def settings(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Change what operators decide about a tenant, above all its highest data class."""
        person = signed_in(request)
        tenant = Tenant.objects.visible_to(person).get(pk=object_id)
        change_tenant.require_permission(person, tenant)
        form = OperatorsTenantForm(request.POST or None, instance=copy(tenant))
        if form.is_valid():
            try:
                change_tenant(tenant.pk, by=person, **sent_values(form))
            except (ValidationError, Conflict) as error:
                form.refuse(error)
            else:
                messages.success(request, _("%(tenant)s is changed.") % {"tenant": tenant})
                return redirect("admin:tenants_tenant_change", tenant.pk)
        title = _("Settings of %(tenant)s") % {"tenant": tenant.name}
        hint = _("The audit log records every change, and the tenant's owners can read it.")
        return self.form_page(request, form, title=title, button=_("Save"), hint=hint)

    suspend = Dialog(
        suspend_tenant,
        label=_("Suspend"),
        url_path="suspend",
        is_dangerous=True,
        form=SuspendForm,
        title=_("Suspend this tenant?"),
        text=_(
            "Every gateway refuses its keys within seconds; requests, claims and exports stop. All data "
            "stays. You can resume it."
        ),
        button=_("Suspend tenant"),
        done=_("%(it)s is suspended."),
    )

    resume = Dialog(
        resume_tenant,
        label=_("Resume"),
        url_path="resume",
        title=_("Resume this tenant?"),
        text=_("Its keys work again within seconds on every gateway."),
        button=_("Resume tenant"),
        done=_("%(it)s works again."),
    )


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    list_display = ["name", "tenant", "slug", *Project.ACCOUNTING, "owner", "created_at"]
    list_select_related = ["tenant", "owner"]
    search_fields = ["name", "slug", "tenant__name"]
    ordering = ["-pk"]
    fields = readonly_fields = ["tenant", *Project.EDITABLE, "slug", "created_at"]


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ["user", "tenant", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__email", "user__name", "tenant__name"]
    ordering = ["-pk"]
    fields = ["tenant", "user", "role", "created_at"]
    readonly_fields = fields
