"""Fields that people edit: a model lists them once, in `EDITABLE`; forms, API, admin and audit entries use the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from django.forms import BaseForm, CheckboxInput, CheckboxSelectMultiple, SelectMultiple


class Editable(Protocol):
    """A model with fields that people edit."""

    EDITABLE: ClassVar[tuple[str, ...]]


def assign(row: Editable, values: Mapping[str, Any]) -> None:
    """Set fields of a row in memory. Raises TypeError, and sets none, if a name is not in its `EDITABLE`."""
    if unknown := values.keys() - set(row.EDITABLE):
        raise TypeError(f"Not in EDITABLE of {type(row).__name__}: {', '.join(sorted(unknown))}.")
    for name, value in values.items():
        setattr(row, name, value)


def sent_values(form: BaseForm) -> dict[str, Any]:
    """The cleaned values of the fields that a valid form received.

    A page that was open before a release does not send the release's new fields. This function leaves them out, so
    the action keeps their values; cleaning would make each of them empty.

    Raises TypeError for a check box or a multiple choice: browsers send nothing if none is chosen, so a page without
    the field looks the same. Use a choice of yes and no.
    """
    for name, field in form.fields.items():
        if isinstance(field.widget, CheckboxInput | SelectMultiple | CheckboxSelectMultiple):
            raise TypeError(f"{name}: a page that does not know this field cannot be told from an empty one.")
    return {
        name: value
        for name, value in form.cleaned_data.items()
        if not form.fields[name].widget.value_omitted_from_data(form.data, form.files, form.add_prefix(name))
    }
