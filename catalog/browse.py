"""Finding models: words, facets whose counts follow the selection, sorting, and pages by keyset.

The URL holds the whole selection (catalog/selection.py). A request takes a constant number of database queries, however
many models there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Case, IntegerField, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from catalog.counts import Counts, chosen_condition, count, steps_of
from catalog.facets import FACETS, Facet, Shape
from catalog.mix import PRICE
from catalog.models import CatalogModel
from catalog.querysets import CatalogModelQuerySet
from catalog.reader import Reader
from catalog.selection import Selection
from catalog.typos import corrected

PAGE_SIZE = 24
MOST_OPTIONS = 12

ORDERS: dict[str, tuple[str, ...]] = {
    "recommended": ("-fit", "-standing", "-offer_count", "name"),
    "price": ("price_rank", "name"),
    "context": ("-context_rank", "name"),
    "newest": ("-created_at", "name"),
    "name": ("name",),
}
# Columns that no list shows.
_UNREAD = ("search", "search_text", "provenance", "able", "places")


@dataclass(frozen=True)
class Relaxed:
    """A filter without which there are models."""

    label: str
    values: str
    count: int
    url: str


class Browser:
    """The catalog that a reader sees for a selection."""

    def __init__(self, reader: Reader, selection: Selection) -> None:
        self.reader, self.selection = reader, selection
        self._found: CatalogModelQuerySet[CatalogModel] = self._all().search(selection.query)

    def _all(self) -> CatalogModelQuerySet[CatalogModel]:
        return CatalogModel.objects.offered_to(self.reader.tenants)

    def corrected(self) -> Browser | None:
        """The same with one typo in the words corrected; None unless the words find nothing and the corrected do."""
        query = self.selection.query
        if not query or self.selection.typed or self._found.exists():
            return None
        words = corrected(query, self._all())
        return None if words is None else Browser(self.reader, self.selection.but(query=words))

    @property
    def order(self) -> tuple[str, ...]:
        return ORDERS[self.selection.sort]

    def models(self) -> CatalogModelQuerySet[CatalogModel]:
        """The models that match the whole selection, with the fields that `order` sorts by."""
        return (
            self._narrowed()
            .annotate(
                fit=self._fit(),
                standing=self._standing(),
                price_rank=Coalesce(self.reader.mix.price(), Value(Decimal(10) ** 9, PRICE)),
                context_rank=Coalesce("context_tokens", Value(0)),
            )
            .defer(*_UNREAD)
        )

    def _fit(self) -> Case | Value:
        """How well the name matches the words: the whole name, its beginning, or neither."""
        name = "-".join(self.selection.query.lower().split())
        if not name:
            return Value(0)
        return Case(
            When(name=name, then=2),
            When(name__startswith=name, then=1),
            default=0,
            output_field=IntegerField(),
        )

    def _standing(self) -> Case:
        """The default order: granted models first, then models on our own clusters, then priced chat models."""
        return Case(
            When(self.reader.granted, then=3),
            When(hosting=CatalogModel.Hosting.OURS, then=2),
            When(mode="chat", list_input_price__isnull=False, then=1),
            default=0,
            output_field=IntegerField(),
        )

    def _narrowed(self) -> CatalogModelQuerySet[CatalogModel]:
        models = self._found
        for key, values in self.selection.chosen.items():
            if values:
                models = models.filter(chosen_condition(FACETS[key], self.reader, values))
        return models

    @cached_property
    def counts(self) -> Counts:
        """The number of models, and those beside the options. One query, asked once."""
        return count(self._found, self.reader, self.selection.chosen)

    def facets(self) -> list[dict[str, Any]]:
        """Every facet with its options. Each option's count depends on the selection in the other facets."""
        return [self._facet(facet) for facet in FACETS.values() if facet.is_shown(self.reader)]

    def _facet(self, facet: Facet) -> dict[str, Any]:
        chosen, counts = self.selection.chosen.get(facet.key, ()), self.counts.options[facet.key]
        return {
            "key": facet.key,
            "label": facet.label,
            "is_single": facet.is_single,
            "any_url": self.selection.without(facet.key).url(),
            "has_choice": bool(chosen),
            "options": [
                {
                    "value": value,
                    "label": facet.words(value),
                    "count": counts.get(value, 0),
                    "selected": value in chosen,
                    "url": self.selection.with_value(facet.key, value, wanted=value not in chosen).url(),
                }
                for value in _shown(facet, chosen, list(counts))
            ],
        }

    def chips(self, facets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The selected values, each with the address that removes it."""
        return [
            {"label": facet["label"], "value": option["label"], "remove_url": option["url"]}
            for facet in facets
            for option in facet["options"]
            if option["selected"]
        ]

    def relaxed(self) -> list[Relaxed]:
        """The filters and words of which the removal of one brings models, most first. One query at most."""
        gains = [
            Relaxed(
                str(facet.label), ", ".join(map(facet.words, values)), gain, self.selection.without(key).url()
            )
            for key, gain in self.counts.without.items()
            if gain
            for facet, values in [(FACETS[key], self.selection.chosen[key])]
        ]
        query = self.selection.query
        if query and any(self.selection.chosen.values()):
            all_words = Browser(self.reader, self.selection.without("q"))
            if found := all_words._narrowed().count():
                gains.append(Relaxed(_("Words"), query, found, all_words.selection.url()))
        return sorted(gains, key=lambda one: -one.count)

    def sorts(self) -> list[dict[str, str]]:
        labels = {
            "recommended": _("Recommended"),
            "price": _("Lowest price of your mix"),
            "context": _("Largest context"),
            "newest": _("Newest"),
            "name": _("Name"),
        }
        return [{"value": value, "label": label} for value, label in labels.items()]


def _shown(facet: Facet, chosen: Sequence[str], found: list[str]) -> list[str]:
    """The values that a facet offers: its own, or the most frequent, and those that are chosen."""
    if facet.shape is Shape.STEPS:
        options = steps_of(facet, chosen)
    elif facet.options is None:
        options = found[:MOST_OPTIONS]
    else:
        options = list(facet.options)
    return [*options, *(value for value in chosen if value not in options)]
