"""Cost and export pages of a tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.generic import DetailView, FormView, ListView, TemplateView, View

from billing import exports
from billing.charts import cost_figure, ranked_models
from billing.costs import CostReport, Figures, cost_report, today_of
from billing.forecast import Forecast, forecast_month
from billing.forms import ExportForm, last_day, month_choices, month_label, read_month
from billing.kinds import Kind
from billing.models import Export
from tenants.models import Project, User
from tenants.permissions import require
from tenants.templatetags.qm import day, money, share
from tenants.views.audit_forms import PLATFORM, address_of
from tenants.views.mixins import PartialMixin, TenantPageMixin, TenantScopedMixin

PAGE_SIZE = 50
MOST_ROWS = 25  # of a table of the cost page; the others are one row together
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


@dataclass
class NowAndBefore:
    """A number beside the same weekdays four weeks earlier; `before` None: there was nothing to compare with."""

    now: Decimal | int | None
    before: Decimal | int | None


class CostPage(PartialMixin, TenantPageMixin, TemplateView):
    """What a month has cost, of all projects or one: `?month=2026-10&project=slug`."""

    template_name = "billing/cost.html"
    partial_name = "billing/_cost_body.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        require(cast(User, request.user), "tenants.view_cost", self.tenant)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        project = self.chosen_project(context["projects"])
        today = today_of(self.tenant)
        month = self.chosen_month(today)
        end = min(last_day(month), today)
        report = cost_report(self.tenant, month, max(end, month), project=project)
        is_current = month == today.replace(day=1)
        forecast = self.forecast(report, today) if is_current else None
        return (
            context
            | self.scope(month, project, context["projects"], report)
            | _figures(report)
            | _tables(
                report,
                lambda slug: self.address(month, slug) if project is None else None,
                reverse("project-list", args=[self.tenant.slug]),
            )
            | {
                "period": {
                    "label": _period_label(month, end) if is_current else month_label(month),
                    "value": f"{month:%Y-%m}",
                    "is_current": is_current,
                },
                "months": [
                    {"value": f"{m:%Y-%m}", "label": month_label(m), "selected": m == month}
                    for m in sorted({month, *month_choices(self.tenant)}, reverse=True)
                ],
                "report": report,
                "forecast": forecast,
                "forecast_reason": _("needs seven complete days") if is_current else _("the month is over"),
                "has_cumulative": True,
                "figure": cost_figure(
                    report, last_day=last_day(month) if forecast else end, forecast=forecast
                )
                if len(report.now.by_day) > 1
                else None,
                "figure_label": _finding(report),
            }
        )

    def chosen_month(self, today: date) -> date:
        text = self.request.GET.get("month")
        if not text:
            return today.replace(day=1)
        try:
            month = read_month(text)
        except ValueError:
            raise BadRequest("Write the month as 2026-10.") from None
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

    def forecast(self, report: CostReport, today: date) -> Forecast | None:
        spend = {at: figures.cost or Decimal(0) for at, figures in report.before.by_day.items()}
        spend |= {at: figures.cost or Decimal(0) for at, figures in report.now.by_day.items()}
        return forecast_month(spend, today=today, month_end=last_day(report.start_day))

    def address(self, month: date, project_slug: str | None = None) -> str:
        query = {"month": f"{month:%Y-%m}"} | ({"project": project_slug} if project_slug else {})
        return f"{reverse('cost', args=[self.tenant.slug])}?{urlencode(query)}"

    def scope(
        self, month: date, project: Project | None, projects: QuerySet[Project], report: CostReport
    ) -> dict[str, Any]:
        """What the page is narrowed to, and the dearest projects to narrow it to."""
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


class ExportList(TenantScopedMixin, ListView):  # type: ignore[type-arg]
    """A tenant's reports, newest first, by keyset: `?before=<id>` leads to older ones."""

    model = Export
    template_name = "billing/export_list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        require(cast(User, request.user), "tenants.export_cost", self.tenant)
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        rows = super().get_queryset().of_costs().with_names().order_by("-pk")
        if before := self.request.GET.get("before"):
            try:
                rows = rows.filter(pk__lt=UUID(before))
            except ValueError:
                raise BadRequest("This is no place in the list.") from None
        return rows[: PAGE_SIZE + 1]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        found = list(context["object_list"])
        here = reverse("export-list", args=[self.tenant.slug])
        older = f"{here}?before={found[PAGE_SIZE - 1].pk}" if len(found) > PAGE_SIZE else None
        newer = here if self.request.GET.get("before") else None
        return context | {
            "exports": [as_row(export) for export in found[:PAGE_SIZE]],
            "older_url": older,
            "newer_url": newer,
        }


class ExportDetail(PartialMixin, TenantScopedMixin, DetailView):  # type: ignore[type-arg]
    """One report; its row asks for itself every second until it is built."""

    model = Export
    template_name = "billing/export_detail.html"
    partial_name = "billing/_export_row.html"

    def get_object(self, queryset: Any = None) -> Any:
        export = super().get_object(queryset)
        require(cast(User, self.request.user), export.permission, self.tenant)
        return as_row(export)

    def get_queryset(self) -> Any:
        return super().get_queryset().with_names()


class NewExport(TenantPageMixin, FormView):  # type: ignore[type-arg]
    """Ask for a month's costs as a file."""

    form_class = ExportForm
    template_name = "billing/export_new.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        require(cast(User, self.request.user), "tenants.export_cost", self.tenant)
        return super().get_form_kwargs() | {"tenant": self.tenant, "user": self.request.user}

    def get_initial(self) -> dict[str, Any]:
        return {"month": self.request.GET.get("month"), "project": self.request.GET.get("project")}

    def form_valid(self, form: ExportForm) -> HttpResponse:
        month, project = form.cleaned_data["month"], form.cleaned_data["project"]
        exports.ask_for_export(
            self.tenant,
            start_day=month,
            end_day=last_day(month),
            by=cast(User, self.request.user),
            project=project,
            csv_format=form.cleaned_data["format"],
        )
        return redirect("export-list", tenant=self.tenant.slug)

    def form_invalid(self, form: ExportForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


class DownloadExport(TenantScopedMixin, View):
    """The file of a finished report."""

    model = Export

    def get(self, request: HttpRequest, *args: Any, pk: UUID, **kwargs: Any) -> HttpResponseBase:
        if not self.get_queryset().filter(pk=pk).exists():
            raise Http404
        return download(pk, by=cast(User, request.user))


def download(pk: UUID, *, by: User) -> FileResponse:
    """Hand out a report's file, streamed; the portal, the admin and the API answer with this."""
    export, path = exports.file_for_download(pk, by=by)
    response = FileResponse(
        path.open("rb"),
        as_attachment=True,
        filename=export.file_name,
        content_type=CONTENT_TYPES[export.suffix],
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    response["ETag"] = f'"{export.sha256}"'
    return response


def as_row(export: Export) -> Export:
    """An export with what its template asks besides."""
    scope = f" · {export.project.name}" if export.project else ""
    days = month_label(export.month) if export.month else f"{day(export.start_day)}–{day(export.end_day)}"
    if export.kind != Export.Kind.COSTS:
        scope = f" · {export.get_kind_display()}"
    month = {"month": f"{export.month:%Y-%m}"} if export.month else {}
    extras = {
        "label": f"{days}{scope}",
        "created_by": str(export.requested_by),
        "rows": export.rows_total,
        "retry_fields": month | ({"project": export.project.slug} if export.project else {}),
    }
    if export.kind != Export.Kind.COSTS and export.state == Export.State.FAILED:
        extras["retry_fields"] = _same_again(export)
    for name, value in extras.items():
        setattr(export, name, value)
    return export


def _same_again(export: Export) -> dict[str, str]:
    """What the form of the trail's files is sent to ask for the same file once more."""
    asked = export.question
    return {
        "kind": export.kind,
        "start": export.start_day.isoformat(),
        "end": export.end_day.isoformat(),
        "person": PLATFORM if asked.get("is_platform") else address_of(asked.get("actor")),
        "deed": asked.get("deed", ""),
        "object": asked.get("subject", ""),
    }


def _figures(report: CostReport) -> dict[str, Any]:
    now = report.now.total
    nothing = Figures(cost=None)
    before = report.before.total if report.has_comparison else nothing
    return {
        "currency": report.currency,
        "spend": NowAndBefore(now.cost, before.cost),
        "unit": NowAndBefore(now.unit_cost, before.unit_cost),
        "token_count": NowAndBefore(now.tokens, before.tokens if report.has_comparison else None),
        "calls": now.calls,
        "estimated": report.estimated,
        "has_comparison": report.has_comparison,
        "unpriced": [{"model": model, "calls": calls} for model, calls in report.unpriced],
        "metered_to": report.metered_to,
        "final_to": report.final_up_to,
        "is_empty": not now.calls,
    }


def dearest(by_project: Mapping[tuple[str, str], Figures]) -> list[tuple[tuple[str, str], Figures]]:
    """Projects (slug, name) with their figures, dearest first."""
    return sorted(by_project.items(), key=lambda item: (-(item[1].cost or 0), item[0]))


def _tables(report: CostReport, project_address: Any, other_projects: str) -> dict[str, Any]:
    """The rows of the page's tables: the dearest each, and the others together, so that they still add up."""

    def others(
        rest: list[tuple[Figures, Figures | None]], label: Callable[[int], str], **also: Any
    ) -> list[dict[str, Any]]:
        if not rest:
            return []
        total, before = Figures(cost=None), Figures()
        for now_, then in rest:
            total = total.plus(now_)
            before = before.plus(then or Figures())
        return [{"label": label(len(rest)) % {"count": len(rest)}, "url": None, **also, **row(total, before)}]

    def row(figures: Figures, before: Figures | None) -> dict[str, Any]:
        compared = (before or Figures()).cost if report.has_comparison else None
        return {
            "cost": figures.cost,
            "before": compared,
            "tokens": figures.tokens,
            "unit_cost": figures.unit_cost,
        }

    projects = dearest(report.now.by_project)
    models = ranked_models(report.now.by_model)
    read = sum(kind.quantity for kind in report.by_kind if kind.kind == Kind.CACHE_READ)
    all_input = read + sum(kind.quantity for kind in report.by_kind if kind.kind == Kind.INPUT)
    return {
        "model_rows": [
            {"label": name, "color": color, "url": None, **row(figures, report.before.by_model.get(name))}
            for name, figures, color in models[:MOST_ROWS]
        ] + others(
            [(figures, report.before.by_model.get(name)) for name, figures, _color in models[MOST_ROWS:]],
            lambda n: ngettext("Other, %(count)d model", "Other, %(count)d models", n), color=6,
        ),
        "model_total": row(report.now.total, report.before.total),
        "project_rows": [
            {"label": name, "url": project_address(slug), **row(figures, report.before.by_project.get((slug, name)))}
            for (slug, name), figures in projects[:MOST_ROWS]
        ] + others(
            [(figures, report.before.by_project.get(place)) for place, figures in projects[MOST_ROWS:]],
            lambda n: ngettext("Other, %(count)d project", "Other, %(count)d projects", n), url=other_projects,
        ),
        "kind_rows": [
            {"label": Kind(kind.kind).label, "tokens": kind.quantity, "cost": kind.cost} for kind in report.by_kind
        ],
        "cache_note": _("Caching served %(share)s of input.") % {"share": share(read, all_input)} if read else None,
    }  # fmt: skip


def _period_label(first: date, last: date) -> str:
    return (
        f"{first.day}–{last.day} {date_format(last, 'F Y')}" if last > first else date_format(last, "j F Y")
    )


def _finding(report: CostReport) -> str:
    """The chart in one sentence, for those who cannot see it."""
    days = {at: figures.cost for at, figures in report.now.by_day.items() if figures.cost is not None}
    if not days:
        return _("No priced usage in these days.")
    dearest = max(days, key=lambda at: days[at] or Decimal(0))
    return _(
        "Stacked bars of cost per day by model. The dearest day was %(day)s with %(cost)s. "
        "The table below holds the same numbers."
    ) % {"day": day(dearest), "cost": money(days[dearest], report.currency)}
