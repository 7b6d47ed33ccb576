"""What the forms of all kinds of file share."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from exports.models import Export


def format_field() -> forms.ChoiceField:
    """For whom a CSV file is written; what is left out means plain."""
    return forms.TypedChoiceField(
        label=_("Format"),
        choices=Export.Format.choices,
        required=False,
        initial=Export.Format.PLAIN,
        empty_value=Export.Format.PLAIN,
        help_text=_("Excel can open the last two directly. The rows are the same."),
    )
