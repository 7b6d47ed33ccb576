"""Operators' pages of routes: what serves a model, and a form that changes all entries at once."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import F, JSONField, QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import offers
from accounts.permissions import signed_in
from catalog.serving import acknowledged_revisions
from core.errors import Conflict
from deployments.degrading import degrading_of
from deployments.degrading_admin import DegradingPage
from deployments.fallbacks_admin import FallbacksPage
from deployments.models import Route
from deployments.route_form import RouteForm, candidates
from deployments.route_handling import change_handling, preview_handling
from deployments.route_handling_form import HandlingForm
from deployments.route_preview import RoutePreview, preview_route, share_of, shown_entry
from deployments.routes import EntryPlan, change_route


@admin.register(Route)
class RouteAdmin(FallbacksPage, DegradingPage, ReadOnlyAdmin):
    list_display = ["model", "targets", "gateways", "changed_at"]
    list_select_related = ["model"]
    search_fields = ["model__name"]
    sort_columns = {"model_name": F("model__name")}
    fields = readonly_fields = [
        "model",
        "targets",
        "fallback_models",
        "smaller_model",
        "gateways",
        *Route.HANDLING,
        "generation",
        "changed_at",
        "created_at",
    ]
    actions_detail = ["change_targets", "change_fallbacks", "change_degrading", "change_handling"]
    empty_title = _("No routes yet")
    empty_text = _(
        "Deploy a version of a model. Its route then appears here, and gets calls once you add a target."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Routes, with the revisions that gateways have acknowledged: one query for all rows."""
        alive = Value(acknowledged_revisions(), output_field=JSONField())
        rows: QuerySet[Any] = super().get_queryset(request).with_entries()  # type: ignore[attr-defined]
        annotated: QuerySet[Any] = rows.annotate(alive=alive)
        return annotated

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["model_name", "pk"]

    @display(description=_("Targets"))
    def targets(self, route: Route) -> str:
        plan = {
            entry.target_id: EntryPlan(entry.target_id, entry.weight, entry.priority, entry.variant)
            for entry in route.entries.all()
        }
        rows = (
            (
                entry.target.name,
                shown_entry(plan[entry.target_id], share_of(entry.target_id, plan)),
                ", ".join(entry.target.regions) or _("no region stated"),
                entry.target.audience,
                entry.target.health,
                ", ".join(entry.target.urls) or _("no address yet"),
            )
            for entry in route.entries.all()
        )
        nothing = format_html("<b>{}</b>", _("none: nothing serves this model yet"))
        return format_html_join("", "<p><b>{}</b>: {} · {} · {} · {} · {}</p>", rows) or nothing

    @display(description=_("Fallback models"))
    def fallback_models(self, route: Route) -> str:
        return ", ".join(fallback.model.name for fallback in route.fallbacks.all()) or str(_("none"))

    @display(description=_("Smaller model"))
    def smaller_model(self, route: Route) -> str:
        degrading = degrading_of(route)
        money = _("at %(percent)d%% of a money limit") % {"percent": degrading.money_percent or 0}
        latency = _("above %(ms)s ms to the first token") % {"ms": f"{degrading.first_token_ms or 0:,}"}
        goals = [money if degrading.money_percent else "", latency if degrading.first_token_ms else ""]
        return ", ".join(filter(None, [degrading.model, *goals])) or str(_("none"))

    @display(description=_("Gateways"))
    def gateways(self, route: Any) -> str:
        """How many gateways follow the route as it was last changed."""
        alive: list[int] = route.alive
        following = sum(revision >= route.revision for revision in alive)
        if not alive:
            return str(_("no gateway is alive"))
        return str(_("%(n)d of %(all)d follow it") % {"n": following, "all": len(alive)})

    def has_change_targets_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return change_route.is_for(request.user)

    @offers(change_route)
    @action(
        description=_("Change targets"), url_path="targets", permissions=["change_targets"], icon="alt_route"
    )
    def change_targets(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set weight and order of all targets; preview first."""
        person = signed_in(request)
        route = get_object_or_404(Route.objects.visible_to(person).with_entries(), pk=object_id)
        change_route.require_permission(person, route)
        form = RouteForm(request.POST or None, route=route, offered=candidates(route, request.POST))
        preview, conflict, status = None, "", 200
        if request.method == "POST" and "search" not in request.POST:
            status = 422
            if form.is_valid():
                try:
                    if "save" in request.POST:
                        answers = form.cleaned_data
                        change_route(
                            route.pk,
                            form.plan(),
                            based_on=answers["generation"],
                            may_end_service=answers["may_end_service"],
                            by=person,
                        )
                        messages.success(request, _("Gateways follow the new route within seconds."))
                        return redirect("admin:deployments_route_change", route.pk)
                    preview, status = preview_route(route, form.plan()), 200
                except ValidationError as error:
                    form.add_error(None, error.messages)
                except Conflict as refused:
                    conflict, status = refused.message, 409
                    if refused.code == "route_would_be_empty":
                        preview = preview_route(route, form.plan())
        return self._page(request, route, form, preview, conflict, status)

    def _page(
        self,
        request: HttpRequest,
        route: Route,
        form: RouteForm,
        preview: RoutePreview | None,
        conflict: str,
        status: int,
    ) -> HttpResponse:
        """The form, with what it would change.

        Args:
            request: the request of the page.
            route: the route, with its entries.
            form: weights and orders.
            preview: what they would change, if that was asked.
            conflict: why the change was refused.
            status: of the answer.
        """
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": _("Targets of %(model)s") % {"model": route.model.name},
            "form": form,
            "preview": preview,
            "conflict": conflict,
            "is_stale": form.is_bound and str(route.generation) != form.data.get("generation"),
            "back": reverse("admin:deployments_route_change", args=[route.pk]),
        }
        return render(request, "admin/deployments/route/edit.html", context, status=status)

    def has_change_handling_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return change_handling.is_for(request.user)

    @offers(change_handling)
    @action(
        description=_("Time-outs and retries"),
        url_path="handling",
        permissions=["change_handling"],
        icon="timer",
    )
    def change_handling(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set how the calls of the route are handled; preview first."""
        person = signed_in(request)
        route = get_object_or_404(Route.objects.visible_to(person).select_related("model"), pk=object_id)
        change_handling.require_permission(person, route)
        form = HandlingForm(request.POST or None, instance=route)
        preview, conflict, status = None, "", 200
        if request.method == "POST":
            status = 422
            if form.is_valid():
                try:
                    if "save" in request.POST:
                        change_handling(
                            object_id, form.values(), based_on=form.cleaned_data["generation"], by=person
                        )
                        messages.success(request, _("Gateways follow the new settings within seconds."))
                        return redirect("admin:deployments_route_change", route.pk)
                    preview, status = preview_handling(route, form.values()), 200
                except Conflict as refused:
                    conflict, status = refused.message, 409
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": _("Calls of %(model)s: time-outs, connections, retries") % {"model": route.model.name},
            "form": form,
            "preview": preview,
            "conflict": conflict,
            "back": reverse("admin:deployments_route_change", args=[route.pk]),
        }
        return render(request, "admin/deployments/route/handling.html", context, status=status)
