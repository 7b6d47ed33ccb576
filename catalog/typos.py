"""One typo in a search: a letter too many, missing, wrong, or two swapped, as in `gtp-4o` for `gpt-4o`.

The index of words answers: the search is asked again with every word that is one typo away in place of each word, all
at once. There is no list of words to keep, and only words of models in the given queryset are ever suggested. Digits
are never changed, because another version is another model.
"""

from __future__ import annotations

import re
from collections import Counter
from string import ascii_lowercase
from typing import Any, Final

from django.contrib.postgres.fields import ArrayField
from django.db.models import F, Func, TextField

from catalog.querysets import CatalogModelQuerySet
from catalog.search import FoundBy, wanted_by
from catalog.search_terms import CHINESE

SHORTEST, LONGEST = 3, 20
# The first words of a search; each costs about 55 words per letter.
MOST_WORDS = 5
# Matches among which the likeliest correction is counted, and corrections that are tried.
MOST_MATCHES, MOST_TRIED = 200, 3
_WORD: Final = re.compile(rf"[a-z]+|[0-9]+(?:\.[0-9]+)*[a-z]*|{CHINESE}+")


def corrected(typed: str, models: CatalogModelQuerySet[Any]) -> str | None:
    """`typed` with one word corrected so that it finds some of `models`; None if no single correction does.

    Ask it only if `typed` itself finds nothing. At most five queries, each by the index.
    """
    words = list(_WORD.finditer(typed.lower()))[:MOST_WORDS]
    tried = {place: nearby(found[0]) for place, found in enumerate(words)}
    ways = [
        " & ".join(
            "(" + " | ".join(f"'{one}'" for one in sorted(tried[place])) + ")"
            if place == wrong
            else wanted_by(other[0])
            for place, other in enumerate(words)
        )
        for wrong in tried
        if tried[wrong]
    ]
    if not ways:
        return None
    lexemes = Func(F("search"), function="tsvector_to_array", output_field=ArrayField(TextField()))
    matches = models.filter(FoundBy(" | ".join(f"({way})" for way in ways))).order_by("-offer_count", "name")
    counts: Counter[tuple[int, str]] = Counter()
    for row in matches.values_list(lexemes, flat=True)[:MOST_MATCHES]:
        counts.update((place, word) for place, near in tried.items() for word in near.intersection(row))
    for (place, word), _count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MOST_TRIED]:
        start, end = words[place].span()
        candidate = typed[:start] + word + typed[end:]
        if models.search(candidate).exists():
            return candidate
    return None


def nearby(word: str) -> set[str]:
    """Every word one typo away from `word` (optimal string alignment) with the same digits.

    Empty for words too short to tell, numbers, and Chinese.
    """
    if not SHORTEST <= len(word) <= LONGEST or not re.search("[a-z]", word):
        return set()
    splits = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    missing = {left + right[1:] for left, right in splits if right and not right[0].isdigit()}
    swapped = {left + right[1] + right[0] + right[2:] for left, right in splits if len(right) > 1}
    wrong = {
        left + letter + right[1:]
        for left, right in splits
        if right and right[0] in ascii_lowercase
        for letter in ascii_lowercase
    }
    added = {left + letter + right for left, right in splits for letter in ascii_lowercase}
    digits = re.sub("[^0-9]", "", word)
    return {one for one in missing | swapped | wrong | added if re.sub("[^0-9]", "", one) == digits} - {word}
