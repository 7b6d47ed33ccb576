"""The filters of the catalog: one declaration each, which the page, the counts and the API read.

A new facet is one more row of the table at the end. Its column is computed once for each model; `shape` says how the
column holds the values that a model has:

- ONE: text, the model's only value. Of several chosen values any will do.
- SOME: an array of text. Any will do.
- ALL: an array of text. A model must have all chosen values.
- STEPS: the number of options, in their order, that the model satisfies: who has 200,000 tokens of context has 100,000.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from django.db.models import Case, Expression, F, IntegerField, Q, TextField, Value, When
from django.db.models.lookups import LessThanOrEqual
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog import capabilities
from catalog.mix import PRICE
from catalog.models import CatalogModel
from catalog.modes import mode_label
from catalog.querysets import VISIBLE_LIFECYCLES
from catalog.reader import Reader
from core.templatetags.qm import context_size, price
from tenants.models import DataClass

NOTHING: Final = Q(pk__in=[])


class Shape(Enum):
    """How a facet's column holds a model's values."""

    ONE, SOME, ALL, STEPS = range(4)


@dataclass(frozen=True)
class Facet:
    """One filter. `options` are its values in their order; None: those that models have, most frequent first."""

    key: str
    label: str | Promise
    shape: Shape
    options: Sequence[str] | None
    # What a person reads for a value.
    words: Callable[[str], str]
    # The condition that a model has the value, for a reader. A value that cannot be one matches nothing.
    condition: Callable[[Reader, str], Q]
    # The column, from the conditions of the given values if it is of STEPS.
    column: Callable[[Reader, Sequence[str]], Expression | F]
    is_single: bool = False
    is_shown: Callable[[Reader], bool] = lambda _reader: True


def _by_case(facet_condition: Callable[[Reader, str], Q], values: Sequence[str]) -> Callable[..., Expression]:
    """The column of a facet whose value is the first with a true condition."""

    def column(reader: Reader, _values: Sequence[str]) -> Expression:
        cases = [When(facet_condition(reader, value), then=Value(value)) for value in values]
        return Case(*cases, default=Value(""), output_field=TextField())

    return column


def _steps(condition: Callable[[Reader, str], Q]) -> Callable[..., Expression]:
    def column(reader: Reader, values: Sequence[str]) -> Expression:
        cases = [
            When(condition(reader, value), then=number)
            for number, value in reversed(list(enumerate(values, 1)))
        ]
        return Case(*cases, default=0, output_field=IntegerField())

    return column


def _equal(column: str) -> dict[str, Any]:
    return {
        "condition": lambda _reader, value: Q(**{column: value}),
        "column": lambda _reader, _values: F(column),
    }


def _contained(column: str) -> dict[str, Any]:
    return {
        "condition": lambda _reader, value: Q(**{f"{column}__contains": [value]}),
        "column": lambda _reader, _values: F(column),
    }


def _access(reader: Reader, value: str) -> Q:
    free = ~reader.granted & ~reader.waiting
    return {
        "granted": reader.granted,
        "in_review": reader.waiting & ~reader.granted,
        "requestable": free & reader.requestable,
        "unavailable": free & ~reader.requestable,
    }.get(value, NOTHING)


def _served(reader: Reader, value: str) -> Q:
    return {"yes": reader.served, "no": ~reader.served}.get(value, NOTHING)


def _data_class(_reader: Reader, value: str) -> Q:
    if value not in DataClass.values:
        return NOTHING
    return Q(highest_data_class__in=[one for one in DataClass if one.rank >= DataClass(value).rank])


def _context(_reader: Reader, value: str) -> Q:
    return (
        Q(context_tokens__gte=int(value))
        if value.isascii() and value.isdigit() and len(value) < 16
        else NOTHING
    )


def _price(reader: Reader, value: str) -> Q:
    most = amount_of(value)
    return NOTHING if most is None else Q(LessThanOrEqual(reader.mix.price(), Value(most, PRICE)))


def amount_of(said: str) -> Decimal | None:
    """A price in a URL, in US dollars per million tokens; None if it is none."""
    try:
        amount = Decimal(said)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10**9 else None


def _context_words(value: str) -> str:
    is_number = value.isascii() and value.isdigit()
    return _("%(tokens)s or more") % {"tokens": context_size(int(value)) if is_number else value}


def _price_words(value: str) -> str:
    amount = amount_of(value)
    return _("%(price)s or less") % {"price": value if amount is None else price(amount)}


def _named(names: dict[str, Any]) -> Callable[[str], str]:
    return lambda value: str(names.get(value, value))


_ACCESS: Final = {
    "granted": gettext_lazy("You can use"),
    "in_review": gettext_lazy("In review"),
    "requestable": gettext_lazy("You can request"),
    "unavailable": gettext_lazy("Not available"),
}
_SERVED: Final = {"yes": gettext_lazy("Answers calls now"), "no": gettext_lazy("Nothing serves it yet")}
_HOSTING: Final = {"ours": gettext_lazy("Our clusters"), "vendor": gettext_lazy("Vendor-hosted")}
_CLASSES: Final = [value for value in DataClass.values if value != DataClass.PUBLIC]
_LIFECYCLES: Final = dict(CatalogModel.Lifecycle.choices)

FACETS: Final[dict[str, Facet]] = {
    one.key: one
    for one in (
        Facet(
            "access", gettext_lazy("Access"), Shape.ONE, list(_ACCESS), _named(_ACCESS),
            _access, _by_case(_access, list(_ACCESS)), is_shown=lambda reader: reader.sees_access,
        ),
        Facet(
            "served", gettext_lazy("Served"), Shape.ONE, list(_SERVED), _named(_SERVED),
            _served, _by_case(_served, list(_SERVED)),
        ),
        Facet("mode", gettext_lazy("Kind"), Shape.ONE, None, mode_label, **_equal("mode")),
        Facet(
            "data_class", gettext_lazy("Data class"), Shape.STEPS, _CLASSES,
            _named(dict(DataClass.choices)), _data_class, _steps(_data_class),
        ),
        Facet(
            "context", gettext_lazy("Context"), Shape.STEPS, ("32000", "100000", "200000", "1000000"),
            _context_words, _context, _steps(_context), is_single=True,
        ),
        Facet(
            "price", gettext_lazy("Price of your mix"), Shape.STEPS, ("10", "3", "1", "0.3"),
            _price_words, _price, _steps(_price), is_single=True,
        ),
        Facet(
            "capability", gettext_lazy("Capability"), Shape.ALL, list(capabilities.WORDS),
            lambda value: str(capabilities.WORDS[value][0]) if value in capabilities.WORDS else value,
            **_contained("able"),
        ),
        Facet("region", gettext_lazy("Region"), Shape.SOME, None, str, **_contained("places")),
        Facet(
            "hosting", gettext_lazy("Hosting"), Shape.ONE, list(_HOSTING), _named(_HOSTING),
            **_equal("hosting"),
        ),
        Facet(
            "lifecycle", gettext_lazy("Lifecycle"), Shape.ONE, VISIBLE_LIFECYCLES, _named(_LIFECYCLES),
            **_equal("lifecycle"),
        ),
        Facet(
            "provider", gettext_lazy("Provider"), Shape.SOME, None, lambda value: value.replace("_", " "),
            **_contained("providers"),
        ),
    )
}  # fmt: skip
