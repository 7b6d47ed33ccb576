"""Catalogs on disk: merge what the source says into `.po` files, and build the `.mo` files that Django reads."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from core.languages.files import LANGUAGES, ROOMS, ROOT, catalog_path, stale_catalogs
from core.languages.libraries import library_sentences
from core.languages.sources import Identity, Sentence, Text, gathered, identity

_WIDTH = 120
_HEAD = """\
# `make messages` keeps this file in step with the source. docs/languages.md says how to write in it.
msgid ""
msgstr ""
"Language: {language}\\n"
"Plural-Forms: {plurals}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|%[sd%]|<[^>]*>")


def read_catalog(path: Path, language: str) -> Catalog:
    """A catalog, empty if there is no file."""
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def update(
    root: Path = ROOT, libraries: Callable[[Sequence[str]], list[Sentence]] = library_sentences
) -> dict[str, int]:
    """Write every catalog anew: sentences of today's source, with the translations that are known.

    A sentence that moved to another app keeps its translation. One that nothing says any more goes. Safe to repeat: the
    files change only if the source did. Returns how many sentences lack a translation, by language.
    """
    rooms = gathered(libraries(LANGUAGES), root)
    lacking = {}
    for language in LANGUAGES:
        known = translations(language, root)
        lacking[language] = 0
        for room, found in rooms.items():
            catalog = _catalog_of(found.values(), known, language)
            lacking[language] += sum(not is_translated(one) for one in catalog if one.id)
            write_catalog(catalog, catalog_path(room, language, root))
    return lacking


def translations(language: str, root: Path = ROOT) -> dict[Identity, Message]:
    """Every translated sentence of all catalogs; what a room says wins over the common catalog."""
    known: dict[Identity, Message] = {}
    for room in reversed(ROOMS):
        for one in read_catalog(catalog_path(room, language, root), language):
            if one.id and is_translated(one):
                known[identity_of(one)] = one
    return known


def identity_of(message: Message) -> Identity:
    """What `gettext` looks for."""
    return identity(message.context, texts(message.id)[0])


def texts(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """The forms of a text as Babel has them: one, or those of a plural."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def is_translated(message: Message) -> bool:
    """Whether every form has a text."""
    forms = texts(message.string)
    return bool(forms) and all(forms)


def placeholders(text: str) -> set[str]:
    """What a translation has to keep: names in `%(…)s` and `{…}`, and markup."""
    return set(_PLACEHOLDER.findall(text))


def build(root: Path = ROOT) -> list[Path]:
    """Write the `.mo` file beside each catalog that changed since; returns the catalogs. Raises PoFileError."""
    stale = stale_catalogs(root)
    for path in stale:
        # Another process may read the old one meanwhile, or build, too.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            write_mo(file, read_catalog(path, path.parts[-3]))
        partial.replace(path.with_suffix(".mo"))
    return stale


def _catalog_of(found: Iterable[Sentence], known: dict[Identity, Message], language: str) -> Catalog:
    catalog = Catalog(locale=language, project="Quartermaster", charset="utf-8", fuzzy=False)
    for one in sorted(found, key=lambda each: (sorted(each.files)[0], str(each.text), each.context or "")):
        old = known.get(one.identity)
        catalog.add(
            one.text,
            _string(one.text, old, catalog.num_plurals),
            locations=[(name, 0) for name in sorted(one.files)],
            flags=("python-format",) if one.is_format else (),
            auto_comments=one.comments,
            context=one.context,
        )
    return catalog


def _string(text: Text, old: Message | None, plurals: int) -> str | tuple[str, ...]:
    """The known translation in the form that the sentence needs."""
    forms = texts(old.string if old is not None else None)
    if isinstance(text, str):
        return forms[0] if forms else ""
    return tuple((*forms, *[""] * plurals)[:plurals])


def write_catalog(catalog: Catalog, path: Path) -> None:
    """Write a catalog with a head of our own: Babel's has times, which change with every run."""
    content = io.BytesIO()
    write_po(content, catalog, width=_WIDTH, include_lineno=False, omit_header=True)
    head = _HEAD.format(language=catalog.locale_identifier, plurals=catalog.plural_forms)
    whole = head.encode() + b"\n" + content.getvalue().rstrip() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != whole:
        path.write_bytes(whole)
