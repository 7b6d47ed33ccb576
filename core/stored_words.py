"""Sentences that are stored are in English: somebody else reads them, in a language that nobody knows yet.

Pages say them again in the language of their reader (`retold`). For this, each app declares its sentences, with named
places, in `stored_sentences.py`. A declared sentence is its own code: what is stored is the sentence with its places
filled in, so that the API, mail and the audit log keep one text, and `retold` finds sentence and places again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

_PLACE: Final = re.compile(r"%\((\w+)\)s")
# A sentence may hold another one, as the reason in it; deeper is nothing of ours.
_DEEPEST: Final = 3
# In one text. What people wrote themselves is longer, not ours.
_MOST: Final = 20
# After a sentence.
_END: Final = r"(?=\s|$)"
# Ends of sentences that no space follows.
_FULL_WIDTH: Final = ("。", "！", "？", "）")


def in_english() -> AbstractContextManager[None]:
    """Until the end of the block, translations give the words of the source, whoever acts."""
    return translation.override(settings.LANGUAGE_CODE)


class StoredSentence:
    """A sentence that is stored in English. Called with its places, it gives the text to store."""

    def __init__(self, source: str, **say: Callable[[str], object]) -> None:
        """Declare a sentence.

        Args:
            source: the sentence, marked by `gettext_noop`.
            say: how the word in a place is said, such as the label of a role; others are said as they are.
        """
        self.source, self.say = source, say
        self._pattern = _pattern(source)
        _DECLARED.append(self)
        # The more of a sentence is fixed, the surer it is.
        _DECLARED.sort(key=lambda one: -len(_PLACE.sub("", one.source)))

    def __call__(self, **places: object) -> str:
        """The text to store. Raises KeyError if a place is not filled."""
        return self.source % places

    def found_at_start(self, text: str) -> tuple[Mapping[str, str], str] | None:
        """The places and the rest of a text that begins with this sentence; None if it does not."""
        match = self._pattern.match(text)
        return (match.groupdict(), text[match.end() :].lstrip()) if match else None


_DECLARED: Final[list[StoredSentence]] = []


def retold(text: str) -> str:
    """A stored text in the current language: sentence after sentence, up to the first that is not declared.

    What people wrote themselves, and what is cut off or of a former release, stays as it is.
    """
    if not text or translation.get_language() in (None, settings.LANGUAGE_CODE):
        return text
    return _retold(text, depth=0)


def _retold(text: str, depth: int) -> str:
    said: list[str] = []
    rest = text
    while rest:
        for sentence in _DECLARED:
            if depth < _DEEPEST and len(said) < _MOST and (found := sentence.found_at_start(rest)):
                places, rest = found
                words = {
                    name: str(sentence.say[name](word)) if name in sentence.say else _retold(word, depth + 1)
                    for name, word in places.items()
                }
                said.append(gettext(sentence.source) % words)
                break
        else:
            said.append(rest)
            break
    joined = ""
    for part in said:
        joined += part if joined.endswith(_FULL_WIDTH) or not joined else f" {part}"
    return joined


def _pattern(source: str) -> re.Pattern[str]:
    parts = _PLACE.split(source)
    # Fixed text and names of places by turns. A place at the end takes all that follows; one at the beginning is one
    # word, an address, or sentences of people that end alike would be taken for ours.
    pattern = re.escape(parts[0])
    names, fixed_parts = parts[1::2], parts[2::2]
    may_go_back = len(set(names)) < len(names)
    for number, (name, fixed) in enumerate(zip(names, fixed_parts, strict=True), start=1):
        word = r"\S+" if not pattern else ".+?" if fixed else ".+"
        place = f"(?P={name})" if f"(?P<{name}>" in pattern else f"(?P<{name}>{word})"
        place += re.escape(fixed) + (_END if number == len(names) else "")
        # The first place that fits is final: going back would find no more, and take as long as a person who writes
        # fixed words by the hundred likes.
        pattern += f"(?>{place})" if word == ".+?" and not may_go_back else place
    return re.compile(pattern if names else pattern + _END, re.DOTALL)
