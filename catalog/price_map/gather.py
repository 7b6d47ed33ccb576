"""Combining offers with the same public name into one model: its facts, and its list prices.

**The primary offer** sets the list prices. It is the first in this order: not past its deprecation date; with
a price above 0; with both an input and an output price; not a variant; by the model's own maker; without a
region; the cheapest for one input and one output token; by key. An offer that states only zeros is usually
"included in a subscription". Its prices are shown with the offer but never become list prices: a call to such
a model is unpriced until an operator publishes a price.

**Other facts** are those of the first offer in this order that states them. A **card** is an offer without provider: it
states facts, and is no place that offers the model.

**Capabilities** are true if any offer says true, false if one says false and none says true, otherwise unknown.
**Deprecation date**: the latest one, if every current offer has one or every date has passed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Protocol

# Facts that cards and some formats state, under the names of the model's facts.
TEXTS: Final = ("description", "licence", "licence_url", "family")
LISTS: Final = ("languages", "modalities_in", "modalities_out")
# The provider through which each maker sells its own models.
_OWN_PROVIDER: Final = {
    "AI21": "ai21",
    "Alibaba": "dashscope",
    "Amazon": "bedrock",
    "Anthropic": "anthropic",
    "Black Forest Labs": "black_forest_labs",
    "ByteDance": "volcengine",
    "Cohere": "cohere",
    "DeepSeek": "deepseek",
    "Google": "gemini",
    "IBM": "watsonx",
    "Meta": "meta_llama",
    "MiniMax": "minimax",
    "Mistral AI": "mistral",
    "Moonshot AI": "moonshot",
    "OpenAI": "openai",
    "Perplexity": "perplexity",
    "Stability AI": "stability",
    "Voyage AI": "voyage",
    "xAI": "xai",
    "Xiaomi": "xiaomi_mimo",
    "Z.ai": "zai",
}
_SPELLED: Final = {
    "ai": "AI", "deepseek": "DeepSeek", "gpt": "GPT", "oss": "OSS", "glm": "GLM", "tts": "TTS", "hd": "HD",
    "vl": "VL", "bge": "BGE", "minimax": "MiniMax", "fp8": "FP8", "ocr": "OCR", "dall": "DALL", "moe":
    "MoE", "it": "IT", "ft": "FT", "chatgpt": "ChatGPT", "codellama": "Code Llama", "xlarge": "XLarge",
    "mimo": "MiMo", "qwq": "QwQ", "m3": "M3",
}  # fmt: skip


class StatedOffer(Protocol):
    """The attributes of an offer that `gather` reads. A row of catalog.Offer has them."""

    source: str
    source_key: str
    provider: str
    region: str
    prices: dict[str, str]
    facts: dict[str, Any]
    deprecation_date: date | None


@dataclass(frozen=True)
class Gathered:
    """A model, as described by its offers. `list_prices`: US dollars per million by token kind; empty: unpriced."""

    title: str
    maker: str
    mode: str
    context_tokens: int | None
    max_output_tokens: int | None
    capabilities: dict[str, bool]
    providers: list[str]
    regions: list[str]
    offer_count: int
    deprecation_date: date | None
    list_prices: dict[str, Decimal]
    # The primary offer, by its source and its key there.
    primary: tuple[str, str]
    # The other facts that any offer states, by name.
    more: dict[str, Any]
    # By fact, which source states it; of facts that are not here, the primary offer's does.
    said_by: dict[str, str]


def gather(name: str, offers: Sequence[StatedOffer], *, today: date) -> Gathered:
    """Combine the offers of a model (at least one) into one description."""
    first, *others = sorted(offers, key=lambda offer: _rank(offer, today))
    facts = [offer.facts for offer in [first, *others]]
    current = [offer for offer in offers if not _is_past(offer, today)]
    dates = [offer.deprecation_date for offer in current]
    ends: date | None
    if not current:
        ends = max(offer.deprecation_date for offer in offers if offer.deprecation_date)
    else:
        ends = max(day for day in dates if day) if all(dates) else None
    said_by: dict[str, str] = {}

    def first_said(fact: str, empty: Any, nothing: Any = None) -> Any:
        for offer in [first, *others]:
            if (value := offer.facts.get(fact)) not in (None, "", [], nothing):
                said_by[fact] = offer.source
                return value
        return empty

    return Gathered(
        title=first_said("title", title_of(name)),
        maker=first_said("maker", ""),
        mode=first_said("mode", "unknown", "unknown"),
        context_tokens=first_said("context_tokens", None),
        max_output_tokens=first_said("max_output_tokens", None),
        capabilities=_capabilities(facts),
        providers=sorted({offer.provider for offer in current or offers if offer.provider}),
        regions=sorted({offer.region for offer in current or offers if offer.region}),
        offer_count=len(
            {(o.provider, o.region) for o in current if o.provider and not o.facts.get("variant")}
        ),
        deprecation_date=ends,
        list_prices={kind: Decimal(price) for kind, price in first.prices.items()} if _is_paid(first) else {},
        primary=(first.source, first.source_key),
        more={fact: value for fact in (*TEXTS, *LISTS) if (value := first_said(fact, None)) is not None},
        said_by=said_by,
    )


def _rank(offer: StatedOffer, today: date) -> tuple[Any, ...]:
    prices = offer.prices
    return (
        _is_past(offer, today),
        not offer.provider,
        not _is_paid(offer),
        ("input" not in prices) + ("output" not in prices),
        bool(offer.facts.get("variant")),
        _OWN_PROVIDER.get(offer.facts.get("maker", "")) != offer.provider,
        bool(offer.region),
        Decimal(prices.get("input", 0)) + Decimal(prices.get("output", 0)),
        offer.source_key,
        offer.source,
    )


def _is_past(offer: StatedOffer, today: date) -> bool:
    return offer.deprecation_date is not None and offer.deprecation_date <= today


def _is_paid(offer: StatedOffer) -> bool:
    return any(Decimal(price) > 0 for price in offer.prices.values())


def _capabilities(facts: Sequence[dict[str, Any]]) -> dict[str, bool]:
    merged: dict[str, bool] = {}
    for said in facts:
        for flag, value in said.get("capabilities", {}).items():
            merged[flag] = merged.get(flag, False) or value
    return dict(sorted(merged.items()))


def title_of(name: str) -> str:
    """A name for people: `llama-3.3-70b-instruct` is "Llama 3.3 70B Instruct"."""
    words = []
    for word in name.replace("_", "-").split("-"):
        if not word:
            continue
        if word in _SPELLED:
            words.append(_SPELLED[word])
        elif re.fullmatch(r"[a-z]?\d+(\.\d+)?[bkm]", word) or re.fullmatch(r"[rvkm]\d[\d.]*", word):
            words.append(word.upper() if word[0] != "v" else word)
        else:
            words.append(word[:1].upper() + word[1:] if not word[0].isdigit() else word)
    title = " ".join(words)
    title = re.sub(r"^(GPT|GLM|DALL) (?=\S)", r"\1-", title)
    if name.startswith("claude-"):
        title = re.sub(r"\b(\d) (\d)\b", r"\1.\2", title)
    return title
