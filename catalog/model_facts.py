"""The facts of a model that people edit, each declared once: forms, API, imports, provenance and pages read the list.

The column of `CatalogModel` has the value that queries read. `CatalogModel.provenance` says of each fact where the
value comes from (see `catalog/provenance.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext, pgettext_lazy

from catalog.fact_fields import (
    LanguageList,
    ModelName,
    NameLine,
    Prose,
    TenantList,
    WebAddress,
    WordList,
    YesNo,
)
from catalog.modes import mode_label
from catalog.rules import RiskTier
from core.dates import DASH, day_and_year
from tenants.models import DataClass

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

LONGEST_DESCRIPTION: Final = 2000
MOST_TOKENS: Final = 10**12
MOST_DAYS: Final = 36500
MOST_TENANTS: Final = 2000
# From the widest to the narrowest.
VISIBILITIES: Final = {
    "all": gettext_lazy("All tenants"),
    "tenants": gettext_lazy("Chosen tenants"),
    "hidden": pgettext_lazy("who sees a model", "Nobody"),
}
MODALITIES: Final = ("text", "image", "audio", "video", "file", "embedding")
_MODE = RegexValidator(r"^[a-z][a-z0-9_]*$", gettext_lazy("Lower-case letters, digits and underscores only."))


@dataclass(frozen=True)
class ModelFact:
    """One fact: its column, how people and programs write it, and which of its changes are dangerous."""

    # The column of `CatalogModel`.
    name: str
    label: StrPromise
    # Reads and validates what a page, the API or a selection sends.
    field: Callable[[], forms.Field]
    # Imports state it.
    is_imported: bool = False
    # Whether a change from the first value to the second takes something away from tenants.
    is_dangerous: Callable[[Any, Any], bool] = lambda then, now: False
    # The value in words for people; not called for an empty one.
    words: Callable[[Any], str] = str
    # A person has to state it; it cannot be empty.
    is_required: bool = False
    # Many models may share the value.
    is_shared: bool = True
    # Operators alone read it.
    is_internal: bool = False

    def clean(self, value: Any) -> Any:
        """The value for the column. Raises ValidationError, by the fact's name."""
        try:
            return self.field().clean(value)
        except ValidationError as error:
            raise ValidationError({self.name: error.messages}) from error

    def shown(self, value: Any) -> str:
        """A value in words; a dash for an empty one."""
        return DASH if value in (None, "", []) else self.words(value)


def as_json(value: Any) -> Any:
    """A value as provenance, forms and the API keep it: dates as text."""
    return value.isoformat() if isinstance(value, date) else value


def _tokens() -> forms.Field:
    return forms.IntegerField(required=False, min_value=1, max_value=MOST_TOKENS)


def _ends_earlier(then: date | None, now: date | None) -> bool:
    return now is not None and (then is None or now < then)


def _keeps_more(then: int | None, now: int | None) -> bool:
    return then is not None and now is not None and now > then


def days_in_words(days: int) -> str:
    """How long something is kept, in words."""
    if not days:
        return _("not kept")
    return ngettext("%(days)d day", "%(days)d days", days) % {"days": days}


def _yes_no(value: bool) -> str:
    return _("Yes") if value else _("No")


def _listed(words: list[str]) -> str:
    return pgettext("between two of a list", ", ").join(words)


def _modalities() -> forms.Field:
    return WordList(most=len(MODALITIES), one_of=MODALITIES)


def _is_another(then: Any, now: Any) -> bool:
    return bool(then != now)


FACTS: Final[Mapping[str, ModelFact]] = {
    fact.name: fact
    for fact in (
        ModelFact(
            name="title",
            label=gettext_lazy("Display name"),
            field=lambda: NameLine(max_length=160),
            is_imported=True,
            is_required=True,
            is_shared=False,
        ),
        ModelFact(
            name="description",
            label=gettext_lazy("Description"),
            field=lambda: Prose(required=False, max_length=LONGEST_DESCRIPTION),
            is_imported=True,
            is_shared=False,
        ),
        ModelFact(
            name="maker",
            label=gettext_lazy("Maker"),
            field=lambda: NameLine(required=False, max_length=80),
            is_imported=True,
        ),
        ModelFact(
            name="mode",
            label=pgettext_lazy("of a model", "Kind"),
            field=lambda: forms.CharField(max_length=40, validators=[_MODE]),
            is_imported=True,
            is_dangerous=_is_another,
            words=mode_label,
            is_required=True,
        ),
        ModelFact(
            name="context_tokens",
            label=gettext_lazy("Context in tokens"),
            field=_tokens,
            is_imported=True,
            words="{:,}".format,
        ),
        ModelFact(
            name="max_output_tokens",
            label=gettext_lazy("Longest output in tokens"),
            field=_tokens,
            is_imported=True,
            words="{:,}".format,
        ),
        ModelFact(
            name="deprecation_date",
            label=gettext_lazy("Deprecation date"),
            field=lambda: forms.DateField(required=False, input_formats=["%Y-%m-%d"]),
            is_imported=True,
            is_dangerous=_ends_earlier,
            words=day_and_year,
        ),
        ModelFact(
            name="risk_tier",
            label=gettext_lazy("Risk tier"),
            field=lambda: forms.ChoiceField(choices=RiskTier.choices),
            is_dangerous=lambda then, now: RiskTier.values.index(now) > RiskTier.values.index(then),
            words=lambda value: str(RiskTier(value).label),
            is_required=True,
        ),
        ModelFact(
            name="highest_data_class",
            label=gettext_lazy("Highest data class"),
            field=lambda: forms.ChoiceField(choices=DataClass.choices),
            is_dangerous=lambda then, now: DataClass(now).rank < DataClass(then).rank,
            words=lambda value: str(DataClass(value).label),
            is_required=True,
        ),
        ModelFact(
            name="visibility",
            label=gettext_lazy("Offered to"),
            field=lambda: forms.ChoiceField(choices=list(VISIBILITIES.items())),
            is_dangerous=lambda then, now: list(VISIBILITIES).index(now) > list(VISIBILITIES).index(then),
            words=lambda value: str(VISIBILITIES[value]),
            is_required=True,
            is_internal=True,
        ),
        ModelFact(
            name="only_for",
            label=gettext_lazy("Chosen tenants"),
            field=lambda: TenantList(most=MOST_TENANTS, longest=60),
            is_dangerous=lambda then, now: bool(set(then) - set(now)),
            words=_listed,
            is_internal=True,
        ),
        ModelFact(
            name="prompts_go_to",
            label=gettext_lazy("Where prompts go"),
            field=lambda: NameLine(required=False, max_length=200),
        ),
        ModelFact(
            name="retention_days",
            label=gettext_lazy("Prompts are kept, in days"),
            field=lambda: forms.IntegerField(required=False, min_value=0, max_value=MOST_DAYS),
            is_dangerous=_keeps_more,
            words=days_in_words,
        ),
        ModelFact(
            name="trains_on_data",
            label=gettext_lazy("Trained on prompts"),
            field=YesNo,
            is_dangerous=lambda then, now: now is True,
            words=_yes_no,
        ),
        ModelFact(
            name="licence",
            label=gettext_lazy("License"),
            field=lambda: NameLine(required=False, max_length=80),
            is_imported=True,
        ),
        ModelFact(
            name="licence_url", label=gettext_lazy("Text of the license"), field=WebAddress, is_imported=True
        ),
        ModelFact(
            name="languages",
            label=gettext_lazy("Languages"),
            field=lambda: LanguageList(most=60),
            is_imported=True,
            words=_listed,
        ),
        ModelFact(
            name="family",
            label=gettext_lazy("Family"),
            field=lambda: NameLine(required=False, max_length=60),
            is_imported=True,
        ),
        ModelFact(
            name="modalities_in",
            label=gettext_lazy("Reads"),
            field=_modalities,
            words=_listed,
            is_imported=True,
        ),
        ModelFact(
            name="modalities_out",
            label=gettext_lazy("Writes"),
            field=_modalities,
            words=_listed,
            is_imported=True,
        ),
        ModelFact(
            name="sla",
            label=gettext_lazy("Service level"),
            field=lambda: NameLine(required=False, max_length=200),
        ),
        ModelFact(
            name="owner",
            label=gettext_lazy("Responsible"),
            field=lambda: NameLine(required=False, max_length=160),
        ),
        ModelFact(
            name="successor",
            label=gettext_lazy("Successor"),
            field=lambda: ModelName(required=False, max_length=120),
        ),
        ModelFact(name="tags", label=gettext_lazy("Tags"), field=lambda: WordList(most=20), words=_listed),
    )
}
IMPORTED: Final = tuple(fact.name for fact in FACTS.values() if fact.is_imported)


PUBLIC: Final = tuple(fact.name for fact in FACTS.values() if not fact.is_internal)


def require_audience(visibility: str, only_for: Sequence[str]) -> None:
    """Raise ValidationError if a model is for chosen tenants, and none is chosen."""
    if visibility == "tenants" and not only_for:
        raise ValidationError({"only_for": [_("Choose at least one tenant.")]})


def clean_facts(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values for the columns. Raises ValidationError, by name, for each that is wrong or is no fact."""
    clean, wrong = {}, {}
    for name, value in values.items():
        if name not in FACTS:
            wrong[name] = [_("There is no such fact of a model.")]
            continue
        try:
            clean[name] = FACTS[name].clean(value)
        except ValidationError as error:
            wrong |= error.message_dict
    if wrong:
        raise ValidationError(wrong)
    return clean
