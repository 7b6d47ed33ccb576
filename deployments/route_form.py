"""The form in which operators set all entries of a route at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext_lazy as _

from accounts.admin.base import style
from deployments.models import Route, Target
from deployments.models.routes import MOST_PRIORITY, MOST_WEIGHT
from deployments.routes import MOST_ENTRIES, EntryPlan


@dataclass(frozen=True)
class EntryRow:
    """A line of the form: a target, and the two fields about it."""

    target: Target
    weight: BoundField
    priority: BoundField

    @property
    def numbers(self) -> tuple[BoundField, BoundField]:
        """Its fields, in the order of the columns."""
        return self.weight, self.priority


class RouteForm(forms.Form):
    """Weight and order of every target that can serve the model. A target without a weight is not in the route."""

    generation = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    may_end_service = forms.BooleanField(
        required=False, label=_("Nothing shall serve this model any more; calls get 404")
    )

    def __init__(self, *args: Any, route: Route, targets: Sequence[Target], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.route, self.targets = route, targets
        self.fields["generation"].initial = route.generation
        current = {entry.target_id: entry for entry in route.entries.all()}
        for target in targets:
            entry = current.get(target.pk)
            self.fields[f"weight_{target.pk}"] = forms.IntegerField(
                label=_("Weight of %(target)s") % {"target": target.name},
                min_value=0,
                max_value=MOST_WEIGHT,
                required=False,
                initial=entry.weight if entry else None,
            )
            self.fields[f"priority_{target.pk}"] = forms.IntegerField(
                label=_("Order of %(target)s") % {"target": target.name},
                min_value=0,
                max_value=MOST_PRIORITY,
                required=False,
                initial=entry.priority if entry else 0,
            )
        style(self, *(name for name in self.fields if name.startswith(("weight_", "priority_"))))

    @property
    def rows(self) -> list[EntryRow]:
        """The lines of the form."""
        return [
            EntryRow(target, self[f"weight_{target.pk}"], self[f"priority_{target.pk}"])
            for target in self.targets
        ]

    def plan(self) -> list[EntryPlan]:
        """The entries that a valid form asks for."""
        answers = self.cleaned_data
        return [
            EntryPlan(target.pk, weight, answers.get(f"priority_{target.pk}") or 0)
            for target in self.targets
            if (weight := answers.get(f"weight_{target.pk}")) is not None
        ]


def candidates(route: Route) -> list[Target]:
    """The living targets that can serve the route's model: those in the route first, then the newest."""
    in_route = {entry.target_id for entry in route.entries.all()}
    found = Target.objects.living().with_source().prefetch_related("addresses").for_model(route.model_id)
    newest = list(found.order_by("-pk")[: 2 * MOST_ENTRIES])
    return sorted(newest, key=lambda target: target.pk not in in_route)
