"""The generation of the route that a form shows, so that nobody overwrites what they have not seen."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

UNKNOWN_STATE = _(
    "The form does not say which state of the route it was made for, so nothing was changed. Reload it, and enter "
    "your changes again."
)


class GenerationField(forms.IntegerField):
    """A hidden number of 0 and more. Any fault of it gets one sentence that says what to do."""

    def __init__(self) -> None:
        super().__init__(min_value=0, widget=forms.HiddenInput)

    def clean(self, value: Any) -> Any:
        try:
            return super().clean(value)
        except forms.ValidationError as error:
            raise forms.ValidationError(UNKNOWN_STATE) from error
