"""What a person looks for in the catalog: the content of the URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from django.http import QueryDict

from catalog.facets import FACETS
from catalog.mix import Mix

MOST_CHOSEN = 40  # values of one facet
MOST_COMPARED: Final = 4
SORTS: Final = ("recommended", "price", "context", "newest", "name")
# Parts of a selection that the URL leaves out if they have this value.
_STANDARDS = {
    "sort": "recommended",
    "view": "cards",
    "project": "",
    "typed": "",
    "input": None,
    "cached": None,
}


@dataclass(frozen=True)
class Selection:
    """Words, chosen facet values, sort, view, project and mix of tokens."""

    query: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sort: str = "recommended"
    view: str = "cards"
    project: str = ""
    # "1": search for the words as they were typed, without correcting a typo.
    typed: str = ""
    # The parts of the mix that the person chose, in whole percents; None: those of their own calls.
    input: int | None = None
    cached: int | None = None
    # Names of the models chosen for comparing.
    compare: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: QueryDict) -> Selection:
        """The selection in the address of a page. Unknown and unreadable parts count as left out."""
        sort = given.get("sort", "recommended")
        return cls(
            query=given.get("q", "").replace("\0", "").strip()[:200],
            chosen={key: values for key in FACETS if (values := _readable(key, given.getlist(key)))},
            sort=sort if sort in SORTS else "recommended",
            view="table" if given.get("view") == "table" else "cards",
            project=given.get("project", "").replace("\0", "")[:60],
            typed="1" if given.get("typed") else "",
            input=percent(given.get("input", "")),
            cached=percent(given.get("cached", "")),
            compare=names_in(given.getlist("compare")),
        )

    def url(self, **page: str) -> str:
        """The query string of this selection, beginning with "?"; `page` may name a cursor."""
        pairs = [("q", self.query)] if self.query else []
        pairs += [(key, value) for key in FACETS for value in self.chosen.get(key, ())]
        pairs += [
            (name, getattr(self, name)) for name, usual in _STANDARDS.items() if getattr(self, name) != usual
        ]
        pairs += [("compare", name) for name in self.compare]
        pairs += [(name, value) for name, value in page.items() if value]
        return "?" + urlencode(pairs)

    def with_value(self, key: str, value: str, *, wanted: bool) -> Selection:
        others = () if FACETS[key].is_single else tuple(v for v in self.chosen.get(key, ()) if v != value)
        return self.but(chosen={**self.chosen, key: others + ((value,) if wanted else ())})

    def without(self, key: str) -> Selection:
        """The same without any value of a facet, or without the words if `key` is "q"."""
        if key == "q":
            return self.but(query="")
        return self.but(chosen={name: values for name, values in self.chosen.items() if name != key})

    def cleared(self) -> Selection:
        """The same view and order of all models."""
        return self.but(query="", chosen={}, typed="")

    def without_compared(self, name: str) -> Selection:
        return self.but(compare=tuple(one for one in self.compare if one != name))

    def compare_url(self) -> str:
        """The query string of the page that compares the chosen models."""
        pairs = [("model", name) for name in self.compare]
        pairs += [(name, str(getattr(self, name))) for name in ("project", "input", "cached")]
        return "?" + urlencode([(name, value) for name, value in pairs if value not in ("", "None")])

    def mix(self, own: Mix) -> Mix:
        """The mix to compare prices by: `own`, with the parts that the person chose."""
        if self.input is None and self.cached is None:
            return own
        return Mix(
            own.input if self.input is None else self.input,
            own.cached if self.cached is None else self.cached,
        )

    def but(self, **changes: Any) -> Selection:
        return Selection(**{**vars(self), **changes})


def _readable(key: str, values: list[str]) -> tuple[str, ...]:
    """The values without duplicates, limited to a number that a person would select, so the query stays short."""
    cleaned = dict.fromkeys(v[:60] for v in values if v and "\0" not in v)
    return tuple(cleaned)[: 1 if FACETS[key].is_single else MOST_CHOSEN]


def names_in(values: list[str]) -> tuple[str, ...]:
    """The first four different names of models."""
    return tuple(dict.fromkeys(v[:120] for v in values if v and "\0" not in v))[:MOST_COMPARED]


def percent(said: str) -> int | None:
    return int(said) if said.isascii() and said.isdigit() and len(said) <= 3 and int(said) <= 100 else None
