"""Make the vendored copy of the price map from a LiteLLM wheel.

    pip download --no-deps litellm && python -m catalog.price_map.vendor litellm-*.whl

Writes catalog/data/litellm-prices.json.gz (entries trimmed to the fields that the import reads; the same wheel
always gives the same bytes) and catalog/data/NOTICE.md, which states the origin and what was left out.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from catalog.price_map.entries import is_other_price
from core.text_files import text_of

DATA = Path(__file__).resolve().parent.parent / "data"
VENDORED = DATA / "litellm-prices.json.gz"
_INSIDE = "litellm/model_prices_and_context_window_backup.json"
_KEPT = frozenset(
    (
        "litellm_provider", "mode", "max_input_tokens", "max_output_tokens", "output_vector_size",
        "supported_modalities", "supported_output_modalities", "deprecation_date", "source",
    )
)  # fmt: skip


def read_text(path: Path) -> str:
    """The text of a price map, plain or compressed, also as saved by Windows. Raises OSError or UnreadableText."""
    return text_of(path.read_bytes())


def trim(entry: dict[str, Any]) -> dict[str, Any]:
    """Keep only the fields that the import reads: provider, mode, prices, windows, capabilities, dates and sources."""
    return {
        name: value
        for name, value in entry.items()
        if name in _KEPT
        or name.startswith("supports_")
        or (is_other_price(name) and not isinstance(value, dict))
    }


def main(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        original = archive.read(_INSIDE)
        member = next(name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        licence = archive.read(member).decode()
    entries = json.loads(original, parse_float=_AsWritten)
    trimmed = {key: trim(entry) for key, entry in entries.items()}
    text = _dump(trimmed)
    VENDORED.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    version = wheel.name.split("-")[1]
    notice = _NOTICE.format(
        today=datetime.now(UTC).date().isoformat(),
        version=version,
        inside=_INSIDE,
        original=hashlib.sha256(original).hexdigest(),
        ours=hashlib.sha256(VENDORED.read_bytes()).hexdigest(),
        count=len(entries),
        licence=licence.strip(),
    )
    (DATA / "NOTICE.md").write_text(notice)
    sys.stdout.write(f"{VENDORED.name}: {len(entries)} entries of litellm {version}\n")


class _AsWritten(Decimal):
    """A number that keeps the digits with which it was read when it is written again."""

    def __new__(cls, text: str) -> _AsWritten:
        number = super().__new__(cls, text)
        number.text = text  # type: ignore[attr-defined]
        return number


def _dump(entries: dict[str, Any]) -> str:
    """JSON with one entry per line and every number written as in the original."""

    def value(given: Any) -> str:
        if isinstance(given, _AsWritten):
            return str(given.text)  # type: ignore[attr-defined]
        if isinstance(given, dict):
            return "{" + ",".join(f"{json.dumps(name)}:{value(inner)}" for name, inner in given.items()) + "}"
        if isinstance(given, list):
            return "[" + ",".join(map(value, given)) + "]"
        return json.dumps(given)

    return "{\n" + ",\n".join(f"{json.dumps(key)}:{value(entry)}" for key, entry in entries.items()) + "\n}\n"


_NOTICE = """# Where litellm-prices.json.gz comes from

The price map of LiteLLM {version} (`{inside}` in the wheel on PyPI,
{count} entries), taken on {today}.

- SHA-256 of the original file: `{original}`
- SHA-256 of our copy: `{ours}`
- Left out: every field that the import does not read (how LiteLLM calls a provider: endpoints, tokenizers, routing
  metadata, rate limits; nested price tables; prices in Databricks units). Numbers are written as in the
  original.
- Made by `python -m catalog.price_map.vendor`; the rules of the import are in `docs/catalog.md`.

The prices are what LiteLLM's contributors collected from providers' public pages, not offers by anybody.

## Licence of LiteLLM

```
{licence}
```
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
