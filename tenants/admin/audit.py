"""The audit trail, for operators and auditors."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from tenants.admin.base import LookAdmin
from tenants.models import AuditEntry


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
