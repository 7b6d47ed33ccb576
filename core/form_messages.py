"""What forms say about wrong input, in our words instead of Django's: one place for the portal and the staff site.

A field that knows better says so itself, with `error_messages`.
"""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core import validators
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

_NOT_OFFERED: Final = _("This is not among the choices. Choose one of them.")
_NO_LIST: Final = _("Enter a list of values.")

# A class of fields passes its messages on to those that follow from it.
_OF_FIELDS: Final[dict[type[forms.Field], dict[str, Any]]] = {
    forms.Field: {"required": _("Fill in this field.")},
    forms.BooleanField: {"required": _("Check this box to go on.")},
    forms.ChoiceField: {"required": _("Choose one."), "invalid_choice": _NOT_OFFERED},
    forms.ModelChoiceField: {"required": _("Choose one."), "invalid_choice": _NOT_OFFERED},
    forms.MultipleChoiceField: {
        "required": _("Choose at least one."),
        "invalid_choice": _NOT_OFFERED,
        "invalid_list": _NO_LIST,
    },
    forms.ModelMultipleChoiceField: {
        "required": _("Choose at least one."),
        "invalid_choice": _NOT_OFFERED,
        "invalid_list": _NO_LIST,
        "invalid_pk_value": _("“%(pk)s” is not among the choices."),
    },
    forms.DateField: {"invalid": _("Enter a date, such as 2026-11-30.")},
    forms.TimeField: {"invalid": _("Enter a time, such as 14:30.")},
    forms.DateTimeField: {"invalid": _("Enter a date and a time, such as 2026-11-30 14:30.")},
    forms.SplitDateTimeField: {
        "invalid_date": _("Enter a date, such as 2026-11-30."),
        "invalid_time": _("Enter a time, such as 14:30."),
    },
    forms.DurationField: {"invalid": _("Enter a duration, such as 1 12:00:00 for a day and a half.")},
    forms.URLField: {"invalid": _("Enter an address, such as https://example.com/.")},
    forms.UUIDField: {"invalid": _("This is not an ID.")},
    forms.JSONField: {"invalid": _("This is not valid JSON.")},
    forms.FileField: {
        "invalid": _("The file did not arrive. Choose it again."),
        "missing": _("Choose a file."),
        "empty": _("The file is empty."),
        "contradiction": _("Either choose a file or check the box that removes the present one, not both."),
    },
}
_OF_MODELS: Final[dict[str, Any]] = {
    "invalid_choice": _NOT_OFFERED,
    "null": _("Fill in this field."),
    "blank": _("Fill in this field."),
    "unique": _("Another one already has this value. Choose a different one."),
}
_OF_VALIDATORS: Final[list[tuple[Any, Any]]] = [
    (validators.RegexValidator, _("This does not have the required form.")),
    (validators.URLValidator, _("Enter an address, such as https://example.com/.")),
    (validators.EmailValidator, _("Enter a valid e-mail address, such as ana@example.com.")),
    (validators.validate_slug, _("Use only letters from a to z, digits, hyphens and underscores.")),
    (validators.MaxValueValidator, _("Enter %(limit_value)s or less.")),
    (validators.MinValueValidator, _("Enter %(limit_value)s or more.")),
    (validators.StepValueValidator, _("Enter a multiple of %(limit_value)s.")),
    (
        validators.MaxLengthValidator,
        ngettext_lazy(
            "Use at most %(limit_value)d character; these are %(show_value)d.",
            "Use at most %(limit_value)d characters; these are %(show_value)d.",
            "limit_value",
        ),
    ),
    (
        validators.MinLengthValidator,
        ngettext_lazy(
            "Use at least %(limit_value)d character; these are %(show_value)d.",
            "Use at least %(limit_value)d characters; these are %(show_value)d.",
            "limit_value",
        ),
    ),
]
_OF_DECIMALS: Final[dict[str, Any]] = {
    "max_digits": ngettext_lazy("Use at most %(max)s digit.", "Use at most %(max)s digits.", "max"),
    "max_decimal_places": ngettext_lazy(
        "Use at most %(max)s digit after the point.", "Use at most %(max)s digits after the point.", "max"
    ),
    "max_whole_digits": ngettext_lazy(
        "Use at most %(max)s digit before the point.", "Use at most %(max)s digits before the point.", "max"
    ),
}

# Django's rules for passwords, named here so that our catalogs say them: its own Chinese calls people less politely.
_OF_PASSWORDS: Final = (
    _("Your password can’t be too similar to your other personal information."),
    _("Your password can’t be a commonly used password."),
    _("Your password can’t be entirely numeric."),
    ngettext_lazy(
        "Your password must contain at least %(min_length)d character.",
        "Your password must contain at least %(min_length)d characters.",
        "min_length",
    ),
)


def use_our_form_messages() -> None:
    """Replace Django's messages with ours. Call it before the first form or model is defined; safe to repeat."""
    for field, messages in _OF_FIELDS.items():
        field.default_error_messages = field.default_error_messages | messages
    models.Field.default_error_messages = models.Field.default_error_messages | _OF_MODELS
    for validator, message in _OF_VALIDATORS:
        validator.message = message
    validators.DecimalValidator.messages = validators.DecimalValidator.messages | _OF_DECIMALS
