"""The cost pages of a tenant, and the list of its cost reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.generic import FormView, ListView, TemplateView

from accounts.permissions import require, signed_in
from billing.charts import cost_figure, year_figure
from billing.cost_reports import COSTS, ask_for_cost_report
from billing.cost_tables import MOST_ROWS, dearest, figures_of, tables_of
from billing.costs import CostReport, cost_report, today_of
from billing.forecast import Forecast, forecast_month
from billing.forms import CostReportForm, month_choice, month_choices
from billing.spend_by_day import spend_by_day
from billing.year import YEAR, months_of_year, year_report
from core.dates import day, days_label, month_label
from core.local_days import end_of_month, read_month
from core.templatetags.qm import money
from exports.models import Export
from exports.presentation import present_row
from exports.querysets import ExportQuerySet
from tenants.models import Project
from tenants.views.mixins import PartialMixin, TenantPageMixin, TenantScopedMixin

PAGE_SIZE = 50


@dataclass(frozen=True)
class PeriodPage:
    """What the cost page shows about its period, besides figures and tables."""

    period: dict[str, Any]
    forecast: Forecast | None
    forecast_reason: str
    has_cumulative: bool
    figure: Any
    figure_label: str


class CostPage(PartialMixin, TenantPageMixin, TemplateView):
    """The costs of a month or the last twelve, for one project or all: `?month=2026-10&project=slug`."""

    template_name = "billing/cost.html"
    partial_name = "billing/_cost_body.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        require(signed_in(request), "tenants.view_cost", self.tenant)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        # The report names all of them, also to controllers, who see no other pages of projects.
        projects = Project.objects.in_tenant(self.tenant)
        project = self.chosen_project(projects)
        if self.request.GET.get("month") == YEAR:
            report, shown, value = self.of_a_year(project)
        else:
            report, shown, value = self.of_a_month(project)
        return (
            context
            | self.scope(value, project, projects, report)
            | vars(figures_of(report))
            | vars(
                tables_of(
                    report,
                    lambda slug: self.address(value, slug) if project is None else None,
                    reverse("project-list", args=[self.tenant.slug]),
                )
            )
            | {"report": report, "months": self.months(value)}
            | vars(shown)
        )

    def of_a_month(self, project: Project | None) -> tuple[CostReport, PeriodPage, str]:
        """The report, the page's facts about its period, and the value of `month` in the address."""
        today = today_of(self.tenant)
        month = self.chosen_month(today)
        end = min(end_of_month(month), today)
        report = cost_report(self.tenant, month, max(end, month), project=project)
        is_current = month == today.replace(day=1)
        forecast = self.forecast(today, project) if is_current else None
        shown = PeriodPage(
            period={
                "label": _period_label(month, end) if is_current else month_label(month),
                "value": f"{month:%Y-%m}",
                "is_current": is_current,
            },
            forecast=forecast,
            forecast_reason=_("needs seven complete days") if is_current else _("the month is over"),
            has_cumulative=True,
            figure=cost_figure(report, last_day=end_of_month(month) if forecast else end, forecast=forecast)
            if len(report.now.by_day) > 1
            else None,
            figure_label=_finding(report),
        )
        return report, shown, f"{month:%Y-%m}"

    def of_a_year(self, project: Project | None) -> tuple[CostReport, PeriodPage, str]:
        """The same for the last twelve months."""
        report = year_report(self.tenant, project=project)
        months = months_of_year(report.end_day)
        shown = PeriodPage(
            period={"label": f"{month_label(months[0])} – {month_label(months[-1])}", "is_year": True},
            forecast=None,
            forecast_reason=_("shown for the running month"),
            has_cumulative=False,
            figure=year_figure(report, months) if len(report.now.by_day) > 1 else None,
            figure_label=_("Stacked bars of cost per month by model. The table below has their sums."),
        )
        return report, shown, YEAR

    def months(self, chosen: str) -> list[dict[str, Any]]:
        """The options: the last twelve months, this month, and every month with usage."""
        found = {month_choice(month) for month in month_choices(self.tenant)}
        if chosen != YEAR:
            found.add(month_choice(read_month(chosen)))
        return [
            {"value": value, "label": label, "selected": value == chosen}
            for value, label in [(YEAR, _("Last 12 months")), *sorted(found, reverse=True)]
        ]

    def chosen_month(self, today: date) -> date:
        text = self.request.GET.get("month")
        if not text:
            return today.replace(day=1)
        try:
            month = read_month(text)
        except ValueError:
            raise BadRequest(_("Write the month as 2026-10.")) from None
        if month > today:
            raise Http404
        return month

    def chosen_project(self, projects: QuerySet[Project]) -> Project | None:
        if not (slug := self.request.GET.get("project")) or "\0" in slug:
            return None
        found = projects.filter(slug=slug).first()
        if found is None:
            raise Http404
        return found

    def forecast(self, today: date, project: Project | None) -> Forecast | None:
        """The forecast learns from four weeks before today, which the report's comparison does not have all of."""
        spend = spend_by_day(self.tenant, today, project=project)
        return forecast_month(spend, today=today, month_end=end_of_month(today))

    def address(self, month: str, project_slug: str | None = None) -> str:
        query = {"month": month} | ({"project": project_slug} if project_slug else {})
        return f"{reverse('cost', args=[self.tenant.slug])}?{urlencode(query)}"

    def scope(
        self, month: str, project: Project | None, projects: QuerySet[Project], report: CostReport
    ) -> dict[str, Any]:
        """The page's current filters, and the most expensive projects to filter by.

        Args:
            month: the `month` parameter of the address.
            project: the project in the address; None: all.
            projects: the tenant's.
            report: the report of the page.
        """
        count = projects.count()
        everything = ngettext("%(count)d project", "All %(count)d projects", count)
        return {
            "project": project,
            "scope": {
                "label": project.name if project else everything % {"count": count},
                "remove_url": self.address(month) if project else None,
            },
            "project_options": [
                {"label": name, "url": self.address(month, slug), "selected": False}
                for (slug, name), _figures in dearest(report.now.by_project)[:MOST_ROWS]
            ],
        }


class CostReportList(TenantScopedMixin[ExportQuerySet[Export]], ListView):  # type: ignore[type-arg]
    """A tenant's reports, newest first, paged by keyset: `?before=<id>` shows older ones."""

    model = Export
    template_name = "billing/cost_report_list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        ask_for_cost_report.require_permission(signed_in(request), Export(tenant=self.tenant))
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> ExportQuerySet[Export]:
        rows = super().get_queryset().of_kinds(COSTS.name).with_names().order_by("-pk")
        if before := self.request.GET.get("before"):
            try:
                rows = rows.filter(pk__lt=UUID(before))
            except ValueError:
                raise BadRequest(_("This is not a place in the list.")) from None
        return rows[: PAGE_SIZE + 1]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        found = list(context["object_list"])
        here = reverse("export-list", args=[self.tenant.slug])
        older = f"{here}?before={found[PAGE_SIZE - 1].pk}" if len(found) > PAGE_SIZE else None
        newer = here if self.request.GET.get("before") else None
        return context | {
            "exports": [present_row(export) for export in found[:PAGE_SIZE]],
            "older_url": older,
            "newer_url": newer,
        }


class NewCostReport(TenantPageMixin, FormView):  # type: ignore[type-arg]
    """Request a month's costs as a file."""

    form_class = CostReportForm
    template_name = "billing/cost_report_new.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        ask_for_cost_report.require_permission(signed_in(request), Export(tenant=self.tenant))
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        ask_for_cost_report.require(signed_in(request), Export(tenant=self.tenant))
        return super().post(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"tenant": self.tenant, "user": self.request.user}

    def get_initial(self) -> dict[str, Any]:
        return {"month": self.request.GET.get("month"), "project": self.request.GET.get("project")}

    def form_valid(self, form: CostReportForm) -> HttpResponse:
        month, project = form.cleaned_data["month"], form.cleaned_data["project"]
        ask_for_cost_report(
            self.tenant,
            start_day=month,
            end_day=end_of_month(month),
            by=signed_in(self.request),
            project=project,
            csv_format=form.cleaned_data["format"],
        )
        return redirect("export-list", tenant=self.tenant.slug)

    def form_invalid(self, form: CostReportForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


def _period_label(first: date, last: date) -> str:
    return days_label(first, last)


def _finding(report: CostReport) -> str:
    """The chart in one sentence, for people who cannot see it."""
    days = {at: figures.cost for at, figures in report.now.by_day.items() if figures.cost is not None}
    if not days:
        return _("No priced usage in these days.")
    dearest = max(days, key=lambda at: days[at] or Decimal(0))
    return _(
        "Stacked bars of cost per day by model. The most expensive day was %(day)s with %(cost)s. The "
        "table below has the same numbers."
    ) % {"day": day(dearest), "cost": money(days[dearest], report.currency)}
