"""The operators' page of the smaller model to which a route degrades."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from accounts.admin.base import offers, style
from accounts.permissions import signed_in
from core.errors import Conflict
from deployments.degrading import Degrading, change_degrading, degrading_of, preview_degrading
from deployments.models import Route
from deployments.models.routes import MOST_FIRST_TOKEN_MS


class DegradingForm(forms.Form):
    """The smaller model and the goals, and the generation of the route that the person looked at."""

    generation = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    model = forms.CharField(
        label=_("Smaller model"), max_length=120, required=False, help_text=_("Its public name. Empty: none.")
    )
    money_percent = forms.IntegerField(
        label=_("Share of a money limit, in percent"),
        min_value=1,
        max_value=100,
        required=False,
        help_text=_("From this part of a limit on money, hard or soft, on. Empty: limits do not matter."),
    )
    first_token_ms = forms.IntegerField(
        label=_("Milliseconds to the first token"),
        min_value=1,
        max_value=MOST_FIRST_TOKEN_MS,
        required=False,
        help_text=_("While the median of the model's latest streams is longer. Empty: it does not matter."),
    )

    def __init__(self, *args: Any, route: Route, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = degrading_of(route)
        self.initial = {"generation": route.generation, **vars(current)}
        style(self, "model", "money_percent", "first_token_ms")

    def wanted(self) -> Degrading:
        """What a valid form asks for."""
        answers = self.cleaned_data
        return Degrading(answers["model"], answers["money_percent"], answers["first_token_ms"])


class DegradingPage:
    """The part of the admin of routes that sets the smaller model."""

    def has_change_degrading_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return change_degrading.is_for(request.user)

    @offers(change_degrading)
    @action(  # type: ignore[untyped-decorator]
        description=_("Smaller model"),
        url_path="degrading",
        permissions=["change_degrading"],
        icon="trending_down",
    )
    def change_degrading(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set to which model the route degrades, and when; preview first."""
        person = signed_in(request)
        rows = Route.objects.visible_to(person).select_related("model", "degrades_to")
        route = get_object_or_404(rows, pk=object_id)
        change_degrading.require_permission(person, route)
        form = DegradingForm(request.POST or None, route=route)
        context: dict[str, Any] = {}
        status = 200
        if request.method == "POST":
            status = 422
            if form.is_valid():
                try:
                    if "save" in request.POST:
                        based_on = form.cleaned_data["generation"]
                        change_degrading(route.pk, form.wanted(), based_on=based_on, by=person)
                        messages.success(request, _("Gateways follow the new route within seconds."))
                        return redirect("admin:deployments_route_change", route.pk)
                    context["preview"] = preview_degrading(route, form.wanted())
                    context["is_previewed"], status = True, 200
                except ValidationError as error:
                    form.add_error(None, error)
                except Conflict as refused:
                    context["conflict"], status = refused.message, 409
        context |= self.admin_site.each_context(request) | {  # type: ignore[attr-defined]
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": _("Smaller model of %(model)s") % {"model": route.model.name},
            "form": form,
            "back": reverse("admin:deployments_route_change", args=[route.pk]),
        }
        return render(request, "admin/deployments/route/degrading.html", context, status=status)
