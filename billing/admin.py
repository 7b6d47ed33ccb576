"""Billing for staff: cost reports, prices and quarantined events. Staff change data only through actions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from accounts.admin.base import ReadOnlyAdmin, style
from accounts.admin.filters import FewValuesFilter, WordsFilter
from accounts.permissions import signed_in
from billing import kind_admin  # noqa: F401 - registers its page
from billing.cost_reports import ask_for_cost_report
from billing.forms import PriceForm, StaffCostReportForm
from billing.known_kinds import words_of
from billing.models import Price, QuarantinedEvent
from billing.prices import publish_prices
from core.errors import Conflict
from core.form_errors import show_errors
from core.local_days import end_of_month
from core.stored_words import retold
from core.templatetags.qm import price_exact
from exports.admin import ExportAdmin
from exports.models import Export

admin.site.unregister(Export)


@admin.register(Export)
class CostReportAdmin(ExportAdmin):
    """The list of exports, where controllers request a cost report."""

    actions_list = ("new_report",)

    def has_new_report_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ask_for_cost_report.is_for(request.user)

    @action(description=_("New cost report"), url_path="new", permissions=["new_report"])
    def new_report(self, request: HttpRequest) -> HttpResponse:
        """Request a cost report for one month of a tenant."""
        form = StaffCostReportForm(request.POST or None, user=signed_in(request))
        if form.is_valid():
            month = form.cleaned_data["month"]
            export = ask_for_cost_report(
                form.cleaned_data["tenant"],
                start_day=month,
                end_day=end_of_month(month),
                by=signed_in(request),
                csv_format=form.cleaned_data["format"],
            )
            return redirect("admin:exports_export_change", export.pk)
        style(form)
        return self.form_page(
            request, form, title=_("New cost report"), button=_("Build report"),
            hint=_("A CSV file with exact amounts; its rows sum to the total of the tenant's cost page."),
        )  # fmt: skip


class KindFilter(WordsFilter):
    words = staticmethod(words_of)


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    """Prices are never edited. A change is a new version with a start date."""

    list_display = (
        "model_name",
        "kind",
        "amount",
        "valid_from",
        "valid_until",
        "copies",
        "why",
    )
    fields = readonly_fields = (
        "model_name",
        "kind",
        "amount",
        "valid_from",
        "valid_until",
        "copies",
        "why",
        "created_by",
        "created_at",
    )
    list_filter = (("sku__kind", KindFilter), "currency")
    list_filter_sheet = False
    ordering = ("-pk",)
    list_select_related = ("sku__model", "created_by")
    search_fields = ("sku__model__name",)
    actions_list = ("new_version",)

    def has_new_version_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return publish_prices.is_for(request.user)

    @action(description=_("New version from date"), url_path="new", permissions=["new_version"])
    def new_version(self, request: HttpRequest) -> HttpResponse:
        """Publish a model's next price list."""
        form = PriceForm(request.POST or None, initial={"model": request.GET.get("model", "")})
        if form.is_valid():
            data = form.cleaned_data
            try:
                report = publish_prices(
                    data["model"], form.per_million(), valid_from=data["valid_from"], currency=data["currency"],
                    reason=data["reason"], by=request.user,  # type: ignore[arg-type]
                )  # fmt: skip
            except ValidationError as error:
                show_errors(form, error)
            except Conflict as error:
                form.add_error(None, error.message)
            else:
                messages.success(request, _("%(first)d new, %(changed)d changed, %(withdrawn)d withdrawn, %(unchanged)d unchanged prices.") % vars(report))  # fmt: skip  # noqa: E501
                return redirect("admin:billing_price_changelist")
        style(form)
        return self.form_page(
            request, form, title=_("New version from date"), button=_("Publish prices"),
            hint=_("Money per million. An empty kind is not priced, except cached input and cache "
                   "writes, which then cost the same as input, and reasoning, which then costs the same "
                   "as output."),
        )  # fmt: skip

    @admin.display(description=_("Model"), ordering="sku__model__name")
    def model_name(self, price: Price) -> str:
        return price.sku.model.name

    @admin.display(description=_("Kind"), ordering="sku__kind")
    def kind(self, price: Price) -> str:
        return words_of(price.sku.kind)

    @admin.display(description=_("Per million"))
    def amount(self, price: Price) -> str:
        return price_exact(price.per_million, price.currency)

    @admin.display(description=_("From"))
    def valid_from(self, price: Price) -> Any:
        return price.valid.lower

    @admin.display(description=_("Reason"), ordering="reason")
    def why(self, price: Price) -> str:
        return retold(price.reason)

    @admin.display(description=_("Until"), empty_value="—")
    def valid_until(self, price: Price) -> Any:
        return price.valid.upper

    @admin.display(description=_("Same price as"), empty_value="—")
    def copies(self, price: Price) -> str | None:
        return words_of(price.same_as) if price.same_as else None


@admin.register(QuarantinedEvent)
class QuarantinedEventAdmin(ReadOnlyAdmin):
    """Events that were not billed, exactly as the source sent them."""

    list_display = ("event_id", "tenant", "source", "reason", "recorded_at")
    list_filter = ("reason", ("source", FewValuesFilter))
    list_filter_sheet = False
    ordering = ("-pk",)
    list_select_related = ("tenant",)
    search_fields = ("event_id", "tenant__name")
    fields = ("event_id", "tenant", "source", "reason", "recorded_at", "payload")
