"""A price map, and importing it on a fixed day."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

from catalog.actions import accept_entries, start_import
from catalog.models import CatalogImport
from catalog.price_map.verdicts import in_words

TODAY = date(2026, 11, 20)


GOOD = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2.5e-06,
    "output_cost_per_token": 1e-05,
}
NOTHING = dict.fromkeys(
    ("accepted", "models_added", "models_changed", "models_removed", "models_unpriced", "prices_published"), 0
)


def compared(entries, *, by=None, **options):
    """The import of a price map, before anybody has decided its entries."""
    text = entries if isinstance(entries, str) else json.dumps(entries)
    return start_import(text, file_name="prices.json", by=by, **options)


def run(entries, *, by=None, prices_from=None, withdrawn=False):
    """Import a price map and accept all that it says, also what is held back. Its numbers, before and after."""
    imported = compared(entries, by=by)
    held = {
        entry.key: "; ".join(map(in_words, entry.held_for))
        for entry in imported.entries.exclude(held_for=[]).exclude(kind="withdrawn").order_by("place")
    }
    chosen = imported.entries.all() if withdrawn else imported.entries.exclude(kind="withdrawn")
    if imported.state == CatalogImport.State.OPEN:
        accept_entries(
            imported.pk,
            by=by,
            entries=list(chosen.values_list("pk", flat=True)),
            may_take_held=True,
            today=TODAY,
            prices_from=prices_from,
        )
        imported.refresh_from_db()
    numbers = NOTHING | imported.counts | imported.outcome | {"refused": imported.refused}
    return SimpleNamespace(**numbers, run=imported, jumps=held)
