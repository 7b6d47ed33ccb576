"""Which files belong to which catalog, and the sentences in them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from babel.messages.extract import extract
from django.utils.translation.template import templatize

from core.languages.files import APPS, COMMON, ROOMS, ROOT

# Folders of templates that are not named after their app.
_FOLDERS = {"registration": "accounts"}
# Programs without Django: what they say is for engineers, and English.
_WITHOUT_DJANGO = ("gateway/proxy", "gateway/contract", "gateway/litellm_plugin")
_KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
# A comment of this beginning, on the line above, is for the translator.
_COMMENTS = ("Translators:",)

# One sentence as a catalog knows it: its context or None, and the text or (singular, plural).
Text = str | tuple[str, str]
Identity = tuple[str | None, str]


@dataclass
class Sentence:
    """A sentence that people read, and where it is written."""

    context: str | None
    text: Text
    files: set[str] = field(default_factory=set)
    comments: list[str] = field(default_factory=list)
    is_format: bool = False

    @property
    def identity(self) -> Identity:
        """What `gettext` looks for."""
        return identity(self.context, self.text)


def identity(context: str | None, text: Text) -> Identity:
    """What `gettext` looks for: the context and the singular."""
    return context, text if isinstance(text, str) else text[0]


def python_files(root: Path) -> Iterator[Path]:
    """Our modules with sentences for people."""
    for app in (*APPS, "core", "config"):
        for path in sorted((root / app).rglob("*.py")):
            if not str(path.relative_to(root)).startswith(_WITHOUT_DJANGO):
                yield path


def templates(root: Path) -> Iterator[Path]:
    """Our templates."""
    yield from sorted((root / "templates").rglob("*.*"))
    for app in APPS:
        yield from sorted((root / app / "templates").rglob("*.*"))


def room_of(path: Path) -> str:
    """The app whose catalog has the sentences of this file, or COMMON. The path is relative."""
    parts = path.parts
    if parts[0] == "templates":
        parts = parts[2:] if parts[1] == "admin" else parts[1:]
    room = _FOLDERS.get(parts[0], parts[0])
    return room if room in APPS else COMMON


def named_sentences(path: Path, name: str) -> list[Sentence]:
    """The sentences of one module or template, which the catalog calls `name`. Raises TemplateSyntaxError."""
    is_python = path.suffix == ".py"
    source = path.read_text(encoding="utf-8")
    code = source if is_python else _template_code(source, path)
    found = []
    for _line, text, comments, context in extract(
        "python",
        io.BytesIO(code.encode()),
        keywords=_KEYWORDS,
        comment_tags=_COMMENTS,
        strip_comment_tags=True,
    ):
        whole: Text = text if isinstance(text, str) else (text[0], text[1])
        found.append(Sentence(context, whole, {name}, list(comments), is_format=_has_placeholders(whole)))
    return found


def gathered(of_libraries: list[Sentence], root: Path = ROOT) -> dict[str, dict[Identity, Sentence]]:
    """All sentences by the room whose catalog has them. What several rooms say is in COMMON, and what libraries say."""
    rooms: dict[Identity, set[str]] = {}
    all_of: dict[Identity, Sentence] = {}
    ours = [
        (room_of(path.relative_to(root)), one)
        for path in (*python_files(root), *templates(root))
        for one in named_sentences(path, path.relative_to(root).as_posix())
    ]
    for room, one in (*ours, *((COMMON, one) for one in of_libraries)):
        rooms.setdefault(one.identity, set()).add(room)
        known = all_of.setdefault(one.identity, one)
        known.files |= one.files
        known.comments = list(dict.fromkeys((*known.comments, *one.comments)))
        if isinstance(known.text, str):
            known.text = one.text
    catalogs: dict[str, dict[Identity, Sentence]] = {room: {} for room in ROOMS}
    for key, sentence in all_of.items():
        (room,) = rooms[key] if len(rooms[key]) == 1 else {COMMON}
        catalogs[room][key] = sentence
    return catalogs


def _template_code(source: str, path: Path) -> str:
    """The template as the words of a program that calls `gettext`, without its indentation, which would be an error."""
    return "\n".join(line.strip() for line in templatize(source, origin=str(path)).splitlines())


def _has_placeholders(text: Text) -> bool:
    return "%(" in (text if isinstance(text, str) else text[0])
