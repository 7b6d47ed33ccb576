"""The operators' page of a route's fallback models."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin.base import offers
from accounts.permissions import signed_in
from core.errors import Conflict
from deployments.fallbacks import change_fallbacks, names_of, preview_fallbacks
from deployments.models import Route


class FallbacksForm(forms.Form):
    """Public names of models, one per line, in order of preference."""

    generation = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    models = forms.CharField(
        label=_("Fallback models in order of preference, one per line"),
        required=False,
        widget=UnfoldAdminTextareaWidget,
    )

    def __init__(self, *args: Any, route: Route, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["generation"].initial = route.generation
        self.fields["models"].initial = "\n".join(names_of(route))

    def clean_models(self) -> list[str]:
        return [name for name in re.split(r"\s*\n\s*", self.cleaned_data["models"]) if name]


class FallbacksPage:
    """The part of the admin of routes that sets fallback models."""

    def has_change_fallbacks_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return change_fallbacks.is_for(request.user)

    @offers(change_fallbacks)
    @action(  # type: ignore[untyped-decorator]
        description=_("Fallback models"),
        url_path="fallbacks",
        permissions=["change_fallbacks"],
        icon="low_priority",
    )
    def change_fallbacks(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set which models answer when no target of this one does; preview first."""
        person = signed_in(request)
        route = get_object_or_404(Route.objects.visible_to(person).select_related("model"), pk=object_id)
        change_fallbacks.require_permission(person, route)
        form = FallbacksForm(request.POST or None, route=route)
        context: dict[str, Any] = {}
        status = 200
        if request.method == "POST":
            status = 422
            if form.is_valid():
                answers = form.cleaned_data
                try:
                    if "save" in request.POST:
                        change_fallbacks(
                            route.pk, answers["models"], based_on=answers["generation"], by=person
                        )
                        messages.success(request, _("Gateways follow the new route within seconds."))
                        return redirect("admin:deployments_route_change", route.pk)
                    context["previews"] = preview_fallbacks(route, answers["models"])
                    context["is_previewed"], status = True, 200
                except ValidationError as error:
                    form.add_error("models", error.messages)
                except Conflict as refused:
                    context["conflict"], status = refused.message, 409
        context |= self.admin_site.each_context(request) | {  # type: ignore[attr-defined]
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": _("Fallback models of %(model)s") % {"model": route.model.name},
            "form": form,
            "back": reverse("admin:deployments_route_change", args=[route.pk]),
        }
        return render(request, "admin/deployments/route/fallbacks.html", context, status=status)
