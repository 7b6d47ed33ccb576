"""Form fields that all kinds of file share."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from exports.models import Export


def format_field() -> forms.ChoiceField:
    """The format of a CSV file; plain if it is left out."""
    return forms.TypedChoiceField(
        label=_("Format"),
        choices=Export.Format.choices,
        required=False,
        initial=Export.Format.PLAIN,
        empty_value=Export.Format.PLAIN,
        help_text=_("Excel can open the last two directly. The rows are the same."),
    )
