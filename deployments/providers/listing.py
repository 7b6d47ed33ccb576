"""A provider's list of models, and the test that reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode

from core.egress import Networks, gettext_noop
from core.egress.connecting import Resolver
from deployments.providers.asking import MOST_SECONDS, Answer, Upstream, ask, too_slow
from deployments.providers.dialects import key_url_of, models_url_of
from deployments.providers.faults import ProviderFault

MOST_MODELS: Final = 5_000
MOST_PAGES: Final = 20
LONGEST_NAME: Final = 200
# A shorter credential, such as "EMPTY", may stand in a name by chance.
_SHORTEST_KEY: Final = 16
# Dialects of which some installations have no list: 404 there is no fault if the base URL ends with a version.
_MAY_NOT_LIST: Final = frozenset({"openai_compatible", "qwen", "anthropic"})
# What a name says of its mode, where the list itself is silent. The first that matches.
_MODES: Final = [
    (re.compile(pattern, re.IGNORECASE), mode)
    for pattern, mode in (
        (r"rerank", "rerank"),
        (r"embed|\bbge-|\be5-|\bgte-", "embedding"),
        (r"moderation|guard", "moderation"),
        (r"whisper|transcri|voxtral.*transcribe", "audio_transcription"),
        (r"\btts\b|tts-|-tts|speech", "audio_speech"),
        (r"dall-e|gpt-image|imagen|flux|stable-diffusion", "image_generation"),
        (r"sora|veo-|wan-?\d", "video_generation"),
    )
]
_CAPABILITIES: Final = {
    # Mistral's and Azure's words.
    "completion_chat": "chat",
    "chat_completion": "chat",
    "embeddings": "embedding",
    "completion": "completion",
}


@dataclass(frozen=True)
class Listed:
    """A model by the provider's own name, as calls name it, and its mode; empty if nothing says so."""

    name: str
    mode: str


@dataclass(frozen=True)
class Report:
    """The result of a test that reached the provider."""

    models: tuple[Listed, ...]
    milliseconds: int
    # False: this provider answers, and lists nothing by design. Its models are named by hand.
    lists_models: bool = True


def try_provider(upstream: Upstream, networks: Networks, *, resolve: Resolver | None = None) -> Report:
    """Ask a provider for its models. Changes nothing there; safe to repeat.

    Each question takes at most MOST_SECONDS, and after that time no further page of the list is asked for.

    Raises:
        EgressRefused: we do not connect there.
        ProviderFault: it cannot be used as it stands; the sentence says why.
    """
    dialect, base, began = upstream.spoken, upstream.base_url, monotonic()
    if upstream.credential and (url := key_url_of(dialect, base)):
        ask(upstream, networks, url, resolve=resolve)
    first = models_url_of(dialect, base, version=upstream.api_version)
    # Without a list of its own: whether something answers there, and takes the credential, shows all the same.
    url = first or f"{base.rstrip('/')}/models"
    found: dict[str, Listed] = {}
    milliseconds = -1
    for _page in range(MOST_PAGES):
        try:
            answer = ask(upstream, networks, url, resolve=resolve)
        except ProviderFault as fault:
            if _is_no_list(fault, upstream, has_list=bool(first)):
                return Report((), max(milliseconds, fault.milliseconds), lists_models=False)
            raise
        if milliseconds < 0:
            milliseconds = answer.milliseconds
        if not first:
            return Report((), milliseconds, lists_models=False)
        for listed in _read(answer, upstream):
            found.setdefault(listed.name, listed)
        more = _next_page(answer)
        if not more or len(found) >= MOST_MODELS:
            break
        if monotonic() - began > MOST_SECONDS:
            raise too_slow(MOST_SECONDS)
        url = f"{first}{'&' if '?' in first else '?'}{urlencode({'after_id': more})}"
    return Report(tuple(found.values())[:MOST_MODELS], milliseconds)


def _is_no_list(fault: ProviderFault, upstream: Upstream, *, has_list: bool) -> bool:
    """Whether the fault only says that there is no list of models here, which some providers do not have."""
    if fault.code == "credential" and upstream.is_credential_elsewhere:
        return True
    if fault.code != "not_found":
        return False
    return not has_list or (
        upstream.dialect in _MAY_NOT_LIST and re.search(r"/v\d+$", upstream.base_url.rstrip("/")) is not None
    )


def _read(answer: Answer, upstream: Upstream) -> list[Listed]:
    document, member = answer.document, upstream.spoken.models_member
    entries = document.get(member) if isinstance(document, dict) and member else document
    if not isinstance(entries, list):
        raise ProviderFault(
            "not_a_list",
            gettext_noop("It answers in JSON, but without a list of models. Is %(url)s the right base URL?"),
            url=upstream.base_url,
        )
    listed = [_listed(entry, upstream) for entry in entries if isinstance(entry, dict)]
    return [one for one in listed if one is not None]


def _listed(entry: dict[str, Any], upstream: Upstream) -> Listed | None:
    """One entry; None for a name that nobody could call, is no line of text, or repeats the credential to us."""
    name = entry.get("id", entry.get("name"))
    if not isinstance(name, str):
        return None
    name = upstream.spoken.model_name(name)
    if not name or len(name) > LONGEST_NAME or not name.isascii() or not name.isprintable() or " " in name:
        return None
    if len(upstream.credential) >= _SHORTEST_KEY and upstream.credential.lower() in name.lower():
        return None
    return Listed(name, _mode_of(name, entry))


def _mode_of(name: str, entry: dict[str, Any]) -> str:
    for pattern, mode in _MODES:
        if pattern.search(name):
            return mode
    capabilities = entry.get("capabilities")
    if isinstance(capabilities, dict):
        for word, mode in _CAPABILITIES.items():
            if capabilities.get(word) is True:
                return mode
    return "chat" if entry.get("type") == "model" else ""


def _next_page(answer: Answer) -> str:
    document = answer.document
    if not isinstance(document, dict) or document.get("has_more") is not True:
        return ""
    last = document.get("last_id")
    return last if isinstance(last, str) and len(last) <= LONGEST_NAME else ""
