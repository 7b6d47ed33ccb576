"""A client's JSON as sent: read at its top level, changed only where something must change.

Nothing is parsed and rewritten, so large numbers, repeated names, the order and spelling of everything
else reach the backend as the client sent them. A field that the gateway reads must appear once, spelled
exactly: engines differ in which of two fields they use, and some ignore case.

The gateway counts the values of a body and the depth of their nesting in its bytes, before it builds
anything from them.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from deployments.engine_controls import LONGEST_NAME
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.members import ONCE, RepeatedName

LARGEST_DEPTH = 128
MOST_VALUES = 400_000
MOST_FIELDS = 1000
# The most bytes of a field that is built as a whole.
LARGEST_OPTION = 256 * 1024
# Bytes. In a larger body, names are searched for in an outline.
_LARGE = 64 * 1024
# The most bytes of a text that stays in an outline.
_SHORT = 256

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = re.compile(rb"[\s,]*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_TOKEN = re.compile(_STRING + rb"|[\[\]{}]|[^\s\[\]{},\"]+", re.DOTALL)
# A run of backslashes, and what the last one may escape.
_BACKSLASHES = re.compile(rb"\\+.?", re.DOTALL)
_AFTER = re.compile(rb"\s*[,}]")
_ONLY_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")


class _Member(NamedTuple):
    """Where one member of the object stands: its name, and its value from `value` to `end`."""

    name: str
    start: int
    value: int
    end: int


# Everything before the first escape that is half of a surrogate pair.
_BEFORE_HALF_A_PAIR = re.compile(
    rb"(?:[^\\]++|\\(?:u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?!u[dD][89a-fA-F]).))*+(?=\\u)",
    re.DOTALL,
)


class Body:
    """A JSON object from a client. Changes are kept beside the bytes until `encode` inserts them."""

    __slots__ = ("_by_fold", "_changes", "_counts", "_members", "outline", "raw", "values")

    def __init__(self, raw: bytes) -> None:
        """Read a body. Raises Refusal (400) unless it is a JSON object, or if it is too deep or has too many values."""
        outline, values_inside = _check_bounds(raw)
        try:
            if not raw.isascii():
                raw.decode()
            values = _MEMBERS.decode(raw)
        except msgspec.ValidationError:
            raise bad_request("The body must be a JSON object.", code="invalid_json") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error)
            if half := _BEFORE_HALF_A_PAIR.match(raw):
                reason = f"byte {half.end()} begins half of a surrogate pair; send both halves, or the character itself"
            raise bad_request(f"The body is not valid JSON: {reason}.", code="invalid_json") from None
        self.raw = raw
        # The text in which names are searched for. For a large body it omits long texts.
        self.outline = outline
        # The approximate number of values in it; 0 for few.
        self.values = values_inside
        self._counts: dict[str, int] = {}
        self._members = list(islice(_find_members(raw, values), MOST_FIELDS + 1))
        if len(self._members) > MOST_FIELDS:
            raise bad_request(f"The body has more than {MOST_FIELDS:,} fields.", code="invalid_json")
        self._changes: dict[str, bytes | None] = {}
        self._by_fold: dict[str, list[_Member]] = {}
        for member in self._members:
            if len(member.name) > LONGEST_NAME:
                message = (
                    f"The name of a field has more than {LONGEST_NAME} characters: `{member.name[:40]}…`."
                )
                raise bad_request(message, code="invalid_json")
            self._by_fold.setdefault(member.name.casefold(), []).append(member)

    def names(self) -> list[str]:
        """The names of all members as the client wrote them, repeated ones each time they appear."""
        return [member.name for member in self._members]

    def raw_of(self, name: str) -> bytes | None:
        """The bytes of a member's value, or None if there is none.

        Raises Refusal (400) naming the field if it appears twice, or in another case.
        """
        members = self._by_fold.get(name.casefold())
        if members is None:
            return None
        if len(members) > 1:
            raise bad_request(
                f"`{members[1].name}` is there twice. Send `{name}` once.", code="repeated_field", param=name
            )
        if members[0].name != name:
            raise bad_request(
                f"`{members[0].name}` must be spelled `{name}`.", code="misspelled_field", param=name
            )
        return self.raw[members[0].value : members[0].end]

    def size_of(self, name: str) -> int:
        """The size in bytes of the values of all members with this name."""
        return sum(one.end - one.value for one in self._members if one.name == name)

    def get(self, name: str) -> Any:
        """A member's value, or None if there is none. Builds everything in it, so use it for options.

        Raises Refusal (400) as `raw_of`, if an object in it has two members of one name, and for more than 256 KiB.
        """
        raw = self.raw_of(name)
        if raw is not None and len(raw) > LARGEST_OPTION:
            message = f"`{name}` has more than {LARGEST_OPTION // 1024} KiB. Send less in it."
            raise bad_request(message, code="field_too_large", param=name)
        return None if raw is None else parse(raw, name)

    def simple(self, name: str) -> Any:
        """As `get`, for a member that should be a text, a number, true or false. A list or object is not built:
        it is returned as `...`.
        """
        raw = self.raw_of(name)
        if raw is None:
            return None
        first = raw[:1]
        if first in (b"[", b"{"):
            return ...
        # Texts and small numbers, as nearly all are, need no parser that looks for repeated names.
        if first == b'"':
            return msgspec.json.decode(raw)
        return int(raw) if raw.isdigit() and len(raw) < 20 else _once(raw, name)

    def items_of(self, name: str) -> list[msgspec.Raw] | None:
        """The bytes of each item if the member is a list, else None. Raises Refusal (400) as `raw_of`."""
        raw = self.raw_of(name)
        if raw is None or raw[:1] != b"[":
            return None
        items = _ITEMS.decode(raw)
        self._counts[name] = len(items)
        return items

    def count_of(self, name: str) -> int:
        """The number of items in the member; 0 if it is not a list. Raises Refusal (400) as `raw_of`."""
        if name not in self._counts:
            self.items_of(name)
        return self._counts.get(name, 0)

    def replace(self, name: str, value: Any) -> None:
        """Give a member this value: in its place, or at the end if the body does not have it."""
        self._changes[name] = msgspec.json.encode(value)

    def replace_raw(self, name: str, value: bytes) -> None:
        """As `replace`, with a value that is already JSON."""
        self._changes[name] = value

    def remove(self, name: str) -> None:
        """Remove a member, however often it appears and in whatever case."""
        self._changes[name] = None

    def encode(self, last: Mapping[str, Any] | None = None) -> bytes:
        """The client's bytes with all changes, and with those of `last`, which apply only to this result.

        A value of None in `last` removes the member. Safe to repeat.
        """
        changes = dict(self._changes)
        for name, value in (last or {}).items():
            changes[name] = None if value is None else msgspec.json.encode(value)
        return self._spliced(changes) if changes else self.raw

    def _spliced(self, changes: dict[str, bytes | None]) -> bytes:
        """The bytes with each change in its member's place, and new members before the closing brace."""
        waiting = {name.casefold(): (name, value) for name, value in changes.items()}
        view = memoryview(self.raw)
        first = self._members[0].start if self._members else self.raw.index(b"{") + 1
        pieces: list[bytes | memoryview] = [view[:first]]
        # The bytes up to here are in `pieces`, or omitted.
        copied = first
        is_empty = True
        for place, member in enumerate(self._members):
            fold = member.name.casefold()
            if fold not in waiting:
                if is_empty:
                    # Skip the comma after an omitted member.
                    copied = member.start
                    is_empty = False
                continue
            name, value = waiting[fold]
            before = self._members[place - 1].end if place else first
            if copied < before:
                pieces.append(view[copied:before])
            copied = member.end
            if value is None:
                continue
            if not is_empty:
                pieces.append(view[before : member.start])
            is_empty = False
            key = view[member.start : member.value] if member.name == name else _key(name)
            pieces += [key, value]
            # Remove any repetition of the member.
            waiting[fold] = (name, None)
        last = self._members[-1].end if self._members else first
        if copied < last:
            pieces.append(view[copied:last])
        folds = {member.name.casefold() for member in self._members}
        for name, value in changes.items():
            if value is not None and name.casefold() not in folds:
                pieces += [b"" if is_empty else b",", _key(name), value]
                is_empty = False
        pieces.append(view[last:])
        return b"".join(pieces)


def parse(raw: bytes, name: str) -> Any:
    """Build a JSON value that `Body` has found valid; a large one in pieces, so that other threads can run in between.

    Raises Refusal (400) naming the field `name` if an object in it has two members of one name.
    """
    if len(raw) <= _LARGE or raw[:1] not in (b"[", b"{"):
        return _once(raw, name)
    if raw[:1] == b"[":
        whole: list[Any] = []
        for run in _runs(_ITEMS.decode(raw)):
            if len(run) == 1:
                whole.append(parse(bytes(run[0]), name))
            else:
                whole += _once(b"[" + b",".join(run) + b"]", name)
        return whole
    built: dict[str, Any] = {}
    members = 0
    for member in _find_members(raw, _MEMBERS.decode(raw)):
        members += 1
        built[member.name] = parse(raw[member.value : member.end], name)
    if len(built) != members:
        raise _repeated(name)
    return built


def _runs(items: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    """The items of a list in small runs. A large item is a run by itself."""
    run: list[msgspec.Raw] = []
    size = 0
    for item in items:
        if run and size + len(memoryview(item)) > _LARGE:
            yield run
            run, size = [], 0
        run.append(item)
        size += len(memoryview(item))
    if run:
        yield run


def _once(raw: bytes, name: str) -> Any:
    """As `parse`, all at once."""

    try:
        return ONCE.decode(raw.decode())
    except RepeatedName:
        raise _repeated(name) from None


def _repeated(name: str) -> Refusal:
    message = f"An object inside `{name}` has two members of one name. Send each once."
    return bad_request(message, code="repeated_field", param=name)


def without_escapes(raw: bytes) -> bytes:
    """JSON without escaped backslashes and quotation marks. Every quotation mark begins or ends a text, so names
    are quick to find.
    """
    if b"\\" not in raw:
        return raw
    pieces, start = [], 0
    # In pieces, so that other threads can run in between.
    while start < len(raw):
        end = start + _LARGE
        if escape := _BACKSLASHES.match(raw, end - 1):
            end = escape.end()
        pieces.append(raw[start:end].replace(b"\\\\", b"").replace(b'\\"', b""))
        start = end
    return b"".join(pieces)


def with_member(raw: bytes | None, name: str, value: Any) -> bytes:
    """A JSON object with one member replaced or added and everything else unchanged; a new object for None."""
    inner = Body(raw or b"{}")
    return inner.encode({name: value})


def _key(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def _find_members(raw: bytes, values: dict[str, msgspec.Raw]) -> Iterator[_Member]:
    """The position of each member. `values` are those of `raw`; of repeated members, the last."""
    at = raw.index(b"{") + 1
    while (key := _KEY.match(raw, at)) is not None:
        name: str = msgspec.json.decode(key[1])
        value = memoryview(values[name])
        at = key.end()
        end = at + len(value)
        # With a repeated name this may be another value: then search for the end of this one.
        if not raw.startswith(value, at) or _AFTER.match(raw, end) is None:
            end = _end_of_value(raw, at)
        yield _Member(name, key.start(1), at, end)
        at = end


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


def _check_bounds(raw: bytes) -> tuple[bytes, int]:
    """Refuse a body with too many values or too deep nesting. Returns its outline, and the number of values in
    a large one. Reads only bytes and builds nothing.
    """
    is_large = len(raw) > _LARGE
    if not is_large:
        opened = raw.count(b"[") + raw.count(b"{")
        if opened <= LARGEST_DEPTH and raw.count(b",") + opened <= MOST_VALUES:
            return raw, 0
    plain = without_escapes(raw)
    values = texts = start = 0
    # Whether `start` is inside a text.
    is_inside = False
    brackets: list[bytes] = []
    outline: list[bytes] = []
    # In stretches, so that other threads can run in between.
    while start <= len(plain):
        end = plain.find(b'"', start + _LARGE)
        parts = plain[start : end if end >= 0 else len(plain)].split(b'"')
        # Everything outside of texts.
        structure = b"".join(parts[is_inside::2])
        values += structure.count(b",") + structure.count(b"[") + structure.count(b"{")
        texts += len(parts)
        if values > MOST_VALUES or texts > 2 * MOST_VALUES + 1:
            raise _too_many()
        brackets.append(structure.translate(_AS_SQUARE, delete=_ONLY_BRACKETS))
        if is_large:
            outline.append(b'"'.join([part if len(part) <= _SHORT else b"" for part in parts]))
        # There is a quotation mark between every two parts, and one at `end`.
        is_inside ^= len(parts) % 2 == 1
        start = len(plain) + 1 if end < 0 else end + 1
    _check_depth(b"".join(brackets))
    return b'"'.join(outline) if is_large else raw, values


def _check_depth(brackets: bytes) -> None:
    for _ in range(LARGEST_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")  # the innermost of each
    if brackets:
        raise bad_request(
            f"The body is nested more than {LARGEST_DEPTH} deep. Send it flatter.", code="invalid_json"
        )


def _too_many() -> Refusal:
    return bad_request(
        f"The body holds more than {MOST_VALUES:,} values. Send fewer messages, parts or inputs at once.",
        code="invalid_json",
    )


NOTHING = Body(b"{}")
