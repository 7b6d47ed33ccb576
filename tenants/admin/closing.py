"""Proposals to close a tenant, for operators. The actions are on the tenant's closing page."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin.base import Colors, ReadOnlyAdmin
from tenants.models import TenantClosing


@admin.register(TenantClosing)
class TenantClosingAdmin(ReadOnlyAdmin):
    page_badge = "state"
    list_display = ["tenant", "state", "proposed_by", "proposed_at", "confirmed_by", "page"]
    list_select_related = ["tenant", "proposed_by", "confirmed_by"]
    ordering = ["-pk"]
    fields = [
        "tenant", "reason", "export_id", "export_sha256", "proposed_by", "proposed_at", "confirmed_by", "confirmed_at",
        "withdrawn_at", "page",
    ]  # fmt: skip
    readonly_fields = fields

    @display(description=_("State"), label=Colors(proposed="warning", closed="danger"))
    def state(self, closing: TenantClosing) -> tuple[str, str]:
        if closing.confirmed_at:
            return "closed", pgettext("a tenant", "Closed")
        return (
            ("withdrawn", gettext("Withdrawn"))
            if closing.withdrawn_at
            else ("proposed", pgettext("a state", "Proposed"))
        )

    @display(description=_("Confirm or withdraw"))
    def page(self, closing: TenantClosing) -> str:
        url = reverse("tenant-closing", args=[closing.tenant.slug])
        return format_html(
            '<a href="{}">{}</a>', url, _("Closing of %(tenant)s") % {"tenant": closing.tenant}
        )
