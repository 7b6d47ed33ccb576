"""Readers of cards: descriptions of models in YAML, as Kubeflow's catalog and Hugging Face's model cards have them.

A card states facts: licence, languages, what the model is for. It is an offer without provider and without prices.
YAML is read as text throughout (`no` stays "no"), without anchors, and not deeper than MOST_DEEP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

import yaml
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from catalog.model_facts import FACTS, LONGEST_DESCRIPTION
from catalog.price_map import reasons
from catalog.price_map.entries import digest_of
from catalog.price_map.names import maker_of, read_key
from catalog.price_map.reading import LONGEST_KEY, ReadFile, ReadOffer, Refused, UnreadableFile
from core.names import clean_name, is_seen, read_prose

MOST_DEEP: Final = 20
# Of the part of a card that is YAML.
LONGEST_FRONT: Final = 200_000
_FRONT: Final = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
# What Hugging Face calls tasks, and we kinds of models.
_MODES: Final = {
    "automatic-speech-recognition": "audio_transcription",
    "any-to-any": "chat",
    "audio-text-to-text": "chat",
    "conversational": "chat",
    "feature-extraction": "embedding",
    "image-text-to-text": "chat",
    "sentence-similarity": "embedding",
    "text-embedding": "embedding",
    "text-generation": "chat",
    "text-ranking": "rerank",
    "text-to-image": "image_generation",
    "text-to-speech": "audio_speech",
    "text-to-video": "video_generation",
    "text2text-generation": "chat",
    "video-text-to-text": "chat",
}


class _Cards(yaml.BaseLoader):
    """YAML as text, lists and mappings, without what makes small files large or one name two things."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise Refused(reasons.ANCHORS())
        self.depth += 1
        if self.depth > MOST_DEEP:
            raise Refused(reasons.TOO_DEEP(most=MOST_DEEP))
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise Refused(reasons.REPEATED_NAMES(names=", ".join(twice[:10])))
        if len(names) < len(node.value):
            raise Refused(reasons.NO_OBJECT())
        return super().construct_mapping(node, deep)


def read_kubeflow(files: Mapping[str, str]) -> ReadFile:
    """Read catalogs of Kubeflow: YAML with a list `models`. A file that is none is refused by its path.

    Raises UnreadableFile if there is no such file.
    """
    result = ReadFile()
    for path, text in files.items():
        if path and not path.lower().endswith((".yaml", ".yml")):
            continue
        try:
            document = _yaml(text)
            models = document.get("models") if isinstance(document, dict) else None
            if not isinstance(models, list):
                raise Refused(reasons.NO_MODELS())
        except Refused as reason:
            result.refuse(path or "YAML", str(reason))
            continue
        for entry in models:
            name = entry.get("name") if isinstance(entry, dict) else None
            result.add(name if isinstance(name, str) else "?", partial(_of_kubeflow, entry))
    return _checked(result)


def read_model_cards(files: Mapping[str, str]) -> ReadFile:
    """Read model cards: Markdown that begins with YAML. Its folder names the model (`org/name/README.md`).

    A card without a folder names it in `model_name` or in `model-index`. Raises UnreadableFile if there is no card.
    """
    result = ReadFile()
    for path, text in files.items():
        if not path or path.lower().endswith(".md"):
            result.add(_folder(path) or "README.md", partial(_of_card, path, text))
    return _checked(result)


def _checked(result: ReadFile) -> ReadFile:
    if not result.offers and not result.refused:
        raise UnreadableFile(_("The file has no cards."))
    seen: set[str] = set()
    kept = []
    for offer in result.offers:
        if offer.source_key in seen:
            result.refuse(offer.source_key, reasons.REPEATED())
        else:
            kept.append(offer)
        seen.add(offer.source_key)
    result.offers = [offer for offer in kept if offer.source_key not in result.refused]
    return result


def _yaml(text: str) -> Any:
    """Raises Refused for what is no YAML, or YAML of a kind that cards do not need."""
    try:
        return yaml.load(text, Loader=_Cards)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(reasons.NO_YAML()) from error


def _folder(path: str) -> str:
    parts = PurePosixPath(path).parent.parts
    return "/".join(part for part in parts[-2:] if part not in (".", "..", "/"))


def _of_kubeflow(entry: object) -> ReadOffer:
    if not isinstance(entry, dict):
        raise Refused(reasons.NO_OBJECT())
    tasks = entry.get("tasks")
    return _card(
        _line(entry, "name", LONGEST_KEY),
        entry,
        maker=_line(entry, "provider", 80),
        facts={
            "description": _prose(entry, "description"),
            "mode": _mode(tasks if isinstance(tasks, list) else []),
            "licence": _line(entry, "license", 80),
            "licence_url": _address(entry, "licenseLink"),
            "languages": _languages(entry.get("language")),
        },
    )


def _of_card(path: str, text: str) -> ReadOffer:
    front = _FRONT.match(text)
    if front is None or len(front[1]) > LONGEST_FRONT:
        raise Refused(reasons.NO_FRONT())
    entry = _yaml(front[1])
    if not isinstance(entry, dict):
        raise Refused(reasons.NO_OBJECT())
    index = entry.get("model-index")
    first = index[0] if isinstance(index, list) and index and isinstance(index[0], dict) else {}
    named = entry.get("model_name") or first.get("name") or ""
    licence = _line(entry, "license", 80)
    return _card(
        _folder(path) or (named if isinstance(named, str) else ""),
        entry,
        maker="",
        facts={
            "mode": _mode([entry.get("pipeline_tag")]),
            "licence": _line(entry, "license_name", 80) or licence if licence == "other" else licence,
            "licence_url": _address(entry, "license_link"),
            "languages": _languages(entry.get("language")),
        },
    )


def _card(key: str, entry: Mapping[str, Any], *, maker: str, facts: dict[str, Any]) -> ReadOffer:
    if not key.strip() or len(key) > LONGEST_KEY:
        raise Refused(reasons.NAME_LENGTH(most=LONGEST_KEY))
    if not is_seen(key):
        raise Refused(reasons.UNSEEN_NAME())
    place = read_key(key, "")
    if place is None:
        raise Refused(reasons.NO_PUBLIC_NAME())
    facts = {"maker": place.maker or maker_of(place.name) or maker} | facts
    return ReadOffer(
        source_key=key,
        name=place.name,
        provider="",
        region="",
        prices={},
        facts={fact: value for fact, value in facts.items() if value not in (None, "", [])},
        source_url="",
        deprecation_date=None,
        digest=digest_of(dict(entry)),
    )


def _line(entry: Mapping[str, Any], name: str, longest: int) -> str:
    said = entry.get(name) or ""
    # Several licences are a list.
    if isinstance(said, list) and all(isinstance(one, str) for one in said):
        said = ", ".join(said)
    if not isinstance(said, str):
        raise Refused(reasons.NO_TEXT(name=name))
    return said if name == "name" else clean_name(said, longest)


def _prose(entry: Mapping[str, Any], name: str) -> str:
    said = entry.get(name) or ""
    if not isinstance(said, str):
        raise Refused(reasons.NO_TEXT(name=name))
    try:
        return read_prose(said[:LONGEST_DESCRIPTION])
    except ValidationError as error:
        raise Refused(reasons.UNSEEN(name=name)) from error


def _address(entry: Mapping[str, Any], name: str) -> str:
    """The address of a page; empty for what is none, such as the name of a file."""
    said = entry.get(name) or ""
    try:
        is_page = isinstance(said, str) and said.startswith(("https://", "http://"))
        return str(FACTS["licence_url"].clean(said)) if is_page else ""
    except ValidationError:
        return ""


def _languages(said: object) -> list[str]:
    tags = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    return sorted({tag for tag in tags if isinstance(tag, str) and _LANGUAGE.fullmatch(tag)})[:60]


def _mode(tasks: list[Any]) -> str:
    return next((_MODES[task] for task in tasks if isinstance(task, str) and task in _MODES), "unknown")
