"""The form in which operators say how the calls of a route are handled."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from accounts.admin.base import style
from core.editing import sent_values
from deployments.models import Route


class HandlingForm(forms.ModelForm):  # type: ignore[type-arg]
    """All settings, and the generation of the route that the person looked at."""

    generation = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    # Not a check box: a page that is older than a field sends neither.
    is_sticky = forms.TypedChoiceField(
        choices=[("False", _("No")), ("True", _("Yes"))], coerce=lambda chosen: chosen == "True"
    )

    class Meta:
        model = Route
        fields = list(Route.HANDLING)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["generation"].initial = self.instance.generation
        column = Route._meta.get_field("is_sticky")
        self.fields["is_sticky"].label, self.fields["is_sticky"].help_text = (
            capfirst(column.verbose_name),
            column.help_text,
        )
        style(self, *Route.HANDLING)

    def values(self) -> dict[str, Any]:
        """The settings that a valid form asks for."""
        return {name: value for name, value in sent_values(self).items() if name != "generation"}
