"""Words for people, joined with the punctuation of the reader's language."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import pgettext


def listed(words: Iterable[object]) -> str:
    """Several words in a row: "cost, security"; empty for none."""
    return pgettext("between two of a list", ", ").join(str(word) for word in words)


def named(name: object, value: object) -> str:
    """A value after its name: "Tokens a day: 40,000"."""
    colon = pgettext("after the name of a field", ": ")
    return f"{name}{colon}{value}"
