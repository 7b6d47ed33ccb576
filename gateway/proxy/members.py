"""JSON objects with repeated names.

Readers differ in which of the values they use, so no value is evidence by itself. This module keeps all of them.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

# A name with an escaped letter, digit or sign, which a search for the name would miss.
_ESCAPED_NAME = re.compile(rb'"\w*+\\u00[2-7][0-9a-fA-F](?:\w|\\u00[2-7][0-9a-fA-F])*+"\s*:')


class Repeated(dict[str, Any]):
    """An object with the last value of each name; `earlier` has the previous values that differ."""

    earlier: list[tuple[str, Any]]


def parse_all(data: bytes) -> Any:
    """Parse JSON as servers write it, keeping every member. Raises ValueError."""
    try:
        return _ALL.decode(data.decode(errors="replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def integer(digits: str) -> int | float:
    """A whole number. One larger than any count becomes a float, which is faster to parse."""
    return int(digits) if len(digits) < 20 else float(digits)


def is_any_name_escaped(data: bytes) -> bool:
    """Whether JSON has a name that contains an escape."""
    return data.find(b"\\u00") >= 0 and _ESCAPED_NAME.search(data) is not None


def values_of(place: dict[str, Any], name: str) -> list[Any]:
    """All values of a name; a single None if there are none."""
    values = [place.get(name)]
    if isinstance(place, Repeated):
        values += [value for earlier, value in place.earlier if earlier == name]
    return values


def members_of(place: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """All names with their values, repeated ones each time they appear."""
    yield from place.items()
    if isinstance(place, Repeated):
        yield from place.earlier


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object made of these members; Repeated if a name has different values."""
    whole = dict(pairs)
    if len(whole) == len(pairs):
        return whole
    earlier = [(name, value) for name, value in pairs if not _is_same(value, whole[name])]
    if not earlier:
        return whole
    repeated = Repeated(whole)
    repeated.earlier = earlier
    return repeated


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


class RepeatedName(Exception):
    """An object has two members of one name."""


def _object_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise RepeatedName
    return whole


# Raises RepeatedName instead of choosing one of the values.
ONCE = json.JSONDecoder(parse_int=integer, object_pairs_hook=_object_once)
_ALL = json.JSONDecoder(parse_int=integer, object_pairs_hook=object_of)
