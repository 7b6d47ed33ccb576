"""Entries of imports in words: what changes, from what to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from billing.known_kinds import words_of
from catalog.capabilities import words as capabilities_in_words
from catalog.model_facts import FACTS
from catalog.models import ImportEntry
from catalog.price_map.verdicts import plain
from core.dates import DASH

# Facts of an offer that are no facts of its model, and are not shown one by one.
_UNSEEN = frozenset({"variant", "vector_size", "modalities", "output_modalities"})


@dataclass(frozen=True)
class Change:
    """One thing that an entry changes; `was` is a dash if there was nothing."""

    label: str
    was: str
    now: str


def changes_of(entry: ImportEntry) -> list[Change]:
    """What accepting an entry changes, in words."""
    before, after = _flat(entry.before), _flat(entry.after)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if entry.after is None:
        # The offer goes as a whole; its model and prices say which one it was.
        names = [name for name in names if name == "model" or name.startswith("price ")]
    return [
        Change(_label(name), _shown(name, before.get(name)), _shown(name, after.get(name))) for name in names
    ]


def _flat(stated: Mapping[str, Any] | None) -> dict[str, Any]:
    if stated is None:
        return {}
    facts = {name: value for name, value in stated["facts"].items() if name not in _UNSEEN}
    others = facts.pop("other_prices", {})
    flat = {
        "model": stated["name"],
        "region": stated["region"],
        **{f"price {kind}": price for kind, price in stated["prices"].items()},
        **facts,
        "deprecation_date": stated["deprecation_date"],
        "source_url": stated["source_url"],
        **{f"other {name}": price for name, price in others.items()},
    }
    return {name: value for name, value in flat.items() if value not in (None, "", [], {})}


def _label(name: str) -> str:
    what, _space, kind = name.partition(" ")
    if what == "price":
        return _("Price of %(kind)s") % {"kind": words_of(kind)}
    if what == "other":
        return kind
    if name in FACTS:
        return str(FACTS[name].label)
    words = {
        "model": _("Model"),
        "region": _("Region"),
        "source_url": _("Page of the prices"),
        "capabilities": _("capabilities"),
    }
    return words.get(name, name)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return DASH
    if name.startswith("price "):
        return plain(Decimal(value))
    if name == "capabilities":
        return pgettext("between two of a list", ", ").join(capabilities_in_words(value)) or DASH
    if name in FACTS and name != "deprecation_date":
        return FACTS[name].shown(value)[:300]
    return str(value)[:300]
