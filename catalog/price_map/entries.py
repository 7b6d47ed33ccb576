"""Turns one entry of the price map into one offer, or rejects it with a reason.

Prices are read as decimals, never through floats. The file states US dollars per unit. An offer has US dollars
per million units with eight decimals, rounded half to even if the file has more (its floats contain noise such
as 0.00000030000000000000004). Facts that are not stated stay unknown: an absent price is no price, and an absent
flag is no flag. A stated 0 stays 0. An entry with a wrong value is rejected as a whole, because a half-read
price is worse than none.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from billing.kinds import DECLARED, Unit
from catalog.price_map import reasons
from catalog.price_map.names import read_key
from catalog.price_map.reading import (
    LONGEST_KEY,
    JsonObject,
    ReadFile,
    ReadOffer,
    Refused,
    UnreadableFile,
    read_json,
)
from core.names import is_seen

RULES_VERSION: Final = (
    # Raise this when the same entry would be read differently. Every offer is then compared again.
    "2"
)
IGNORED: Final = {"sample_spec": "it explains the format"}
MILLION: Final = Decimal(1_000_000)
EXACTLY: Final = Decimal("0.00000001")
# US dollars per million tokens. A higher price means that someone used the wrong unit.
DEAREST_TOKEN: Final = Decimal(1_000)
# US dollars per million requests, which is 10 per request.
DEAREST_REQUEST: Final = Decimal(10_000_000)
MOST_TOKENS: Final = 1_000_000_000  # of a context window

# The kinds of usage that are pictures of a size.
PICTURES: Final = [str(one.kind) for one in DECLARED if one.unit == Unit.IMAGE]
# The file's name for a price, and the ledger's kind of usage.
PRICES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_request": "request",
    "input_cost_per_query": "request",
}
# Prices of units that are no tokens, by the mode of the model: the file's name, the kinds that it prices, and how many
# whole numbers of a kind make one unit of the file's. A price of a picture holds for every size.
UNIT_PRICES: Final[dict[str, list[tuple[str, list[str], int]]]] = {
    "rerank": [("input_cost_per_query", ["search"], 1)],
    "audio_transcription": [("input_cost_per_second", ["audio_input_seconds"], 1000)],
    "audio_speech": [("input_cost_per_character", ["character"], 1)],
    "image_generation": [
        ("output_cost_per_image", PICTURES, 1),
        ("input_cost_per_image", PICTURES, 1),
        # The endpoint takes no pictures, so all its tokens of pictures are of the answer.
        ("output_cost_per_image_token", ["image"], 1),
    ],
}
# Two directions share one kind in the ledger. The kind has a list price only if the stated prices agree.
SHARED_PRICES: Final = {
    "image": ("input_cost_per_image_token", "output_cost_per_image_token"),
    "audio": ("input_cost_per_audio_token", "output_cost_per_audio_token"),
}
_FLAG: Final = re.compile(r"supports_([a-z0-9_]+)")
_COST: Final = re.compile(r"[a-z0-9_]*cost[A-Za-z0-9_.]*")


def read_file(text: str) -> ReadFile:
    """Read a price map. Raises UnreadableFile unless it is one JSON object. Bad entries are only rejected."""
    entries = read_json(text)
    if not isinstance(entries, JsonObject):
        raise UnreadableFile(_("The file is not a JSON object of models by name."))
    result = ReadFile()
    for key, entry in entries.items():
        if key in IGNORED:
            result.ignored[key] = IGNORED[key]
        else:
            result.add(key, partial(_once, entries, key, entry))
    return result


def _once(entries: JsonObject, key: str, entry: object) -> ReadOffer:
    if key in entries.repeated:
        raise Refused(reasons.REPEATED())
    return read_entry(key, entry)


def read_entry(key: str, entry: object) -> ReadOffer:
    """Read one entry. Raises Refused with the reason."""
    if not isinstance(entry, dict):
        raise Refused(reasons.NO_OBJECT())
    if repeated := getattr(entry, "repeated", None):
        raise Refused(reasons.REPEATED_NAMES(names=", ".join(sorted(repeated))))
    if not key.strip() or len(key) > LONGEST_KEY:
        raise Refused(reasons.NAME_LENGTH(most=LONGEST_KEY))
    if not is_seen(key):
        raise Refused(reasons.UNSEEN_NAME())
    provider, mode = entry.get("litellm_provider"), entry.get("mode")
    if not isinstance(provider, str) or not re.fullmatch(r"[a-z0-9][A-Za-z0-9._-]{0,59}", provider):
        raise Refused(reasons.NO_PROVIDER(name="litellm_provider"))
    if mode is None:
        mode = "unknown"
    if not isinstance(mode, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", mode):
        raise Refused(reasons.MODE())
    place = read_key(key, provider)
    if place is None:
        raise Refused(reasons.NO_PUBLIC_NAME())
    return ReadOffer(
        source_key=key,
        name=place.name,
        provider=place.provider,
        region=place.region,
        prices=_prices(entry, mode),
        facts={
            name: value
            for name, value in {
                "mode": mode,
                "maker": place.maker,
                "variant": place.variant,
                "context_tokens": read_count(entry, "max_input_tokens"),
                "max_output_tokens": read_count(entry, "max_output_tokens"),
                "vector_size": read_count(entry, "output_vector_size"),
                "capabilities": dict(_flags(entry)),
                "other_prices": dict(_other_prices(entry)),
                "modalities": read_words(entry, "supported_modalities"),
                "output_modalities": read_words(entry, "supported_output_modalities"),
            }.items()
            if value not in (None, "", {}, [])
        },
        source_url=_url(entry),
        deprecation_date=_date(entry),
        digest=digest_of(entry),
    )


def read_number(name: str, value: object) -> Decimal:
    """A number of the file. Raises Refused for none, a negative one, or one beyond all measure."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Refused(reasons.NO_NUMBER(value=shown(value), name=name))
    number = Decimal(value)
    if number < 0:
        raise Refused(reasons.NEGATIVE(name=name))
    if number and not -30 <= number.adjusted() <= 15:
        raise Refused(reasons.TOO_LARGE(name=name))
    return number


def per_million(name: str, value: object, dearest: Decimal, parts: int = 1) -> str:
    """A price for a million. `parts` of what it is for make one unit of the file's. Raises Refused.

    Args:
        name: of the price in the file.
        value: the price of one unit.
        dearest: the highest plausible price of a million units.
        parts: how many of what it is for make one unit.
    """
    amount = read_number(name, value) * MILLION
    if amount > dearest:
        raise Refused(reasons.IMPLAUSIBLE(name=name, amount=f"{amount:f}"))
    return format((amount / parts).quantize(EXACTLY, ROUND_HALF_EVEN), "f")


def _prices(entry: dict[str, Any], mode: str) -> dict[str, str]:
    prices: dict[str, str] = {}
    in_units = UNIT_PRICES.get(mode, [])
    for name, kinds, parts in in_units:
        if entry.get(name) is not None and kinds[0] not in prices:
            prices |= dict.fromkeys(kinds, per_million(name, entry[name], DEAREST_REQUEST, parts))
    read = {name for name, _, _ in in_units}
    for name, kind in PRICES.items():
        if name not in read and entry.get(name) is not None and kind not in prices:
            dearest = DEAREST_REQUEST if kind == "request" else DEAREST_TOKEN
            prices[kind] = per_million(name, entry[name], dearest)
    for kind, names in SHARED_PRICES.items():
        stated = {
            per_million(name, entry[name], DEAREST_TOKEN) for name in names if entry.get(name) is not None
        }
        if len(stated) == 1:
            prices[kind] = stated.pop()
    return prices


def _other_prices(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Prices without a token kind in the ledger (tiers, batches, seconds, pages), per unit, as stated."""
    for name, value in entry.items():
        if name not in PRICES and value is not None and is_other_price(name) and not isinstance(value, dict):
            yield name, format(read_number(name, value), "f")


def is_other_price(name: str) -> bool:
    """True if a field is a price in money. Databricks also states its own units (dbu), which are not money."""
    return _COST.fullmatch(name) is not None and "_dbu_" not in name


def read_count(entry: Mapping[str, Any], name: str) -> int | None:
    """A whole number of tokens; None if it is not stated, or 0. Raises Refused for anything else."""
    value = entry.get(name)
    if value is None:
        return None
    number = read_number(name, value)
    if number != number.to_integral_value() or number > MOST_TOKENS:
        raise Refused(reasons.NO_TOKENS(value=f"{number:f}", name=name))
    # Some entries use 0 for "does not apply".
    return int(number) or None


def _flags(entry: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """The capabilities that the entry states as true or false. Unknown flags keep their own name."""
    for name, value in entry.items():
        flag = _FLAG.fullmatch(name)
        if flag is None or value is None:
            continue
        if not isinstance(value, bool):
            raise Refused(reasons.NO_FLAG(value=shown(value), name=name))
        yield flag[1], value


def read_words(entry: Mapping[str, Any], name: str) -> list[str]:
    """A list of words, sorted, without repetitions. Raises Refused for anything else."""
    value = entry.get(name) or []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Refused(reasons.NO_WORDS(name=name))
    if not all(map(is_seen, value)):
        raise Refused(reasons.UNSEEN(name=name))
    return sorted(set(value))


def _url(entry: dict[str, Any]) -> str:
    """The page that the prices come from. Omits a source that is not an http address, because it is only a remark."""
    value = entry.get("source") or ""
    if not isinstance(value, str):
        raise Refused(reasons.NO_TEXT(name="source"))
    try:
        is_page = urlsplit(value).scheme in {"http", "https"} and not re.search(r"\s", value)
    except ValueError:
        return ""
    return value if is_page and is_seen(value) and len(value) <= 500 else ""


def _date(entry: dict[str, Any]) -> date | None:
    value = entry.get("deprecation_date")
    if value is None:
        return None
    try:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            raise ValueError(value)
        return date.fromisoformat(value)
    except ValueError:
        raise Refused(reasons.NO_DATE(value=shown(value), name="deprecation_date")) from None


def shown(value: object) -> str:
    """A value as the file has it, in a reason."""
    return json.dumps(value, default=str)


def digest_of(entry: dict[str, Any]) -> str:
    """Stands for an entry and the rules by which it is read: two that are alike are the same."""
    canonical = json.dumps(entry, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(f"{RULES_VERSION}\n{canonical}".encode()).hexdigest()
