"""Time imports of 5,000 entries: comparing, accepting, a file in which every entry changed, and undoing it.

    python -m benchmarks.imports

Makes a price map of 5,000 entries (1,250 models, four providers each) and imports it into an empty database; then one
with every price a tenth higher, and undoes that. It prints the time of each step and the machine's load.
"""

from __future__ import annotations

import contextlib
import json
import os
from time import perf_counter

from benchmarks.scratch import prepare

MODELS = 1_250
PROVIDERS = ("openai", "azure", "bedrock", "openrouter")


def price_map(factor: float) -> str:
    """A price map with every price `factor` times as high as in the first."""
    return json.dumps(
        {
            f"{provider}/measured-{number}b": {
                "litellm_provider": provider,
                "mode": "chat",
                "input_cost_per_token": round((1 + number % 9) * 1e-6 * factor, 9),
                "output_cost_per_token": round((2 + number % 9) * 1e-6 * factor, 9),
                "max_input_tokens": 128_000,
                "supports_vision": number % 2 == 0,
            }
            for number in range(MODELS)
            for provider in PROVIDERS
        }
    )


def main() -> None:
    with contextlib.ExitStack() as stack:
        prepare(stack)
        run()


def run() -> None:
    from catalog.actions import accept_entries, start_import, undo_import

    for name, factor in (("every entry new", 1.0), ("every price changed", 1.1)):
        text = price_map(factor)
        begun = perf_counter()
        imported = start_import(text, file_name="measured.json", by=None)
        compared = perf_counter()
        accepted = accept_entries(imported.pk, by=None)
        done = perf_counter()
        print(
            f"{name:<20} compared in {compared - begun:5.2f} s, accepted in {done - compared:5.2f} s: "
            f"{accepted.entries} entries, {imported.counts['held']} held back"
        )
    begun = perf_counter()
    undone = undo_import(imported.pk, by=None)
    print(f"{'undone':<20} in {perf_counter() - begun:.2f} s: {undone.entries} entries")
    print(f"load {' '.join(f'{one:.1f}' for one in os.getloadavg())}, {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
