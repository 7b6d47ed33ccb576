"""Operators' pages: people, tenants, keys, limits and the audit trail. Looks; deeds go through actions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.actions import revoke_api_key
from tenants.errors import Conflict
from tenants.models import ApiKey, AuditEntry, Limit, Membership, Project, Tenant, User
from tenants.permissions import signed_in

admin.site.unregister(Group)  # roles are given by actions, which write them down

SECRET_FIELDS = frozenset({"password", "digest"})


class LookOnly:
    """No page adds, edits or deletes rows; state changes through actions only."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LookAdmin(LookOnly, ModelAdmin):  # type: ignore[misc]
    """A read-only admin that shows what its reader may see: 25 rows a page, and no count of everything."""

    list_per_page = 25
    show_full_result_count = False
    list_disable_select_all = True
    actions = None

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """No filter in the address on what no page shows: a digest can be guessed a character at a time."""
        if not SECRET_FIELDS.isdisjoint(lookup.split("__")):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.model._default_manager.all()
        if hasattr(self.model, "queryset_class") or hasattr(rows, "visible_to"):
            rows = self.model.objects.visible_to(request.user)
        ordering = self.get_ordering(request)
        visible: QuerySet[Any] = rows.order_by(*ordering) if ordering else rows
        return visible


def go_to(name: str, *args: object) -> HttpResponse:
    """The answer of a dialog that has done its deed: htmx goes to another page."""
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=args)})


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


@admin.register(User)
class UserAdmin(LookAdmin):
    list_display = ["email", "name", "is_staff", "is_active", "last_login"]
    list_filter = ["is_staff", "is_active"]
    search_fields = ["email", "name"]
    ordering = ["email"]
    fields = ["email", "name", "is_active", "is_staff", "is_superuser", "roles", "date_joined", "last_login"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return User.objects.order_by("email")

    @display(description=_("Staff roles"))
    def roles(self, user: User) -> str:
        return ", ".join(sorted(user.staff_roles)) or "—"


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


class RevokeForm(BaseDialogForm):  # type: ignore[misc]
    reason = forms.CharField(label=_("Reason"), max_length=500, widget=UnfoldAdminTextInputWidget())


@admin.register(ApiKey)
class ApiKeyAdmin(LookAdmin):
    list_display = ["name", "prefix", "tenant", "project", "state_label", "last_used_at", "expires_at"]
    list_filter = ["state", "tenant"]
    list_select_related = ["tenant", "project"]
    search_fields = ["name", "prefix", "tenant__name", "project__name"]
    ordering = ["-pk"]
    fields = [
        "tenant", "project", "name", "prefix", "model_names", "networks", "state", "created_for", "created_at",
        "claim_by", "claimed_by", "claimed_at", "expires_at", "revoked_at", "last_used_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["revoke"]

    @display(description=_("State"), label={"Active": "success", "Ready to claim": "warning"})
    def state_label(self, key: ApiKey) -> str:
        return key.get_state_display()

    def has_revoke_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(request.user.has_perm("tenants.revoke_key"))

    @action(
        description=_("Revoke"),
        url_path="revoke",
        permissions=["revoke"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Revoke this key?"),
            "description": _(
                "Calls with this key are refused within seconds, on every gateway. This cannot be undone."
            ),
            "form_class": RevokeForm,
            "form_submit_text": _("Revoke key"),
        },
    )
    def revoke(self, request: HttpRequest, form: RevokeForm, object_id: str) -> HttpResponse:
        try:
            key = revoke_api_key(object_id, by=signed_in(request), reason=form.cleaned_data["reason"])
        except Conflict as conflict:
            messages.error(request, conflict.message)
        else:
            messages.success(request, _("%(key)s is revoked.") % {"key": key})
        return go_to("admin:tenants_apikey_change", object_id)


@admin.register(Limit)
class LimitAdmin(LookAdmin):
    list_display = ["tenant", "project", "key", "model", "kind", "value", "is_hard"]
    list_filter = ["kind", "tenant"]
    list_select_related = ["tenant", "project", "key"]
    search_fields = ["tenant__name", "project__name", "model"]
    ordering = ["-pk"]
    fields = ["tenant", "project", "key", "model", "kind", "value", "is_hard", "created_at"]
    readonly_fields = fields


@admin.register(AuditEntry)
class AuditEntryAdmin(LookAdmin):
    list_display = ["at", "who", "did", "what", "tenant", "address"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    search_fields = ["verb", "actor_label", "subject_label", "subject_id", "request_id"]
    ordering = ["-pk"]
    fields = [
        "at", "actor_label", "verb", "tenant", "subject_type", "subject_id", "subject_label", "details", "request_id",
        "address", "user_agent",
    ]  # fmt: skip
    readonly_fields = fields

    @display(description=_("Who"))
    def who(self, entry: AuditEntry) -> str:
        return entry.actor_label

    @display(description=_("Did"))
    def did(self, entry: AuditEntry) -> str:
        return entry.verb

    @display(description=_("What"))
    def what(self, entry: AuditEntry) -> str:
        return entry.subject_label or "—"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        if not request.user.has_perm("tenants.view_auditentry"):
            raise PermissionDenied
        return super().get_queryset(request)
