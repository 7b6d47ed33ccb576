"""Where the members of a JSON object stand in its bytes, and what their names say."""

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import msgspec

from deployments.engine_controls import LONGEST_NAME
from gateway.proxy.errors import bad_request

MOST_FIELDS = 1000
# Sets of more names than these are not remembered.
MOST_KNOWN_NAMES = 32
# The longest name, in quotation marks, that is remembered.
_LONGEST_KNOWN = 64

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = re.compile(rb"[\s,]*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_TOKEN = re.compile(_STRING + rb"|[\[\]{}]|[^\s\[\]{},\"]+", re.DOTALL)
_AFTER = re.compile(rb"\s*[,}]")
_AT_ONCE_AFTER = b",}"


class Member(NamedTuple):
    """Where one member of an object stands: from `start`, with its value from `value` to `end`."""

    start: int
    value: int
    end: int


class Layout(NamedTuple):
    """What the names of a body's members say. `folds` are the names without differences of case."""

    # Of those that are there once, in any case.
    places: dict[str, int]
    folds: frozenset[str]
    # Each name is there once, in any case.
    is_clear: bool


def layout_of(names: tuple[str, ...]) -> Layout:
    """What these names say. Raises Refusal (400) for a name that is too long, and for too many.

    Clients send the same few names in call after call, so it is remembered for most.
    """
    return _known_layout(names) if len(names) <= MOST_KNOWN_NAMES else _layout(names)


def _layout(names: tuple[str, ...]) -> Layout:
    if len(names) > MOST_FIELDS:
        raise bad_request(f"The body has more than {MOST_FIELDS:,} fields.", code="invalid_json")
    # What raises is not remembered.
    for name in names:
        if len(name) > LONGEST_NAME:
            message = f"The name of a field has more than {LONGEST_NAME} characters: `{name[:40]}…`."
            raise bad_request(message, code="invalid_json")
    folds = Counter(map(str.casefold, names))
    places = {name: place for place, name in enumerate(names) if folds[name.casefold()] == 1}
    return Layout(places, frozenset(folds), len(places) == len(names))


_known_layout = lru_cache(1024)(_layout)


def find_members(
    raw: bytes, values: dict[str, msgspec.Raw], most: int | None
) -> tuple[tuple[str, ...], list[Member]]:
    """The names and the positions of the members of a JSON object, of the first `most` of them; None: of all.

    `values` are those of `raw`; of repeated members, the last.
    """
    names: list[str] = []
    members: list[Member] = []
    at = raw.index(b"{") + 1
    while len(members) != most and (key := _KEY.match(raw, at)) is not None:
        written = key[1]
        name = (_known_name if len(written) <= _LONGEST_KNOWN else _name)(written)
        value = memoryview(values[name])
        start, at = key.start(1), key.end()
        end = at + len(value)
        # With a repeated name this may be another value: then search for the end of this one.
        if not raw.startswith(value, at) or not (raw[end] in _AT_ONCE_AFTER or _AFTER.match(raw, end)):
            end = _end_of_value(raw, at)
        names.append(name)
        members.append(Member(start, at, end))
        at = end
    return tuple(names), members


@lru_cache(4096)
def _known_name(key: bytes) -> str:
    """The name of a member. Clients repeat few names, most of them short."""
    return _name(key)


def _name(key: bytes) -> str:
    name: str = msgspec.json.decode(key)
    return name


def _end_of_value(raw: bytes, start: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(raw, start):
        mark = raw[token.start()]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        if depth == 0:
            return token.end()
    raise AssertionError("valid JSON has an end")
