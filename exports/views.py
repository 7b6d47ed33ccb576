"""Pages of one export of any kind. Lists of files and forms that order one belong to the app of the kind."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.generic import DetailView, View

from accounts.models import User
from accounts.permissions import signed_in
from exports.actions import file_for_download
from exports.kinds import kind_named
from exports.models import Export
from exports.presentation import present_row
from exports.querysets import ExportQuerySet
from tenants.views.mixins import PartialMixin, TenantScopedMixin

CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


class ExportDetail(PartialMixin, TenantScopedMixin[ExportQuerySet[Export]], DetailView):  # type: ignore[type-arg]
    """One export. Its row reloads every second until the file is built."""

    model = Export
    template_name = "exports/export_detail.html"
    partial_name = "exports/_export_row.html"

    def get_object(self, queryset: Any = None) -> Any:
        export = super().get_object(queryset)
        file_for_download.require_permission(signed_in(self.request), export)
        return export

    def get_queryset(self) -> ExportQuerySet[Export]:
        return super().get_queryset().readable_by(signed_in(self.request)).with_names()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"export": present_row(self.object)}


class DownloadExport(TenantScopedMixin[ExportQuerySet[Export]], View):
    """The file of a finished export."""

    model = Export

    def get_queryset(self) -> ExportQuerySet[Export]:
        return super().get_queryset().readable_by(signed_in(self.request)).with_names()

    def get(self, request: HttpRequest, *args: Any, pk: UUID, **kwargs: Any) -> HttpResponseBase:
        export = get_object_or_404(self.get_queryset(), pk=pk)
        file_for_download.require(signed_in(request), export)
        return download(pk, by=signed_in(request))


def download(pk: UUID, *, by: User) -> FileResponse:
    """Stream an export's file. The portal, the admin and the API answer with this."""
    export, file = file_for_download(pk, by=by)
    response = FileResponse(
        file,
        as_attachment=True,
        filename=export.file_name,
        content_type=CONTENT_TYPES[kind_named(export.kind).suffix],
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    response["ETag"] = f'"{export.sha256}"'
    return response
