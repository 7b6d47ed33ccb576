"""Operators' page of refused calls, of all tenants."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from gateway.models import RefusedCalls
from gateway.refused_calls import kind_in_words, value_in_words
from tenants.models import ApiKey


@admin.register(RefusedCalls)
class RefusedCallsAdmin(ReadOnlyAdmin):
    list_display = ["minute", "tenant", "code", "limit", "model", "count", "gateway_name"]
    list_filter = ["status"]
    list_select_related = ["tenant"]
    search_fields = ["tenant__name", "tenant__slug", "code", "model"]
    ordering = ["-minute", "-pk"]
    fields = readonly_fields = [
        "minute",
        "tenant",
        "key",
        "model",
        "status",
        "code",
        "count",
        "limit",
        "limit_id",
        "limit_scope",
        "limit_scope_id",
        "limit_model",
        "gateway_name",
        "calls",
    ]

    @display(description=_("Limit"))
    def limit(self, row: RefusedCalls) -> str:
        if not row.limit_kind:
            return "–"
        value = value_in_words(row.limit_kind, row.limit_value, row.tenant.currency)
        return f"{kind_in_words(row.limit_kind)}: {value}"

    @display(description=_("Key"))
    def key(self, row: RefusedCalls) -> str:
        return str(ApiKey.objects.in_tenant(row.tenant).filter(pk=row.key_id).first() or row.key_id)

    @display(description=_("Some of the calls"))
    def calls(self, row: RefusedCalls) -> str:
        return ", ".join(one["call_id"] for one in row.samples) or "–"
