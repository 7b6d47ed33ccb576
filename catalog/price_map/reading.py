"""What readers of all formats share: what they make of a file, why they refuse an entry, JSON as people write it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _

from core.names import clean_name

LONGEST_KEY: Final = 200
# Maximum length of the reason for a rejected entry.
LONGEST_REASON: Final = 500
# Of one file, unpacked. The price map has 2 MB.
MOST_BYTES: Final = 50_000_000
MOST_ENTRIES: Final = 50_000
# A string, which stays; or a comment, or a comma before a closing bracket, which people write and JSON does not have.
# One that does not end matches, too, as far as it goes: looking for its end again from each next place takes hours.
_STRING: Final = r'"(?:[^"\\\n]|\\.)*+"?+'
_COMMENT: Final = re.compile(_STRING + r"|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?+")
_COMMA: Final = re.compile(_STRING + r"|,(?=\s*+[}\]])")


@dataclass(frozen=True)
class ReadOffer:
    """The content of one entry, under our names. `prices` are strings: US dollars per million of a token kind."""

    source_key: str
    name: str
    provider: str
    region: str
    prices: dict[str, str]
    facts: dict[str, Any]
    source_url: str
    deprecation_date: date | None
    digest: str


@dataclass
class ReadFile:
    """A whole file: its offers, and the reason for each refused or ignored key."""

    offers: list[ReadOffer] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    # SHA-256 of what was read.
    digest: str = ""

    def add(self, key: str, read: Callable[[], ReadOffer]) -> None:
        """Add what `read` returns, or the reason why it refuses the entry. Raises UnreadableFile for too many."""
        if len(self.offers) + len(self.refused) >= MOST_ENTRIES:
            raise UnreadableFile(_("The file has more than %(most)d entries.") % {"most": MOST_ENTRIES})
        try:
            self.offers.append(read())
        except Refused as reason:
            self.refuse(key, str(reason))

    def refuse(self, key: str, reason: str) -> None:
        """Note why an entry cannot be read."""
        self.refused[clean_name(key, LONGEST_KEY)] = clean_name(reason, LONGEST_REASON)


class Refused(ValueError):
    """An entry cannot be read. The message is the end of a sentence that begins with its key."""


class UnreadableFile(ValueError):
    """The file is not of its format at all."""


class JsonObject(dict[str, Any]):
    """A JSON object that remembers which of its names occurred more than once."""

    repeated: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    made = JsonObject(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        made.repeated = frozenset(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return made


def read_json(text: str) -> Any:
    """A document with exact numbers; with comments and trailing commas, too, if it is no JSON otherwise.

    Raises UnreadableFile.
    """
    text = text.removeprefix("\ufeff")
    try:
        return _loads(text)
    except ValueError as error:
        try:
            return _loads(_COMMA.sub(_string_or(""), _COMMENT.sub(_string_or(" "), text)))
        except (ValueError, RecursionError):
            raise UnreadableFile(_("The file is not JSON: %(error)s.") % {"error": error}) from error
    except RecursionError as error:
        raise UnreadableFile(_("The file is not JSON: %(error)s.") % {"error": error}) from error
    except ArithmeticError as error:
        raise UnreadableFile(_("The file has a number that is too large.")) from error


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, object_pairs_hook=_object, parse_constant=str)


def _string_or(other: str) -> Callable[[re.Match[str]], str]:
    return lambda found: found[0] if found[0].startswith('"') else other
