"""Readers of lists of models in JSON: models.dev, OpenRouter, and what OpenAI-compatible APIs answer to /v1/models.

Prices are exact, as in the price map: models.dev states US dollars per million tokens, OpenRouter per token, as text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

from django.utils.translation import gettext as _

from catalog.price_map import reasons
from catalog.price_map.entries import (
    DEAREST_REQUEST,
    DEAREST_TOKEN,
    MILLION,
    digest_of,
    per_million,
    read_count,
    read_number,
    read_words,
    shown,
)
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
from core.names import clean_name, is_seen

# What models.dev calls providers, and the price map does otherwise.
_PROVIDERS: Final = {
    "alibaba": "dashscope",
    "amazon-bedrock": "bedrock",
    "azure-cognitive-services": "azure",
    "fireworks-ai": "fireworks_ai",
    "google": "gemini",
    "google-vertex": "vertex_ai",
    "google-vertex-anthropic": "vertex_ai",
    "moonshotai": "moonshot",
    "togetherai": "together_ai",
}
_COSTS: Final = {
    "input": "input",
    "output": "output",
    "cache_read": "cache_read",
    "cache_write": "cache_write",
    "reasoning": "reasoning",
}
_PRICING: Final = {
    "prompt": ("input", DEAREST_TOKEN),
    "completion": ("output", DEAREST_TOKEN),
    "input_cache_read": ("cache_read", DEAREST_TOKEN),
    "input_cache_write": ("cache_write", DEAREST_TOKEN),
    "internal_reasoning": ("reasoning", DEAREST_TOKEN),
    "request": ("request", DEAREST_REQUEST),
}
# OpenRouter's kinds of service: another price of the same model.
_SERVICE: Final = re.compile(r":(free|beta|extended|nitro|floor|online|exacto)$")
_AS_NUMBER: Final = re.compile(r"\d{1,15}(\.\d{1,30})?([eE]-?\d{1,2})?")
_MODES: Final = [
    (re.compile(pattern, re.IGNORECASE), mode)
    for pattern, mode in (
        (r"rerank", "rerank"),
        (r"embed|\bbge-|\be5-|\bgte-", "embedding"),
        (r"whisper|transcri", "audio_transcription"),
    )
]


def read_models_dev(text: str) -> ReadFile:
    """Read models.dev's api.json: models by provider. Raises UnreadableFile for anything else."""
    document = read_json(text)
    if isinstance(document, JsonObject) and isinstance(document.get("providers"), JsonObject):
        document = document["providers"]
    if not isinstance(document, JsonObject) or not any(
        isinstance(one, dict) and "models" in one for one in document.values()
    ):
        raise UnreadableFile(_("The file is not a JSON object of providers with models."))
    result = ReadFile()
    for name, provider in document.items():
        models = provider.get("models") if isinstance(provider, JsonObject) else None
        if not isinstance(models, JsonObject):
            result.refuse(name, reasons.NO_OBJECT())
            continue
        for model, entry in models.items():
            is_repeated = model in models.repeated or name in document.repeated
            result.add(f"{name}/{model}", partial(_of_models_dev, name, model, entry, provider, is_repeated))
    return result


def read_openrouter(text: str) -> ReadFile:
    """Read OpenRouter's list of models. Raises UnreadableFile for anything else."""
    result = ReadFile()
    for entry in _data_of(text):
        result.add(_id_of(entry), partial(_of_openrouter, entry))
    return _once_each(result)


def read_listing(text: str) -> ReadFile:
    """Read the answer of an OpenAI-compatible API to /v1/models: names, without prices. Raises UnreadableFile."""
    found = [(_id_of(entry), "") for entry in _data_of(text)]
    return offers_of(found, provider="openai_compatible")


def offers_of(listed: Iterable[tuple[str, str]], *, provider: str) -> ReadFile:
    """Offers of models that a provider lists, from pairs of name and mode; an empty mode is unknown."""
    result = ReadFile()
    for name, mode in listed:
        result.add(name, partial(_of_listing, name, mode, provider))
    return _once_each(result)


def _data_of(text: str) -> list[Any]:
    document = read_json(text)
    data = document.get("data") if isinstance(document, dict) else document
    if not isinstance(data, list):
        raise UnreadableFile(_("The file has no list of models in “data”."))
    return data


def _id_of(entry: object) -> str:
    said = entry.get("id") if isinstance(entry, dict) else None
    return said if isinstance(said, str) else "?"


def _once_each(result: ReadFile) -> ReadFile:
    """Refuse keys that a list has more than once."""
    times = Counter(offer.source_key for offer in result.offers)
    twice = {key for key, count in times.items() if count > 1}
    result.offers = [offer for offer in result.offers if offer.source_key not in twice]
    for key in sorted(twice):
        result.refuse(key, reasons.REPEATED())
    return result


def _of_models_dev(
    provider_id: str, model: str, entry: object, provider: Mapping[str, Any], is_repeated: bool
) -> ReadOffer:
    if is_repeated:
        raise Refused(reasons.REPEATED())
    entry = _object(entry)
    modalities, limit, cost = (_part(entry, name) for name in ("modalities", "limit", "cost"))
    reads, writes = read_words(modalities, "input"), read_words(modalities, "output")
    prices = {
        kind: _stated_per_million(name, cost[name])
        for name, kind in _COSTS.items()
        if cost.get(name) is not None
    }
    audio = {
        _stated_per_million(name, cost[name])
        for name in ("input_audio", "output_audio")
        if cost.get(name) is not None
    }
    if len(audio) == 1:
        prices["audio"] = audio.pop()
    flags = {
        flag: _flag(entry, name)
        for name, flag in (
            ("tool_call", "function_calling"),
            ("reasoning", "reasoning"),
            ("structured_output", "response_schema"),
        )
        if entry.get(name) is not None
    }
    doc = provider.get("doc")
    return _offer(
        f"{provider_id}/{model}",
        model,
        _PROVIDERS.get(provider_id, provider_id.replace("-", "_")),
        entry,
        prices=prices,
        facts={
            "title": _text(entry, "name", 160),
            "family": _text(entry, "family", 60),
            "mode": _mode(model, writes),
            "context_tokens": read_count(limit, "context"),
            "max_output_tokens": read_count(limit, "output"),
            "capabilities": flags | _senses(reads),
            "modalities_in": _modalities(reads),
            "modalities_out": _modalities(writes),
        },
        source_url=doc if isinstance(doc, str) and doc.startswith("https://") and len(doc) <= 500 else "",
    )


def _of_openrouter(entry: object) -> ReadOffer:
    entry = _object(entry)
    key = _text(entry, "id", LONGEST_KEY)
    service = _SERVICE.search(key)
    architecture, top, pricing = (_part(entry, name) for name in ("architecture", "top_provider", "pricing"))
    reads = read_words(architecture, "input_modalities")
    writes = read_words(architecture, "output_modalities")
    prices: dict[str, str] = {}
    # A router states -1: what it costs depends on where it leads.
    if "-1" not in {str(price) for price in pricing.values()}:
        for name, (kind, dearest) in _PRICING.items():
            if pricing.get(name) is not None:
                prices[kind] = per_million(name, _as_number(name, pricing[name]), dearest)
        if prices.get("request") and not Decimal(prices["request"]):
            # "No price for each call", which it states of all models.
            del prices["request"]
        if prices.get("reasoning") and not Decimal(prices["reasoning"]):
            del prices["reasoning"]
    parameters = read_words(entry, "supported_parameters")
    flags = {"function_calling": True} if "tools" in parameters else {}
    flags |= {"reasoning": True} if "reasoning" in parameters else {}
    flags |= {"response_schema": True} if "structured_outputs" in parameters else {}
    name = _SERVICE.sub("", key)
    return _offer(
        key,
        name,
        "openrouter",
        entry,
        prices=prices,
        facts={
            "title": re.sub(r"^[^:]{1,40}: |\s\(free\)$", "", _text(entry, "name", 160)),
            "mode": _mode(name, writes),
            "variant": service[1] if service else "",
            "context_tokens": read_count(entry, "context_length"),
            "max_output_tokens": read_count(top, "max_completion_tokens"),
            "capabilities": flags | _senses(reads),
            "modalities_in": _modalities(reads),
            "modalities_out": _modalities(writes),
        },
        source_url="",
    )


def _of_listing(name: str, mode: str, provider: str) -> ReadOffer:
    if name == "?":
        raise Refused(reasons.NO_OBJECT())
    return _offer(
        name,
        name,
        provider,
        {"id": name},
        prices={},
        facts={"mode": mode or _mode(name, [])},
        source_url="",
    )


def _offer(
    key: str,
    name: str,
    provider: str,
    entry: Mapping[str, Any],
    *,
    prices: dict[str, str],
    facts: dict[str, Any],
    source_url: str,
) -> ReadOffer:
    if not key.strip() or len(key) > LONGEST_KEY:
        raise Refused(reasons.NAME_LENGTH(most=LONGEST_KEY))
    if not is_seen(key):
        raise Refused(reasons.UNSEEN_NAME())
    if not re.fullmatch(r"[a-z0-9][A-Za-z0-9._-]{0,59}", provider):
        raise Refused(reasons.NO_PROVIDER(name="id"))
    place = read_key(f"{provider}/{name}", provider)
    if place is None:
        raise Refused(reasons.NO_PUBLIC_NAME())
    facts = {"maker": place.maker, "variant": place.variant} | facts
    return ReadOffer(
        source_key=key,
        name=place.name,
        provider=place.provider,
        region=place.region,
        prices=prices,
        facts={fact: value for fact, value in facts.items() if value not in (None, "", {}, [])},
        source_url=source_url,
        deprecation_date=None,
        digest=digest_of(dict(entry)),
    )


def _object(entry: object) -> dict[str, Any]:
    if not isinstance(entry, JsonObject):
        raise Refused(reasons.NO_OBJECT())
    if entry.repeated:
        raise Refused(reasons.REPEATED_NAMES(names=", ".join(sorted(entry.repeated))))
    return entry


def _part(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = entry.get(name)
    return {} if part is None else _object(part)


def _text(entry: Mapping[str, Any], name: str, longest: int) -> str:
    said = entry.get(name) or ""
    if not isinstance(said, str):
        raise Refused(reasons.NO_TEXT(name=name))
    return clean_name(said, longest) if name != "id" else said


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    said = entry[name]
    if not isinstance(said, bool):
        raise Refused(reasons.NO_FLAG(value=shown(said), name=name))
    return said


def _stated_per_million(name: str, value: object) -> str:
    return per_million(name, read_number(name, value) / MILLION, DEAREST_TOKEN)


def _as_number(name: str, value: object) -> object:
    """A price that is written as text, as a number."""
    if isinstance(value, str):
        if not _AS_NUMBER.fullmatch(value):
            raise Refused(reasons.NO_NUMBER(value=shown(value), name=name))
        return Decimal(value)
    return value


def _mode(name: str, writes: list[str]) -> str:
    for pattern, mode in _MODES:
        if pattern.search(name):
            return mode
    if "text" in writes:
        return "chat"
    if "image" in writes:
        return "image_generation"
    return "audio_speech" if "audio" in writes else "unknown"


def _senses(reads: list[str]) -> dict[str, bool]:
    flags = {"vision": "image", "pdf_input": "pdf", "audio_input": "audio", "video_input": "video"}
    return {flag: True for flag, word in flags.items() if word in reads}


def _modalities(words: list[str]) -> list[str]:
    known = {
        "text": "text",
        "image": "image",
        "audio": "audio",
        "video": "video",
        "pdf": "file",
        "file": "file",
    }
    return sorted({known[word] for word in words if word in known})
