"""Models side by side: what differs between them, with the best of each row, and what is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from catalog import capabilities
from catalog.access import Access
from catalog.models import CatalogModel
from core.joined import listed
from core.templatetags.qm import context_size, money, price
from tenants.models import DataClass

DAYS_OF_A_MONTH = 30


@dataclass(frozen=True)
class Compared:
    """One model, with what billing and access know of it."""

    model: CatalogModel
    prices: dict[str, Decimal]
    access: Access
    mix_price: Decimal | None
    # Evaluation scores by benchmark and metric, in words.
    scores: Mapping[str, str] = field(default_factory=dict)

    def cost(self, tokens: int) -> Decimal | None:
        """What so many tokens of the mix cost at list prices; None without a price."""
        return None if self.mix_price is None else self.mix_price * tokens / 1_000_000


@dataclass(frozen=True)
class Cell:
    """What a row says of one model."""

    title: str
    text: str
    # Among the best, if not all are equally good.
    is_best: bool


@dataclass(frozen=True)
class Row:
    """One fact of all the models. `best` says what the best is: "lowest"."""

    label: str
    cells: list[Cell]
    best: str

    @property
    def is_same(self) -> bool:
        return len({cell.text for cell in self.cells}) == 1


def rows_of(compared: Sequence[Compared], *, tokens: int) -> tuple[list[Row], list[Row]]:
    """The rows that differ, and those that are the same for all of `compared`.

    Args:
        compared: the models.
        tokens: tokens a day, for the cost.
    """
    lowest, largest = _("lowest"), _("largest")

    def row(label: str, value: Callable[[Compared], Any], words: Callable[[Any], str], best: str = "") -> Row:
        values = [value(one) for one in compared]
        known = [one for one in values if one is not None]
        top = (max(known) if best == largest else min(known)) if best and known else None
        has_best = len(set(values)) > 1
        return Row(
            label,
            [
                Cell(one.model.title, words(found), has_best and top is not None and found == top)
                for one, found in zip(compared, values, strict=True)
            ],
            best,
        )

    def price_words(value: Decimal | None) -> str:
        return _("Not priced") if value is None else price(value)

    def cost_words(value: Decimal | None) -> str:
        return _("Not priced") if value is None else money(value)

    def count_words(value: int | None) -> str:
        return context_size(value) if value else _("not stated")

    def score(label: str) -> Callable[[Compared], Any]:
        return lambda one: one.scores.get(label)

    def flag(name: str) -> Callable[[Compared], Any]:
        return lambda one: one.model.capabilities.get(name)

    rows = [
        row(_("Cost of a day"), lambda one: one.cost(tokens), cost_words, lowest),
        row(_("Cost of 30 days"), lambda one: one.cost(tokens * DAYS_OF_A_MONTH), cost_words, lowest),
        row(_("Million tokens of your mix"), lambda one: one.mix_price, price_words, lowest),
        row(_("Input, per million"), lambda one: one.prices.get("input"), price_words, lowest),
        row(_("Cached input, per million"), lambda one: one.prices.get("cache_read"), price_words, lowest),
        row(_("Output, per million"), lambda one: one.prices.get("output"), price_words, lowest),
        row(_("Context"), lambda one: one.model.context_tokens, count_words, largest),
        row(_("Longest output"), lambda one: one.model.max_output_tokens, count_words, largest),
        *(
            row(label, score(label), lambda value: value or _("not stated"))
            for label in sorted({label for one in compared for label in one.scores})
        ),
        row(_("Kind"), lambda one: one.model.mode_label, str),
        row(
            _("Highest data class"),
            lambda one: one.model.highest_data_class,
            lambda value: str(DataClass(value).label),
        ),
        row(_("Risk tier"), lambda one: one.model.get_risk_tier_display(), str),
        row(
            _("Regions"),
            lambda one: tuple(one.model.regions),
            lambda value: listed(value) if value else _("not stated"),
        ),
        row(_("Runs on"), lambda one: one.model.host_label, str),
        row(_("Made by"), lambda one: one.model.maker, lambda value: value or _("not stated")),
        row(_("Lifecycle"), lambda one: one.model.get_lifecycle_display(), str),
        row(
            _("Answers calls now"),
            lambda one: one.access.is_served,
            lambda value: _("yes") if value else _("no"),
        ),
        *(
            row(str(words), flag(name), _flag_words)
            for name, (words, _icon) in capabilities.WORDS.items()
            if any(one.model.capabilities.get(name) for one in compared)
        ),
    ]
    if len(compared) < 2:
        return rows, []
    return [one for one in rows if not one.is_same], [one for one in rows if one.is_same]


def _flag_words(value: bool | None) -> str:
    return _("not stated") if value is None else _("yes") if value else _("no")
