"""The audit log of all tenants, for operators and auditors."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from accounts.admin.base import ReadOnlyAdmin, style
from accounts.permissions import signed_in
from accounts.sight import hidden_page
from audit.action_words import action_in_words
from audit.models import AuditEntry
from core.stored_words import retold
from exports.models import Export
from privacy.audit_file_views import StaffAuditExportForm
from privacy.audit_files import ask_for_audit_file
from privacy.audit_forms import StaffAuditLogForm
from privacy.views import audit_log_context, changes_of, facts_of, kind_of


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Shows the portal's list over all tenants, in keyset pages and without counting."""

    fields = [
        "at", "actor_label", "acting_as", "on_behalf_of_label", "why", "action", "tenant", "kind",
        "subject_id", "subject", "changed", "facts", "request_id", "trace_id", "address", "user_agent",
    ]  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        if not request.user.has_perm("audit.view_auditentry"):
            raise PermissionDenied
        return super().get_queryset(request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The audit log, narrowed by `?tenant=&person=&action=&object=&start=&end=`."""
        if not self.has_view_permission(request):
            raise PermissionDenied(str(hidden_page(self.model)))
        form = StaffAuditLogForm(request.GET, user=signed_in(request))
        for field in form.fields.values():
            is_choice = hasattr(field.widget, "choices")
            field.widget.attrs["class"] = " ".join(SELECT_CLASSES if is_choice else INPUT_CLASSES)
        context = self.admin_site.each_context(request) | {"opts": self.opts, "title": _("Audit")}
        context |= vars(audit_log_context(request, form, reverse("admin:audit_auditentry_changelist")))
        context["export_url"] = reverse("admin:audit_auditentry_export")
        return render(request, "admin/audit/auditentry/audit_log.html", context)

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name="audit_auditentry_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """Order the audit log of a tenant, or of all tenants, as a file."""
        ask_for_audit_file.require_permission(signed_in(request), Export())
        today = now().date()
        days = {"start": today.replace(day=1), "end": today}
        form = StaffAuditExportForm(request.POST or None, user=signed_in(request), initial=days)
        if form.is_valid():
            export = ask_for_audit_file(
                form.cleaned_data["tenant"],
                kind=form.cleaned_data["kind"],
                start_day=form.cleaned_data["start"],
                end_day=form.cleaned_data["end"],
                by=signed_in(request),
                entry_filter=form.entry_filter().as_json(),
                csv_format=form.cleaned_data["format"],
            )
            return redirect("admin:exports_export_change", export.pk)
        style(form)
        return self.form_page(
            request, form, title=_("Export the audit log"), button=_("Build file"),
            hint=_("CSV for spreadsheets, JSON Lines for programs. Without a tenant: the audit log of all."),
        )  # fmt: skip

    @display(description=_("Action"))
    def action(self, entry: AuditEntry) -> str:
        return action_in_words(entry.verb)

    @display(description=_("Kind"))
    def kind(self, entry: AuditEntry) -> str:
        return kind_of(entry)

    @display(description=_("subject"))
    def subject(self, entry: AuditEntry) -> str:
        return entry.subject_in_words

    @display(description=_("Reason"))
    def why(self, entry: AuditEntry) -> str:
        return retold(entry.reason) or "—"

    @display(description=_("Details"))
    def facts(self, entry: AuditEntry) -> str:
        return (
            format_html_join(
                "", '<div><span class="t2">{}</span> <span class="wrap-any">{}</span></div>', facts_of(entry)
            )
            or "—"
        )

    @display(description=_("What changed"))
    def changed(self, entry: AuditEntry) -> str:
        if not (changes := changes_of(entry)):
            return "—"
        rows = format_html_join(
            "", '<tr><th class="text-left pr-4">{}</th><td class="pr-4">{}</td><td>{}</td></tr>', changes
        )
        return format_html(
            '<table><thead><tr><th></th><th class="text-left pr-4">{}</th><th class="text-left">{}</th></tr>'
            "</thead><tbody>{}</tbody></table>",
            _("Before"),
            _("After"),
            rows,
        )
