"""Searching the catalog by the beginnings of words, in any order, whatever the punctuation of a name.

PostgreSQL's own text parsers read `gpt-4o` and `3.3-70b` as hyphenated words and signed numbers, so this module
splits both sides into words. A search finds a model by each word of its name, title, maker, providers, kind and
capabilities; by those words split again between letters and digits (`qwen3` is also `qwen`); and by its name without
punctuation (`gpt4o`). Chinese has no spaces: both sides split it into pairs of characters. Words of the console in any
language that mean a kind, a capability or a maker find those, too (`catalog/search_terms.py`).
"""

from __future__ import annotations

import re
from typing import Any, Final

from django.contrib.postgres.search import SearchVectorField
from django.db.models import BooleanField, Func, Value

from catalog.search_terms import CHINESE, TERMS

MOST_WORDS = 8
LONGEST_WORD = 60
_WORD: Final = re.compile(rf"[a-z0-9]+(?:\.[a-z0-9]+)*|{CHINESE}+")
# Says nothing about a model, and people add it: "对话模型", "大模型", "的模型".
_FILLER: Final = re.compile("大模型|模型|的")


class ModelWords(Func):
    """The searchable words of a model, as a tsvector. The function is ours, and immutable: stored with the row."""

    function = "catalog_model_words"
    output_field = SearchVectorField()


class TrueFlags(Func):
    """The names of the flags in a JSON object that are true, as an array. Ours, and immutable, too."""

    function = "catalog_true_flags"


class Places(Func):
    """Regions and the larger ones in which they lie, as an array. Ours, and immutable, too."""

    function = "catalog_places"


class FoundBy(Func):
    """True if a row's words match a query from `prefix_query`."""

    arg_joiner = " @@ "
    template = "%(expressions)s::tsquery"
    output_field = BooleanField()

    def __init__(self, query: str, **extra: Any) -> None:
        super().__init__("search", Value(query), **extra)


def words_of(typed: str) -> list[re.Match[str]]:
    """The first eight words of a search, in lower case, with their places in `typed.lower()`."""
    return list(_WORD.finditer(typed.lower()))[:MOST_WORDS]


def prefix_query(typed: str) -> str | None:
    """A tsquery that requires every word (of the first eight) as the beginning of a word. None without words."""
    return " & ".join(wanted_by(found[0]) for found in words_of(typed)) or None


def wanted_by(word: str) -> str:
    """The tsquery that one word of a search stands for, in brackets."""
    word = word[:LONGEST_WORD]
    ways = _chinese_ways(word) if re.match(CHINESE, word) else _latin_ways(word)
    return "(" + " | ".join(f"({way})" for way in ways) + ")"


def _latin_ways(word: str) -> list[str]:
    ways = [f"'{word}':*"]
    parts = re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([0-9])", r"\1 \2", word))
    if len(parts) > 1:
        ways.append(" & ".join(f"'{part}':*" for part in parts))
    return ways + list(TERMS.meant_by_word(word))


def _chinese_ways(run: str) -> list[str]:
    """A run of Chinese as written, and as the known terms that it consists of: "对话模型" is "对话"."""
    ways = [_pairs(run)]
    meanings: list[str] = []
    for piece in filter(None, _FILLER.split(run)):
        while piece:
            term, meant = TERMS.at_the_beginning_of(piece)
            # What is no term is looked for as written.
            meanings.append(f"({meant or _pairs(piece)})")
            piece = piece[len(term) :] if term else ""
    if meanings:
        ways.append(" & ".join(meanings))
    return ways


def _pairs(run: str) -> str:
    pairs = [run[at : at + 2] for at in range(len(run) - 1)] or [run]
    return " & ".join(f"'{pair}':*" for pair in pairs)
