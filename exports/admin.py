"""Exports for staff."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from accounts.permissions import signed_in
from core.stored_words import retold
from exports.actions import file_for_download
from exports.models import Export
from exports.presentation import present_row
from exports.views import download


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    """Files of every kind, with progress and download. Each app adds the way to order its own."""

    list_display = (
        "report",
        "tenant",
        "progress",
        "rows_total",
        "total_shown",
        "requested_by",
        "created_at",
        "file",
    )
    list_filter = ("state",)
    list_filter_sheet = False
    list_select_related = ("tenant", "project", "requested_by")
    ordering = ("-pk",)
    change_form_before_template = "admin/exports/export/progress.html"
    fields = (
        "kind", "tenant", "project", "start_day", "end_day", "requested_by", "created_at", "finished_at", "expires_at",
        "rows_total", "total_shown", "size_bytes", "sha256", "attempts", "why_failed",
    )  # fmt: skip
    readonly_fields = ("total_shown", "why_failed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Export]:
        user = signed_in(request)
        return Export.objects.visible_to(user).readable_by(user).with_names().order_by(*self.ordering)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/progress/", view(self.progress_view), name="exports_export_progress"),
            path("<uuid:pk>/download/", view(self.download_view), name="exports_export_download"),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        export = self.get_object(request, object_id or "")
        context = {"export": present_row(export)} if export else {}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | context)

    @display(description=_("Why it failed"))
    def why_failed(self, export: Export) -> str:
        return retold(export.error)

    def progress_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """A report's progress. The page requests it every second until the file is built; a browser gets that page."""
        if request.headers.get("HX-Request") != "true":
            return redirect("admin:exports_export_change", self.find(request, pk).pk)
        return render(
            request, "admin/exports/export/progress.html", {"export": present_row(self.find(request, pk))}
        )

    def download_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """The file, for people who may download files of its kind."""
        file_for_download.require(signed_in(request), self.find(request, pk))
        return download(pk, by=signed_in(request))

    def find(self, request: HttpRequest, pk: UUID) -> Export:
        export = self.get_queryset(request).filter(pk=pk).first()
        if export is None:
            raise Http404
        if not self.has_view_permission(request, export):
            raise PermissionDenied(_("Your role does not let you see exports."))
        return export

    @admin.display(description=_("Report"))
    def report(self, export: Export) -> str:
        return present_row(export).label

    @admin.display(description=_("State"))
    def progress(self, export: Export) -> str:
        if export.state == Export.State.RUNNING and export.rows_total:
            return _("%(done)s of %(total)s rows") % {
                "done": f"{export.rows_done:,}",
                "total": f"{export.rows_total:,}",
            }
        return str(export.get_state_display())

    @admin.display(description=_("Total"))
    def total_shown(self, export: Export) -> str:
        return "—" if export.total is None else f"{export.total.normalize():f} {export.currency}"

    @admin.display(description=_("File"))
    def file(self, export: Export) -> str:
        if export.state != Export.State.DONE:
            return "—"
        address = reverse("admin:exports_export_download", args=[export.pk])
        return format_html('<a href="{}" download>{}</a>', address, _("Download"))
