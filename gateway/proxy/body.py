"""A client's JSON as sent: read at its top level, changed only where something must change.

No value is parsed and rewritten, so large numbers, repeated names, the order and spelling of everything
else reach the backend as the client sent them. A field that the gateway reads must appear once, spelled
exactly: engines differ in which of two fields they use, and some ignore case.

The gateway counts the values of a body and the depth of their nesting in its bytes, before it builds
anything from them: see `gateway.proxy.body_bounds`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from gateway.proxy.body_bounds import LARGE, check_bounds
from gateway.proxy.body_members import MOST_FIELDS, Member, find_members, layout_of
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.members import ONCE, RepeatedName

# The most bytes of a field that is built as a whole.
LARGEST_OPTION = 256 * 1024

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_write = msgspec.json.Encoder().encode
_WORDS = {b"true": True, b"false": False, b"null": None}


# Everything before the first escape that is half of a surrogate pair.
_BEFORE_HALF_A_PAIR = re.compile(
    rb"(?:[^\\]++|\\(?:u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?!u[dD][89a-fA-F]).))*+(?=\\u)",
    re.DOTALL,
)


class Body:
    """A JSON object from a client. Changes are kept beside the bytes until `encode` inserts them."""

    __slots__ = (
        "_changes", "_counts", "_is_clear", "_layout", "_members", "_names", "_own", "_writer", "outline", "raw",
        "values",
    )  # fmt: skip

    def __init__(self, raw: bytes) -> None:
        """Read a body. Raises Refusal (400) unless it is a JSON object, or if it is too deep or has too many values."""
        # The text in which names are searched for: for a large body, without long texts. And the approximate number
        # of values in it; 0 for few.
        self.outline, self.values = check_bounds(raw)
        try:
            if not raw.isascii():
                raw.decode()
            own = _MEMBERS.decode(raw)
        except msgspec.ValidationError:
            raise bad_request("The body must be a JSON object.", code="invalid_json") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error)
            if half := _BEFORE_HALF_A_PAIR.match(raw):
                reason = f"byte {half.end()} begins half of a surrogate pair; send both halves, or the character itself"
            raise bad_request(f"The body is not valid JSON: {reason}.", code="invalid_json") from None
        self.raw = raw
        # The values by name; of repeated names, the last.
        self._own = own
        self._counts: dict[str, int] = {}
        # Values of None remove a member.
        self._changes: dict[str, msgspec.Raw | None] = {}
        # Where the members stand. None if they are the body when `_writer` writes them: then no name is there twice or
        # escaped, and nobody need know the places.
        self._members: list[Member] | None = None
        self._writer = _writer_of(raw, own) if len(raw) <= LARGE else None
        if self._writer is not None:
            self._names = tuple(own)
        else:
            self._names, self._members = find_members(raw, own, MOST_FIELDS + 1)
        self._layout = layout = layout_of(self._names)
        # `_own` has all there is to know.
        self._is_clear = self._members is None and layout.is_clear

    def names(self) -> Sequence[str]:
        """The names of all members as the client wrote them, repeated ones each time they appear."""
        return self._names

    def raw_of(self, name: str) -> bytes | None:
        """The bytes of a member's value, or None if there is none.

        Raises Refusal (400) naming the field if it appears twice, or in another case.
        """
        if self._is_clear:
            if (value := self._own.get(name)) is not None:
                return bytes(value)
        elif (place := self._layout.places.get(name)) is not None:
            _, start, end = self._places()[place]
            return self.raw[start:end]
        fold = name.casefold()
        if fold not in self._layout.folds:
            return None
        there = [one for one in self._names if one.casefold() == fold]
        if len(there) > 1:
            raise bad_request(
                f"`{there[1]}` is there twice. Send `{name}` once.", code="repeated_field", param=name
            )
        raise bad_request(f"`{there[0]}` must be spelled `{name}`.", code="misspelled_field", param=name)

    def size_of(self, name: str) -> int:
        """The size in bytes of the values of all members with this name."""
        if (value := self._own.get(name)) is None:
            return 0
        if self._members is None:
            return len(memoryview(value))
        return sum(
            one.end - one.value for own, one in zip(self._names, self._members, strict=True) if own == name
        )

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
        if raw.isdigit() and len(raw) < 20:
            return int(raw)
        return _WORDS[raw] if raw in _WORDS else _once(raw, name)

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
        self._changes[name] = msgspec.Raw(_write(value))

    def replace_raw(self, name: str, value: bytes) -> None:
        """As `replace`, with a value that is already JSON."""
        self._changes[name] = msgspec.Raw(value)

    def remove(self, name: str) -> None:
        """Remove a member, however often it appears and in whatever case."""
        self._changes[name] = None

    def encode(self, last: Mapping[str, Any] | None = None) -> bytes:
        """The client's bytes with all changes, and with those of `last`, which apply only to this result.

        A value of None in `last` removes the member. Safe to repeat.
        """
        changes: dict[str, Any] = {**self._changes, **(last or {})}
        if not changes:
            return self.raw
        own, writer = self._own, self._writer
        if (
            writer is not None
            and self._is_clear
            and None not in changes.values()
            and (own.keys() >= changes.keys() or self._are_new(changes))
        ):
            return writer({**own, **changes})
        return self._spliced(
            {name: None if value is None else _write(value) for name, value in changes.items()}
        )

    def _are_new(self, changes: dict[str, Any]) -> bool:
        """Whether no change adds a member whose name is there in another case."""
        own, folds = self._own, self._layout.folds
        return not any(name.casefold() in folds for name in changes if name not in own)

    def _places(self) -> list[Member]:
        """Where the members stand, in the order of their names."""
        if self._members is None:
            _, self._members = find_members(self.raw, self._own, None)
        return self._members

    def _spliced(self, changes: dict[str, bytes | None]) -> bytes:
        """The bytes with each change in its member's place, and new members before the closing brace."""
        layout, members = self._layout, self._places()
        if not members:
            return self._rewritten(changes)
        edits, added = [], []
        for name, value in changes.items():
            place = layout.places.get(name)
            if value is None or (place is None and name.casefold() in layout.folds):
                return self._rewritten(changes)
            if place is None:
                added += [b",", _key(name), value]
            else:
                edits.append((members[place].value, members[place].end, value))
        view = memoryview(self.raw)
        pieces: list[bytes | memoryview] = []
        copied = 0
        for start, end, value in sorted(edits):
            pieces += [view[copied:start], value]
            copied = end
        last = members[-1].end
        if added:
            pieces += [view[copied:last], *added]
            copied = last
        pieces.append(view[copied:])
        return b"".join(pieces)

    def _rewritten(self, changes: dict[str, bytes | None]) -> bytes:
        """As `_spliced`, also where members go, are repeated, or have their names in another case."""
        waiting = {name.casefold(): (name, value) for name, value in changes.items()}
        view, members = memoryview(self.raw), self._places()
        first = members[0].start if members else self.raw.index(b"{") + 1
        pieces: list[bytes | memoryview] = [view[:first]]
        # The bytes up to here are in `pieces`, or omitted.
        copied = first
        is_empty = True
        for place, member in enumerate(members):
            own = self._names[place]
            fold = own.casefold()
            if fold not in waiting:
                if is_empty:
                    # Skip the comma after an omitted member.
                    copied = member.start
                    is_empty = False
                continue
            name, value = waiting[fold]
            before = members[place - 1].end if place else first
            if copied < before:
                pieces.append(view[copied:before])
            copied = member.end
            if value is None:
                continue
            if not is_empty:
                pieces.append(view[before : member.start])
            is_empty = False
            key = view[member.start : member.value] if own == name else _key(name)
            pieces += [key, value]
            # Remove any repetition of the member.
            waiting[fold] = (name, None)
        last = members[-1].end if members else first
        if copied < last:
            pieces.append(view[copied:last])
        for name, value in changes.items():
            if value is not None and name.casefold() not in self._layout.folds:
                pieces += [b"" if is_empty else b",", _key(name), value]
                is_empty = False
        pieces.append(view[last:])
        return b"".join(pieces)


def parse(raw: bytes, name: str) -> Any:
    """Build a JSON value that `Body` has found valid; a large one in pieces, so that other threads can run in between.

    Raises Refusal (400) naming the field `name` if an object in it has two members of one name.
    """
    if len(raw) <= LARGE or raw[:1] not in (b"[", b"{"):
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
    for own, member in zip(*find_members(raw, _MEMBERS.decode(raw), None), strict=True):
        members += 1
        built[own] = parse(raw[member.value : member.end], name)
    if len(built) != members:
        raise _repeated(name)
    return built


def _runs(items: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    """The items of a list in small runs. A large item is a run by itself."""
    run: list[msgspec.Raw] = []
    size = 0
    for item in items:
        if run and size + len(memoryview(item)) > LARGE:
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


def with_member(raw: bytes | None, name: str, value: Any) -> bytes:
    """A JSON object with one member replaced or added and everything else unchanged; a new object for None."""
    inner = Body(raw or b"{}")
    return inner.encode({name: value})


def _writer_of(raw: bytes, members: dict[str, msgspec.Raw]) -> Callable[[dict[str, Any]], bytes] | None:
    """What writes these members as they stand in a body; None if its client spaces them in another way."""
    written = _write(members)
    if written == raw:
        return _write
    # One after each colon, and one after each comma.
    spaces = 2 * len(members) - 1
    return _write_spaced if len(written) + spaces == len(raw) and _write_spaced(members) == raw else None


def _write_spaced(members: dict[str, Any]) -> bytes:
    """A JSON object as Python's own library writes it, whose values stay as they are."""
    written = [b"%b: %b" % (_write(name), _write(value)) for name, value in members.items()]
    return b"{%b}" % b", ".join(written)


@lru_cache(1024)
def _key(name: str) -> bytes:
    return _write(name) + b":"


NOTHING = Body(b"{}")
