"""What objects are called in stored entries: in English, and said again in the language of the reader.

The audit log keeps what an object was called when something happened to it. Names stay as they are; a sentence
("Ada is owner of Aurora Bank") is declared with its model, once, and serves `__str__` and `retold_label`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from django.conf import settings
from django.utils import translation
from django.utils.functional import Promise, cached_property

from core.stored_words import in_english

_PLACE: Final = re.compile(r"%\((\w+)\)s")
_DECLARED: Final[dict[str, StoredLabel]] = {}


class StoredLabel:
    """How objects of one model are called. Called with its places, it gives the words in the current language."""

    def __init__(self, model: str, sentence: Promise, /, **say: Callable[[str], object]) -> None:
        """Declare how the objects of a model are called.

        Args:
            model: "app.model", in small letters.
            sentence: marked for translation, with named places.
            say: how the stored word in a place is said, such as a role; others are names and stay as they are.
        """
        self.sentence, self.say = sentence, say
        _DECLARED[model] = self

    def __call__(self, **places: object) -> str:
        """The words for one object. Raises KeyError if a place is not filled."""
        return str(self.sentence) % places

    def again(self, stored: str) -> str | None:
        """What was stored in English, in the current language.

        None if it is not of this sentence, or if a name has words of the sentence and nothing tells where it ends.
        """
        found = [match.groupdict() for one in self._patterns if (match := one.fullmatch(stored))]
        if not found:
            return None
        if found[0] != found[-1]:
            found = [places for places in found if self._knows(places)]
            if len(found) != 1:
                return None
        return self(**{name: self.say.get(name, str)(word) for name, word in found[0].items()})

    def _knows(self, places: dict[str, str]) -> bool:
        """Whether the words in all places that have their own way of being said are said otherwise."""
        return bool(self.say) and all(
            str(say(places[name])) != places[name] for name, say in self.say.items()
        )

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        """The sentence with places as long as possible, and as short as possible."""
        with in_english():
            parts = _PLACE.split(str(self.sentence))
        # Fixed text and names of places by turns.
        return [
            re.compile(
                "".join(f"(?P<{part}>{place})" if n % 2 else re.escape(part) for n, part in enumerate(parts)),
                re.DOTALL,
            )
            for place in (".+", ".+?")
        ]


def retold_label(model: str, stored: str) -> str:
    """What an object of `model` ("app.model") was called, in the current language; a name stays as it is."""
    if translation.get_language() in (None, settings.LANGUAGE_CODE) or model not in _DECLARED:
        return stored
    said = _DECLARED[model].again(stored)
    return stored if said is None else said


def of_choices(choices: Callable[[], Sequence[tuple[object, object]]]) -> Callable[[str], object]:
    """For `StoredLabel`: says a choice whose English label was stored, whatever its capitals."""

    def say(word: str) -> object:
        with in_english():
            known = {str(label).lower(): label for _value, label in choices()}
        return known.get(word.lower(), word)

    return say
