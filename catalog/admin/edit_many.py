"""The operators' page that edits all models that their list finds: a form, a preview model by model, the result."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action as unfold_action

from accounts.admin.base import offers
from accounts.permissions import signed_in
from catalog.actions import curate_models, publish_models
from catalog.actions.curating import plan_edit
from catalog.curating_many import MOST, Plan
from catalog.model_forms import CONFIRMS, CurateManyForm
from core.errors import Conflict
from core.form_errors import show_errors


class EditManyPage:
    """Mixed into the admin of models. The address of the page has the filters and the search of the list."""

    @offers(curate_models)
    @unfold_action(
        description=_("Edit all found"), url_path="edit-many", icon="edit_note", permissions=["edit_many"]
    )
    def edit_many(self: Any, request: HttpRequest) -> HttpResponse:
        """Edit, and publish, all models that the list finds.

        A POST with `preview` shows what that does, one with `save` does it if it is still the same.
        """
        person = signed_in(request)
        curate_models.require(person, None)
        try:
            found = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{_list()}?e=1")
        selected = found.queryset.defer("search").order_by("name")[: MOST + 1]
        # Before anything is asked, a number is enough.
        models = list(selected) if request.method == "POST" else []
        total = len(models) if models else selected.count()
        form = CurateManyForm(request.POST or None, may_publish=publish_models.is_for(person))
        plan: Plan | None = None
        status, is_done = 200, False
        if total > MOST:
            words = gettext("These are too many models at once. Narrow the list to at most %(most)d.")
            form.full_clean()
            form.add_error(None, words % {"most": MOST})
            status = 422
        elif form.is_bound and not form.is_valid():
            status = 422
        elif form.is_bound:
            asked = form.answers()
            try:
                if "save" in request.POST:
                    plan = curate_models(
                        [model.pk for model in models],
                        by=person,
                        may_touch_tenants=bool(form.cleaned_data.get(CONFIRMS)),
                        # Without a preview nothing is saved.
                        expected=form.cleaned_data["expected"] or "none",
                        **form.timing(),
                        **asked,
                    )
                    is_done = True
            except ValidationError as error:
                show_errors(form, error)
                status = 422
            except Conflict as conflict:
                form.add_error(None, conflict.message)
                status = 409
            if not is_done and status != 422:
                plan = plan_edit(models, **asked)
                form.expect(plan.digest)
                if plan.impact and CONFIRMS not in form.fields:
                    form.ask()
        context = self.frame_of_page(request, None) | {
            "title": gettext("Edit all found"),
            "form": form,
            "narrowed": found.narrowed_by,
            "total": total,
            "plan": plan,
            "is_done": is_done,
            "planned_for": form.cleaned_data.get("takes_effect_at") if is_done else None,
            "is_savable": plan is not None and plan.is_change,
            "back": f"{_list()}{found.get_query_string()}",
        }
        return render(request, "admin/catalog/catalogmodel/edit_many.html", context, status=status)

    def has_edit_many_permission(self, request: HttpRequest) -> bool:
        return curate_models.is_for(request.user)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list. Its button to edit all found leads to a page with the same search and filters."""
        answer: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        page = reverse("admin:catalog_catalogmodel_edit_many")
        context: Any = getattr(answer, "context_data", None) or {}
        for button in context.get("actions_list", []):
            if button.get("path") == page:
                button["path"] = f"{page}?{request.GET.urlencode()}"
        return answer


def _list() -> str:
    return reverse("admin:catalog_catalogmodel_changelist")
