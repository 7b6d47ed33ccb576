"""Unfold writes the look of fields and table cells as lists of Tailwind's classes; here they become the portal's."""

from __future__ import annotations

import json
from typing import Any

from django.utils.html import format_html
from unfold import fields, widgets
from unfold.templatetags import unfold_list

_FIELD = ["form-control"]
_LISTS = {
    "INPUT_CLASSES": _FIELD,
    "BASE_INPUT_CLASSES": _FIELD,
    "INPUT_CLASSES_READONLY": _FIELD,
    "DATETIME_CLASSES": _FIELD,
    "TEXTAREA_CLASSES": _FIELD,
    "SELECT_CLASSES": ["form-select"],
    "CHECKBOX_CLASSES": ["form-check-input"],
    "RADIO_CLASSES": ["form-check-input"],
    "SWITCH_CLASSES": ["form-check-input"],
    "LABEL_CLASSES": ["form-label"],
    "CHECKBOX_LABEL_CLASSES": ["form-label"],
    "BUTTON_CLASSES": ["btn", "btn-primary"],
}


def use_portal_classes() -> None:
    """Change Unfold's lists in place, before its widgets are made. A list that is gone raises AttributeError.

    Cells of lists get no classes: a table of ours styles them by their place.
    """
    for name, classes in _LISTS.items():
        getattr(widgets, name)[:] = classes
    for name in ("ROW_CLASSES", "LINK_CLASSES"):
        getattr(unfold_list, name).clear()
    unfold_list.CHECKBOX_CLASSES[:] = ["action-checkbox"]
    fields.prettify_json = _plain_json


def _plain_json(data: Any, encoder: Any) -> str:
    """JSON in one color: Unfold writes colors as style attributes, which the content security policy blocks."""
    return format_html(
        '<pre class="qm-code">{}</pre>', json.dumps(data, sort_keys=True, indent=2, cls=encoder)
    )
