"""Sentences of libraries that bring no translation of their own: those of Unfold that Django does not translate."""

from __future__ import annotations

import gettext
from collections.abc import Sequence
from pathlib import Path

import django
import unfold

from core.languages.sources import Identity, Sentence, named_sentences

# Parts of Unfold that we do not show: other libraries' pages, editors of rich text, Django's own sign-in.
_NOT_SHOWN = {
    "constance", "forms", "guardian", "hijack", "import_export", "location_field", "registration", "simple_history",
}  # fmt: skip
_DJANGO = (
    "conf",
    "contrib/admin",
    "contrib/auth",
    "contrib/contenttypes",
    "contrib/humanize",
    "contrib/postgres",
)


def library_sentences(languages: Sequence[str]) -> list[Sentence]:
    """What our pages show of Unfold, without what Django translates to all of these languages."""
    folder = Path(unfold.__file__).parent
    files = [*sorted(folder.rglob("*.html")), *sorted(folder.rglob("*.py"))]
    translated = set.intersection(*(_translated_by_django(language) for language in languages))
    return [
        one
        for path in files
        if not _NOT_SHOWN & set(path.parts)
        for one in named_sentences(path, f"unfold/{path.relative_to(folder).as_posix()}")
        if one.identity not in translated
    ]


def _translated_by_django(language: str) -> set[Identity]:
    folder = Path(django.__file__).parent
    found: set[Identity] = set()
    for part in _DJANGO:
        path = folder / part / "locale" / language / "LC_MESSAGES" / "django.mo"
        if path.exists():
            with path.open("rb") as file:
                found |= {_identity(key) for key in gettext.GNUTranslations(file)._catalog}  # type: ignore[attr-defined]
    return found


def _identity(key: str | tuple[str, int]) -> Identity:
    """What a `.mo` file calls a sentence: its context before a byte 4; the form of a plural beside it."""
    context, found, text = (key if isinstance(key, str) else key[0]).rpartition("\x04")
    return (context if found else None), text
