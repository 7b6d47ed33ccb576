"""A price map, and importing it on a fixed day."""

from __future__ import annotations

import json
from datetime import date

from catalog.actions import import_price_map

TODAY = date(2026, 11, 20)


GOOD = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2.5e-06,
    "output_cost_per_token": 1e-05,
}


def run(entries, **options):
    text = entries if isinstance(entries, str) else json.dumps(entries)
    return import_price_map(text, file_name="prices.json", today=TODAY, **options)
