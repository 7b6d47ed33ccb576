"""Errors of actions on forms: each beside the field that it is about."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.forms import BaseForm


def show_errors(form: BaseForm, error: ValidationError) -> None:
    """Add what an action found wrong to a bound form: beside its field, or above the form if there is no such field.

    Django's `add_error` raises ValueError for an argument of the action that the form has no field for.
    """
    for name, errors in error.update_error_dict({}).items():
        form.add_error(name if name in form.fields else None, errors)
