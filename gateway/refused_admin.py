"""Operators' page of refused calls, of all tenants."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import link
from accounts.admin.filters import FewValuesFilter
from core.joined import named
from gateway.models import RefusedCalls
from gateway.refused_calls import kind_in_words, reason_in_words, value_in_words
from tenants.models import ApiKey, Project


@admin.register(RefusedCalls)
class RefusedCallsAdmin(ReadOnlyAdmin):
    list_display = ["minute", "tenant", "reason", "limit", "model", "count", "gateway_name"]
    list_filter = [("status", FewValuesFilter)]
    list_select_related = ["tenant"]
    search_fields = ["tenant__name", "tenant__slug", "code", "model", "gateway_name"]
    empty_title = _("No refused calls")
    empty_text = _(
        "Gateways report calls that they refuse within a minute. Calls without a valid key are not here."
    )
    ordering = ["-minute", "-pk"]
    fields = readonly_fields = [
        "minute",
        "tenant",
        "key",
        "model",
        "reason",
        "status",
        "code",
        "count",
        "limit",
        "limit_on",
        "gateway_name",
        "calls",
    ]

    @display(description=_("Reason"))
    def reason(self, row: RefusedCalls) -> str:
        return reason_in_words(row.code, row.status)

    @display(description=_("Limit"))
    def limit(self, row: RefusedCalls) -> str:
        if not row.limit_kind:
            return "—"
        value = value_in_words(row.limit_kind, row.limit_value, row.tenant.currency)
        return named(kind_in_words(row.limit_kind), value)

    @display(description=_("Limit is set on"))
    def limit_on(self, row: RefusedCalls) -> str:
        if row.limit_scope_id is None:
            return "—"
        on = _named(row, row.limit_scope, row.limit_scope_id)
        return format_html("{}, {}", on, row.limit_model) if row.limit_model else on

    @display(description=_("Key"))
    def key(self, row: RefusedCalls) -> str:
        return _named(row, "key", row.key_id)

    @display(description=_("Some of the calls"))
    def calls(self, row: RefusedCalls) -> str:
        return ", ".join(one["call_id"] for one in row.samples) or "—"


def _named(row: RefusedCalls, kind: str, pk: UUID) -> str:
    """A link to a key or a project of the row's tenant, or to the tenant; its id once it is gone."""
    if kind == "tenant":
        return link("tenants_tenant_change", row.tenant_id, text=row.tenant.name)
    found: Any = None
    if kind == "key":
        found = ApiKey.objects.in_tenant(row.tenant).filter(pk=pk).first()
    elif kind == "project":
        found = Project.objects.in_tenant(row.tenant).filter(pk=pk).first()
    if found is None:
        return str(pk)
    return link(f"tenants_{found._meta.model_name}_change", found.pk, text=found)
