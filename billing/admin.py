"""Billing for staff: cost reports, prices and quarantined events. Nothing is edited here; actions are actions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from accounts.admin.base import ReadOnlyAdmin, style
from accounts.admin.filters import FewValuesFilter
from accounts.permissions import signed_in
from billing import exports
from billing.audit_views import StaffAuditExportForm
from billing.forms import PriceForm, ReportForm, last_day
from billing.models import Export, Price, QuarantinedEvent
from billing.prices import publish_prices
from billing.views import as_row, download
from core.errors import Conflict
from core.templatetags.qm import price_exact


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    """Cost reports: ask for one, watch it being built, download it."""

    ordering = ("-pk",)
    list_filter_sheet = False
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
    list_select_related = ("tenant", "project", "requested_by")
    actions_list = ("new_report",)
    change_form_before_template = "admin/billing/export/progress.html"
    fields = (
        "kind", "tenant", "project", "start_day", "end_day", "requested_by", "created_at", "finished_at", "expires_at",
        "rows_total", "total_shown", "size_bytes", "sha256", "attempts", "error",
    )  # fmt: skip
    readonly_fields = ("total_shown",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Export]:
        user = signed_in(request)
        return Export.objects.visible_to(user).readable_by(user).with_names().order_by("-pk")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("audit/", view(self.audit_view), name="billing_export_audit"),
            path("<uuid:pk>/progress/", view(self.progress_view), name="billing_export_progress"),
            path("<uuid:pk>/download/", view(self.download_view), name="billing_export_download"),
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
        context = {"export": as_row(export)} if export else {}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | context)

    def has_new_report_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return exports.ask_for_export.is_for(request.user)

    @action(description=_("New cost report"), url_path="new", permissions=["new_report"])
    def new_report(self, request: HttpRequest) -> HttpResponse:
        """Ask for a tenant's month."""
        form = ReportForm(request.POST or None, user=request.user)  # type: ignore[arg-type]
        if form.is_valid():
            month = form.cleaned_data["month"]
            export = exports.ask_for_export(
                form.cleaned_data["tenant"],
                start_day=month,
                end_day=last_day(month),
                by=request.user,  # type: ignore[arg-type]
                csv_format=form.cleaned_data["format"],
            )
            return redirect("admin:billing_export_change", export.pk)
        style(form)
        return self.form_page(
            request, form, title=_("New cost report"), button=_("Build report"),
            hint=_("A CSV file with exact amounts; its rows sum to the total of the tenant's cost page."),
        )  # fmt: skip

    def audit_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the audit log of a tenant, or of all, as a file."""
        exports.ask_for_audit_export.require_permission(signed_in(request), Export())
        today = now().date()
        days = {"start": today.replace(day=1), "end": today}
        form = StaffAuditExportForm(request.POST or None, user=signed_in(request), initial=days)
        if form.is_valid():
            export = exports.ask_for_audit_export(
                form.cleaned_data["tenant"],
                kind=form.cleaned_data["kind"],
                start_day=form.cleaned_data["start"],
                end_day=form.cleaned_data["end"],
                by=signed_in(request),
                entry_filter=form.entry_filter().as_json(),
                csv_format=form.cleaned_data["format"],
            )
            return redirect("admin:billing_export_change", export.pk)
        style(form)
        return self.form_page(
            request, form, title=_("Export the audit log"), button=_("Build file"),
            hint=_("CSV for spreadsheets, JSON Lines for programs. Without a tenant: the audit log of all."),
        )  # fmt: skip

    def progress_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """How far a report is; the page asks every second until it is built."""
        return render(
            request, "admin/billing/export/progress.html", {"export": as_row(self.find(request, pk))}
        )

    def download_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """The file, for who may export that tenant's costs."""
        exports.file_for_download.require(signed_in(request), self.find(request, pk))
        return download(pk, by=request.user)  # type: ignore[arg-type]

    def find(self, request: HttpRequest, pk: UUID) -> Export:
        export = self.get_queryset(request).filter(pk=pk).first()
        if export is None:
            raise Http404
        if not self.has_view_permission(request, export):
            raise PermissionDenied("Your role does not let you see cost reports.")
        return export

    @admin.display(description=_("Report"))
    def report(self, export: Export) -> str:
        return as_row(export).label  # type: ignore[attr-defined,no-any-return]

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
        address = reverse("admin:billing_export_download", args=[export.pk])
        return format_html('<a href="{}" download>{}</a>', address, _("Download"))


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    """Prices are never edited: a new version begins at a date."""

    ordering = ("-pk",)
    list_filter_sheet = False
    list_display = (
        "model_name",
        "kind",
        "amount",
        "valid_from",
        "valid_until",
        "same_as",
        "reason",
    )
    list_filter = ("sku__kind", "currency")
    list_select_related = ("sku__model", "created_by")
    search_fields = ("sku__model__name",)
    actions_list = ("new_version",)

    def has_new_version_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return publish_prices.is_for(request.user)

    @action(description=_("New version from date"), url_path="new", permissions=["new_version"])
    def new_version(self, request: HttpRequest) -> HttpResponse:
        """Publish a model's next price list."""
        form = PriceForm(request.POST or None)
        if form.is_valid():
            data = form.cleaned_data
            try:
                report = publish_prices(
                    data["model"], form.per_million(), valid_from=data["valid_from"], currency=data["currency"],
                    reason=data["reason"], by=request.user,  # type: ignore[arg-type]
                )  # fmt: skip
            except ValidationError as error:
                form.add_error(None, error)
            except Conflict as error:
                form.add_error(None, error.message)
            else:
                messages.success(request, _("%(first)d new, %(changed)d changed, %(withdrawn)d withdrawn, %(unchanged)d unchanged prices.") % vars(report))  # fmt: skip  # noqa: E501
                return redirect("admin:billing_price_changelist")
        style(form)
        return self.form_page(
            request, form, title=_("New version from date"), button=_("Publish prices"),
            hint=_("Money per million tokens. A kind left empty is not priced, except cached input, cache writes "
                   "and reasoning, which then cost what input and output cost."),
        )  # fmt: skip

    @admin.display(description=_("Model"), ordering="sku__model__name")
    def model_name(self, price: Price) -> str:
        return price.sku.model.name

    @admin.display(description=_("Kind"), ordering="sku__kind")
    def kind(self, price: Price) -> str:
        return price.sku.get_kind_display()

    @admin.display(description=_("Per million"))
    def amount(self, price: Price) -> str:
        return price_exact(price.per_million, price.currency)

    @admin.display(description=_("From"))
    def valid_from(self, price: Price) -> Any:
        return price.valid.lower

    @admin.display(description=_("Until"), empty_value="—")
    def valid_until(self, price: Price) -> Any:
        return price.valid.upper


@admin.register(QuarantinedEvent)
class QuarantinedEventAdmin(ReadOnlyAdmin):
    """Events that were not billed, as they came."""

    ordering = ("-pk",)
    list_filter_sheet = False
    list_display = ("event_id", "tenant", "source", "reason", "recorded_at")
    list_filter = ("reason", ("source", FewValuesFilter))
    list_select_related = ("tenant",)
    search_fields = ("event_id", "tenant__name")
    fields = ("event_id", "tenant", "source", "reason", "recorded_at", "payload")
