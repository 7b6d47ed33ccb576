"""Operators' pages that change one thing of a route as a whole: a form, a preview for whom, then the action."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action as unfold_action

from accounts.admin.base import offers
from accounts.declared import Action
from accounts.permissions import signed_in
from core.errors import Conflict
from core.form_errors import show_errors
from deployments.models import Route

if TYPE_CHECKING:
    from accounts.admin.dialogs import Words


class RoutePage:
    """A button of a route that opens a page. Its POST with `preview` shows the impact, one with `save` saves it.

    Put the name of the attribute into `actions_detail` of the admin. The page answers 422 if the form or the action
    refuses a value, and 409 if somebody changed the route since its `generation`.
    """

    def __init__(
        self,
        action: Action[Route, ..., Route],
        *,
        label: Words,
        url_path: str,
        icon: str,
        title: Words,
        text: Words,
        form: Callable[..., Any],
        preview: Callable[[Route, Any], Any],
        preview_template: str,
    ) -> None:
        """Describe the page.

        Args:
            action: takes the route's id, what the form wants, `based_on` and `by`.
            label: the label of the button.
            url_path: the end of the page's URL.
            icon: the name of a symbol beside the label.
            title: the heading; `%(model)s` is the name of the route's model.
            text: the effect of the action, so that a person can decide.
            form: made with the data of the request, or None, and the `route`; a valid one says what it wants in
                `wanted()`. It has the field `generation`.
            preview: what the action would change, for the route and what the form wants.
            preview_template: shows it, as `preview`.
        """
        self.action, self.form, self.preview = action, form, preview
        self.title, self.text, self.preview_template = title, text, preview_template
        self._frame = {"description": label, "url_path": url_path, "icon": icon}

    def __set_name__(self, owner: type, name: str) -> None:
        """Replace the page by the method that Unfold expects, because it finds actions by the names of methods."""

        def method(admin: ModelAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
            return self.answer(admin, request, object_id)

        def is_permitted(admin: ModelAdmin, request: HttpRequest, object_id: object = None) -> bool:
            return self.action.is_for(request.user)

        method.__name__ = name
        setattr(owner, name, offers(self.action)(unfold_action(**self._frame, permissions=[name])(method)))
        setattr(owner, f"has_{name}_permission", is_permitted)

    def answer(self, admin: ModelAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the form, preview what it wants, or save it and go to the route's page."""
        person = signed_in(request)
        rows = Route.objects.visible_to(person).select_related("model", "degrades_to")
        route = get_object_or_404(rows, pk=object_id)
        self.action.require_permission(person, route)
        form = self.form(request.POST or None, route=route)
        context: dict[str, Any] = {}
        status = 200
        if request.method == "POST":
            status = 422
            if form.is_valid():
                try:
                    if "save" in request.POST:
                        based_on = form.cleaned_data["generation"]
                        self.action(route.pk, form.wanted(), based_on=based_on, by=person)
                        messages.success(request, _("Gateways follow the new settings within seconds."))
                        return redirect("admin:deployments_route_change", route.pk)
                    context["preview"] = self.preview(route, form.wanted())
                    context["is_previewed"], status = True, 200
                except ValidationError as error:
                    show_errors(form, error)
                except Conflict as refused:
                    context["conflict"], status = refused.message, 409
        context |= admin.admin_site.each_context(request) | {
            "opts": admin.opts,
            "title": self.title % {"model": route.model.name},
            "text": self.text,
            "form": form,
            "preview_template": self.preview_template,
            "is_stale": form.is_bound and str(route.generation) != form.data.get("generation"),
            "back": reverse("admin:deployments_route_change", args=[route.pk]),
        }
        return render(request, "admin/deployments/route/setting.html", context, status=status)
