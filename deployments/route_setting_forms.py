"""The forms in which operators change one thing of a route as a whole: handling of calls, fallbacks, smaller model.

Each has the generation of the route that the person looked at, and says in `wanted()` what a valid form asks for.
"""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin.base import style
from core.editing import sent_values
from core.form_errors import ShowsErrorsOfHiddenFields
from deployments.degrading import Degrading, degrading_of
from deployments.fallbacks import names_of
from deployments.generation_field import GenerationField
from deployments.models import Route
from deployments.models.routes import MOST_FIRST_TOKEN_MS

_STICKY = Route._meta.get_field("is_sticky")


class HandlingForm(ShowsErrorsOfHiddenFields, forms.ModelForm):  # type: ignore[type-arg]
    """All settings of how the calls of a route are handled."""

    generation = GenerationField()
    # Not a check box: a page that is older than a field sends neither.
    is_sticky = forms.TypedChoiceField(
        label=capfirst(_STICKY.verbose_name),
        help_text=_STICKY.help_text,
        choices=[("False", _("No")), ("True", _("Yes"))],
        coerce=lambda chosen: chosen == "True",
    )

    class Meta:
        model = Route
        fields = list(Route.HANDLING)

    def __init__(self, data: Any = None, *, route: Route) -> None:
        super().__init__(data, instance=route)
        self.fields["generation"].initial = route.generation
        style(self, *Route.HANDLING)

    def wanted(self) -> dict[str, Any]:
        """The settings, by name."""
        return {name: value for name, value in sent_values(self).items() if name != "generation"}


class FallbacksForm(ShowsErrorsOfHiddenFields, forms.Form):
    """Public names of models, one per line, in order of preference."""

    generation = GenerationField()
    models = forms.CharField(
        label=_("Fallback models in order of preference, one per line"),
        required=False,
        widget=UnfoldAdminTextareaWidget,
    )

    def __init__(self, data: Any = None, *, route: Route) -> None:
        super().__init__(data)
        self.initial = {"generation": route.generation, "models": "\n".join(names_of(route))}

    def wanted(self) -> list[str]:
        """The names, in order."""
        return [name for name in re.split(r"\s*\n\s*", self.cleaned_data["models"]) if name]


class DegradingForm(ShowsErrorsOfHiddenFields, forms.Form):
    """The smaller model, and the goals that make it answer."""

    generation = GenerationField()
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

    def __init__(self, data: Any = None, *, route: Route) -> None:
        super().__init__(data)
        self.initial = {"generation": route.generation, **vars(degrading_of(route))}
        style(self, "model", "money_percent", "first_token_ms")

    def wanted(self) -> Degrading:
        """The model and the goals."""
        answers = self.cleaned_data
        return Degrading(answers["model"], answers["money_percent"], answers["first_token_ms"])
