"""Operators' pages of routes: what serves a model, and a form that changes all entries at once."""

from __future__ import annotations

from collections.abc import Callable
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
from accounts.admin.base import link, offers
from accounts.permissions import signed_in
from catalog.serving import acknowledged_revisions
from core.errors import Conflict
from core.form_errors import show_errors
from deployments.degrading import change_degrading, degrading_of, preview_degrading
from deployments.fallbacks import change_fallbacks, preview_fallbacks
from deployments.models import Route, Target
from deployments.route_form import RouteForm, candidates
from deployments.route_handling import change_handling, preview_handling
from deployments.route_pages import RoutePage
from deployments.route_preview import RoutePreview, preview_route, share_of, shown_entry
from deployments.route_setting_forms import DegradingForm, FallbacksForm, HandlingForm
from deployments.routes import EntryPlan, change_route


@admin.register(Route)
class RouteAdmin(ReadOnlyAdmin):
    list_display = ["model", "targets_in_short", "gateways", "changed_at"]
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
        return self._targets(route, _link_to)

    # A list leads to the route's page only: two links above each other are hard to hit on a phone.
    @display(description=_("Targets"))
    def targets_in_short(self, route: Route) -> str:
        return self._targets(route, lambda target: target.name)

    def _targets(self, route: Route, named: Callable[[Target], str]) -> str:
        plan = {
            entry.target_id: EntryPlan(entry.target_id, entry.weight, entry.priority, entry.variant)
            for entry in route.entries.all()
        }
        rows = (
            (
                named(entry.target),
                shown_entry(plan[entry.target_id], share_of(entry.target_id, plan)),
                ", ".join(entry.target.regions) or _("no region stated"),
                entry.target.audience,
                entry.target.health,
                ", ".join(entry.target.urls) or _("no address yet"),
            )
            for entry in route.entries.all()
        )
        nothing = format_html("<b>{}</b>", _("none: nothing serves this model yet"))
        return format_html_join("", "<p>{} · {} · {} · {} · {} · {}</p>", rows) or nothing

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
                    show_errors(form, error)
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

    change_handling = RoutePage(
        change_handling,
        label=_("Time-outs and retries"),
        url_path="handling",
        icon="timer",
        title=_("Calls of %(model)s: time-outs, connections, retries"),
        text=_(
            "These settings are for all targets of this route. An empty field means the default. Calls in progress go "
            "on as they began."
        ),
        form=HandlingForm,
        preview=preview_handling,
        preview_template="admin/deployments/route/_handling.html",
    )

    change_fallbacks = RoutePage(
        change_fallbacks,
        label=_("Fallback models"),
        url_path="fallbacks",
        icon="low_priority",
        title=_("Fallback models of %(model)s"),
        text=_(
            "A gateway asks these models, in this order, only when no target of this model answers a call. Only calls "
            "of projects that may use both models go there, with data of no higher class than the fallback is granted "
            "for, and never outside the tenant's regions. The fallback's own limits and prices apply, and the answer "
            "says which model served it."
        ),
        form=FallbacksForm,
        preview=preview_fallbacks,
        preview_template="admin/deployments/route/_fallbacks.html",
    )

    change_degrading = RoutePage(
        change_degrading,
        label=_("Smaller model"),
        url_path="degrading",
        icon="trending_down",
        title=_("Smaller model of %(model)s"),
        text=_(
            "This model answers calls on purpose when either goal is passed: only for tenants that allow smaller "
            "models in their settings, for projects that may use both models, with data of no higher class than this "
            "model is granted for, and never outside the tenant's regions. Its own limits and prices apply. If it "
            "cannot serve a call, the route's own model does. The answer says which model served it, and why."
        ),
        form=DegradingForm,
        preview=preview_degrading,
        preview_template="admin/deployments/route/_degrading.html",
    )


def _link_to(target: Target) -> str:
    """A link to the page of what a target stands for."""
    if target.provider_model_id is not None:
        return link("deployments_providermodel_change", target.provider_model_id, text=target.name)
    return link("deployments_deployment_change", target.deployment_id, text=target.name)
