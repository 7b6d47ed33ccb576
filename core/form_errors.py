"""Errors on forms: each beside the field that it is about, or above the form if people see no such field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.forms import BaseForm

if TYPE_CHECKING:
    _Form = BaseForm
else:
    _Form = object


class ShowsErrorsOfHiddenFields(_Form):
    """Mixed into a form with hidden fields: errors of these stand above the form, where people see them."""

    def full_clean(self) -> None:
        super().full_clean()
        for field in self.hidden_fields():
            if wrong := self.errors.pop(field.name, None):
                self.add_error(None, wrong.as_data())


def show_errors(form: BaseForm, error: ValidationError) -> None:
    """Add what an action found wrong to a bound form: beside its field, or above the form if there is no such field.

    Django's `add_error` raises ValueError for an argument of the action that the form has no field for.
    """
    for name, errors in error.update_error_dict({}).items():
        form.add_error(name if name in form.fields else None, errors)
