"""The form in which operators set all entries of a route at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q
from django.forms import BoundField
from django.utils.translation import gettext_lazy as _

from accounts.admin.base import style
from core.form_errors import ShowsErrorsOfHiddenFields
from deployments.generation_field import GenerationField
from deployments.models import Route, Target
from deployments.models.routes import MOST_PRIORITY, MOST_WEIGHT
from deployments.routes import MOST_ENTRIES, STABLE, EntryPlan


@dataclass(frozen=True)
class EntryRow:
    """A line of the form: a target, and the two fields about it."""

    target: Target
    weight: BoundField
    priority: BoundField
    variant: BoundField

    @property
    def fields(self) -> tuple[BoundField, ...]:
        """Its fields, in the order of the columns."""
        return self.weight, self.priority, self.variant


# Targets that are not in the route.
MOST_OFFERED = 50


class RouteForm(ShowsErrorsOfHiddenFields, forms.Form):
    """Weight and order of every target that can serve the model. A target without a weight is not in the route."""

    generation = GenerationField()
    find = forms.CharField(required=False, max_length=200, label=_("Find targets by name or provider"))
    may_end_service = forms.BooleanField(
        required=False, label=_("Nothing shall serve this model any more; calls get 404")
    )

    def __init__(self, *args: Any, route: Route, offered: Candidates, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.route, self.targets, self.is_long = route, offered.targets, offered.is_long
        self.fields["generation"].initial = route.generation
        current = {entry.target_id: entry for entry in route.entries.all()}
        for target in self.targets:
            entry = current.get(target.pk)
            self.fields[f"weight_{target.pk}"] = forms.IntegerField(
                label=_("Weight of %(target)s") % {"target": target.name},
                min_value=0,
                max_value=MOST_WEIGHT,
                required=False,
                initial=entry.weight if entry else None,
                widget=_number(_("Weight of %(target)s") % {"target": target.name}),
            )
            self.fields[f"priority_{target.pk}"] = forms.IntegerField(
                label=_("Order of %(target)s") % {"target": target.name},
                min_value=0,
                max_value=MOST_PRIORITY,
                required=False,
                initial=entry.priority if entry else 0,
                widget=_number(_("Order of %(target)s") % {"target": target.name}),
            )
            label = _("Variant of %(target)s") % {"target": target.name}
            self.fields[f"variant_{target.pk}"] = forms.CharField(
                label=label,
                max_length=40,
                required=False,
                initial=entry.variant if entry else STABLE,
                widget=forms.TextInput(attrs={"aria-label": label}),
            )
        own = ("weight_", "priority_", "variant_")
        style(self, "find", *(name for name in self.fields if name.startswith(own)))

    @property
    def rows(self) -> list[EntryRow]:
        """The lines of the form."""
        return [
            EntryRow(
                target,
                self[f"weight_{target.pk}"],
                self[f"priority_{target.pk}"],
                self[f"variant_{target.pk}"],
            )
            for target in self.targets
        ]

    def plan(self) -> list[EntryPlan]:
        """The entries that a valid form asks for."""
        answers = self.cleaned_data
        return [
            EntryPlan(
                target.pk,
                weight,
                answers.get(f"priority_{target.pk}") or 0,
                answers.get(f"variant_{target.pk}") or STABLE,
            )
            for target in self.targets
            if (weight := answers.get(f"weight_{target.pk}")) is not None
        ]


def _number(label: str) -> forms.NumberInput:
    """A field of a table, whose column has the visible label."""
    return forms.NumberInput(attrs={"aria-label": label})


@dataclass(frozen=True)
class Candidates:
    """Targets that a form offers, and how many there are in all."""

    targets: list[Target]
    total: int

    @property
    def is_long(self) -> bool:
        """Whether people need a search, because not all are offered."""
        return self.total > len(self.targets) or self.total > MOST_OFFERED


def candidates(route: Route, sent: Mapping[str, Any] | None = None) -> Candidates:
    """The living targets that can serve the route's model: in the route, with an entered weight, and others.

    Of the others only the newest that the words in `find` match, by name or provider. What is in the route is always
    there: a form without it would take it out.
    """
    sent = sent or {}
    keep = {entry.target_id for entry in route.entries.all()}
    keep |= {found for name, value in sent.items() if value and (found := _target_of(name)) is not None}
    living = Target.objects.living().with_source().prefetch_related("addresses").for_model(route.model_id)
    others = living.exclude(pk__in=keep)
    for word in str(sent.get("find", "")).replace("\0", "").split()[:10]:
        others = others.filter(
            Q(deployment__name__icontains=word)
            | Q(provider_model__name__icontains=word)
            | Q(provider_model__provider__name__icontains=word)
            | Q(provider_model__provider__title__icontains=word)
        )
    kept = list(living.filter(pk__in=keep).order_by("-pk")[: 2 * MOST_ENTRIES])
    return Candidates([*kept, *others.order_by("-pk")[:MOST_OFFERED]], living.count())


def _target_of(name: str) -> UUID | None:
    """The id of the target whose weight a field holds."""
    try:
        return UUID(name.removeprefix("weight_")) if name.startswith("weight_") else None
    except ValueError:
        return None
