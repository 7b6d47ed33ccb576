"""Searching the catalog by the beginnings of words, in any order, whatever the punctuation of a name.

PostgreSQL's own text parsers read `gpt-4o` and `3.3-70b` as hyphenated words and signed numbers, so this module
splits both sides into words. A search finds a model by each word of its name, title, maker and providers; by
those words split again between letters and digits (`qwen3` is also `qwen`); and by its name without
punctuation (`gpt4o`).
"""

from __future__ import annotations

import re
from typing import Any

from django.contrib.postgres.search import SearchVectorField
from django.db.models import BooleanField, Func, Value

MOST_WORDS = 8
LONGEST_WORD = 60


class SearchLexemes(Func):
    """The searchable words of a model, as a tsvector. Immutable, so that PostgreSQL can store it with the row."""

    arg_joiner = " || ' ' || "
    output_field = SearchVectorField()
    template = (
        "array_to_tsvector(array_remove("
        "regexp_split_to_array(lower(%(expressions)s), '[^a-z0-9.]+') || "
        "regexp_split_to_array(regexp_replace("
        "lower(%(expressions)s), '([a-z])([0-9])', '\\1 \\2', 'g'), '[^a-z0-9]+') || "
        "regexp_replace(lower(name), '[^a-z0-9]', '', 'g'), ''))"
    )


class FoundBy(Func):
    """True if a row's words match a query from `prefix_query`."""

    arg_joiner = " @@ "
    template = "%(expressions)s::tsquery"
    output_field = BooleanField()

    def __init__(self, query: str, **extra: Any) -> None:
        super().__init__("search", Value(query), **extra)


def prefix_query(words: str) -> str | None:
    """A tsquery that requires every word (of the first eight) as the beginning of a word. None without words."""
    wanted = []
    for word in re.findall(r"[a-z0-9]+(?:\.[a-z0-9]+)*", words.lower())[:MOST_WORDS]:
        word = word[:LONGEST_WORD]
        ways = [f"'{word}':*"]
        parts = re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([0-9])", r"\1 \2", word))
        if len(parts) > 1:
            ways.append(" & ".join(f"'{part}':*" for part in parts))
        wanted.append("(" + " | ".join(f"({way})" for way in ways) + ")")
    return " & ".join(wanted) or None
