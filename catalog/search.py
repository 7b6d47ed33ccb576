"""How the catalog is searched: by the beginnings of words, in any order, however a name is punctuated.

PostgreSQL's own text parsers read `gpt-4o` and `3.3-70b` as hyphenated words and signed numbers, so both
sides are cut into words here. A model is found by each word of its name, title, maker and providers; by
those words cut again where letters meet digits (`qwen3` is also `qwen`); and by its name without
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
    """The words by which a model is found, as a tsvector; immutable, so that PostgreSQL keeps it with the row."""

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
    """Whether a row's words satisfy a query written by `prefix_query`."""

    arg_joiner = " @@ "
    template = "%(expressions)s::tsquery"
    output_field = BooleanField()

    def __init__(self, query: str, **extra: Any) -> None:
        super().__init__("search", Value(query), **extra)


def prefix_query(words: str) -> str | None:
    """A tsquery that wants every word (the first eight), each as a beginning. None if there is no word."""
    wanted = []
    for word in re.findall(r"[a-z0-9]+(?:\.[a-z0-9]+)*", words.lower())[:MOST_WORDS]:
        word = word[:LONGEST_WORD]
        ways = [f"'{word}':*"]
        parts = re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([0-9])", r"\1 \2", word))
        if len(parts) > 1:
            ways.append(" & ".join(f"'{part}':*" for part in parts))
        wanted.append("(" + " | ".join(f"({way})" for way in ways) + ")")
    return " & ".join(wanted) or None
