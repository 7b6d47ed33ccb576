"""The form fields that read facts of models, from a page or from JSON."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from django import forms
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.names import read_name, read_prose

_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


class NameLine(forms.CharField):
    """One line of visible characters, as names are read."""

    def to_python(self, value: Any) -> str:
        return read_name(str(super().to_python(value) or ""))


class Prose(forms.CharField):
    """A text of several lines."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> str:
        return read_prose(str(super().to_python(value) or ""))


class WordList(forms.CharField):
    """Several words: separated by commas on a page, a list in JSON. Without repetitions, in the order given."""

    def __init__(self, *, most: int, longest: int = 40, one_of: Collection[str] = (), **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.most, self.longest, self.one_of = most, longest, one_of

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        parts = value if isinstance(value, list) else re.split("[,，、]", str(value or ""))
        words = [word for part in parts if (word := read_name(str(part)))]
        return list(dict.fromkeys(words))

    def validate(self, value: Any) -> None:
        if len(value) > self.most:
            raise ValidationError(_("Name at most %(most)d.") % {"most": self.most})
        for word in value:
            self.validate_word(word)

    def run_validators(self, value: Any) -> None:
        """Those of a single text do not fit a list; `validate` looks at each word."""

    def validate_word(self, word: str) -> None:
        """Raise ValidationError if the word is too long, or none of those that there are."""
        if len(word) > self.longest:
            raise ValidationError(_("“%(word)s” is too long.") % {"word": word[:60]})
        if self.one_of and word not in self.one_of:
            raise ValidationError(
                _("“%(word)s” is none of: %(words)s.") % {"word": word, "words": ", ".join(self.one_of)}
            )


class LanguageList(WordList):
    """Languages by their tags (BCP 47), such as en, de, zh-Hans."""

    def validate_word(self, word: str) -> None:
        """Raise ValidationError for what cannot be a tag."""
        if not _LANGUAGE.fullmatch(word):
            raise ValidationError(
                _("“%(word)s” is no language tag, such as en or zh-Hans.") % {"word": word[:60]}
            )


class TenantList(WordList):
    """Tenants by their slugs."""

    def validate(self, value: Any) -> None:
        super().validate(value)
        tenants = apps.get_model("tenants", "Tenant").objects.filter(slug__in=value)
        if unknown := set(value) - set(tenants.values_list("slug", flat=True)):
            raise ValidationError(_("There is no tenant “%(slug)s”.") % {"slug": min(unknown)})


class YesNo(forms.TypedChoiceField):
    """Yes, no, or not known."""

    def __init__(self) -> None:
        super().__init__(
            choices=[
                ("", gettext_lazy("Not known")),
                ("True", gettext_lazy("Yes")),
                ("False", gettext_lazy("No")),
            ],
            coerce=lambda said: said == "True",
            empty_value=None,
            required=False,
        )


class WebAddress(forms.URLField):
    """The address of a page, which browsers open."""

    default_validators = [URLValidator(schemes=["https", "http"])]

    def __init__(self) -> None:
        super().__init__(required=False, max_length=500, assume_scheme="https")


class ModelName(forms.CharField):
    """The public name of a model of the catalog."""

    def clean(self, value: Any) -> Any:
        name = super().clean(value)
        if name and not apps.get_model("catalog", "CatalogModel").objects.filter(name=name).exists():
            raise ValidationError(_("The catalog has no model with this name."))
        return name
