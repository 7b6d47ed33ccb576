"""A call sent as `multipart/form-data`: read strictly, passed on as it came, with only named fields changed.

Readers of forms differ in line ends, repeated names, nested parts and encoded names. A form that two of them could
read differently is refused, so that the gateway and a backend always see the same fields.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from gateway.proxy.body import Body
from gateway.proxy.errors import Refusal, bad_request

MOST_PARTS = 200
# Bytes of the headers of one part, and of a field that is no file.
_LARGEST_HEAD = 2048
LARGEST_FIELD = 256 * 1024
_TYPE = re.compile(
    r"multipart/form-data\s*;\s*boundary=(?:\"([0-9A-Za-z'()+_,./:=? -]{1,70})\"|([0-9A-Za-z'+_.-]{1,70}))",
    re.IGNORECASE,
)
_DISPOSITION = re.compile(
    rb'form-data; ?name="([A-Za-z0-9_.\[\]-]{1,128})"(?:; ?filename="((?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*)")?'
    rb"(; ?filename\*=utf-8''[A-Za-z0-9%!#$&+.^_`|~-]*)?",
    re.IGNORECASE,
)
_HEADER = re.compile(rb"([A-Za-z-]{1,64}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_ENCODINGS = (b"binary", b"8bit", b"7bit")


class _Part(NamedTuple):
    """One part: its headers as sent, and where its content stands in the body."""

    name: str
    head: bytes
    start: int
    end: int
    is_file: bool


class Form(Body):
    """A form from a client. It answers the same questions as a JSON body; its values are texts."""

    __slots__ = ("_boundary", "_new", "_parts", "content_type")

    def __init__(self, raw: bytes, content_type: str) -> None:
        """Read a form. Raises Refusal (400) unless every reader sees the same fields in it, each once.

        Names with `[]` at their end may repeat.
        """
        found = _TYPE.fullmatch(content_type.strip())
        if found is None:
            raise bad_request(
                "Send the call as multipart/form-data with one boundary, as OpenAI's clients do.",
                code="invalid_form",
            )
        self.raw = raw
        self.outline = b""
        self.values = 0
        self.content_type = content_type.strip()
        self._boundary = b"--" + (found[1] or found[2]).encode()
        self._parts = self._read()
        self._new: dict[str, bytes | None] = {}
        folds: set[str] = set()
        for part in self._parts:
            fold = part.name.casefold()
            if fold in folds and not part.name.endswith("[]"):
                raise bad_request(
                    f"`{part.name}` is there twice. Send it once.", code="repeated_field", param=part.name
                )
            folds.add(fold)

    def names(self) -> list[str]:
        return [part.name for part in self._parts]

    def raw_of(self, name: str) -> bytes | None:
        found = self._find(name)
        return None if found is None else self.raw[found.start : found.end]

    def size_of(self, name: str) -> int:
        return sum(part.end - part.start for part in self._parts if part.name == name)

    def get(self, name: str) -> Any:
        return self.simple(name)

    def simple(self, name: str) -> Any:
        """The text of a field, or None. Raises Refusal (400) for a file, or a text that is not UTF-8."""
        found = self._find(name)
        if found is None:
            return None
        if found.is_file:
            raise bad_request(f"`{name}` must be a field, not a file.", code="invalid_form", param=name)
        try:
            return self.raw[found.start : found.end].decode()
        except UnicodeDecodeError:
            raise bad_request(f"`{name}` is not UTF-8.", code="invalid_form", param=name) from None

    def items_of(self, name: str) -> list[msgspec.Raw] | None:
        return None

    def replace(self, name: str, value: Any) -> None:
        self._new[name] = str(value).encode()

    def remove(self, name: str) -> None:
        self._new[name] = None

    def encode(self, last: Mapping[str, Any] | None = None) -> bytes:
        """The client's bytes with all changes, and with those of `last`, as `Body.encode`. New fields come last."""
        changes = dict(self._new)
        for name, given in (last or {}).items():
            changes[name] = None if given is None else str(given).encode()
        if any(self._boundary in new for new in changes.values() if new is not None):
            raise bad_request("Choose another boundary.", code="invalid_form")
        pieces: list[bytes | memoryview] = []
        view = memoryview(self.raw)
        for part in self._parts:
            value: bytes | memoryview | None = changes.get(part.name, view[part.start : part.end])
            if value is not None:
                pieces += [self._boundary, b"\r\n", part.head, b"\r\n\r\n", value, b"\r\n"]
        there = set(self.names())
        for name, new in changes.items():
            if new is not None and name not in there:
                head = f'Content-Disposition: form-data; name="{name}"'.encode()
                pieces += [self._boundary, b"\r\n", head, b"\r\n\r\n", new, b"\r\n"]
        return b"".join([*pieces, self._boundary, b"--\r\n"])

    def has_file(self, name: str) -> bool:
        """Whether a part is there, and is a file."""
        found = self._find(name)
        return found is not None and found.is_file

    def _find(self, name: str) -> _Part | None:
        """The part with this name. Raises Refusal (400) if it is spelled in another case."""
        fold = name.casefold()
        for part in self._parts:
            if part.name.casefold() == fold:
                if part.name != name:
                    raise bad_request(
                        f"`{part.name}` must be spelled `{name}`.", code="misspelled_field", param=name
                    )
                return part
        return None

    def _read(self) -> list[_Part]:
        raw, boundary = self.raw, self._boundary
        places = _places(raw, boundary)
        if not places or places[0] != 0 or len(places) < 2:
            raise _unclear("it does not begin with its boundary, or has no end")
        if len(places) - 1 > MOST_PARTS:
            raise _unclear(f"it has more than {MOST_PARTS} parts")
        if raw[places[-1] + len(boundary) :] not in (b"--", b"--\r\n"):
            raise _unclear("it does not end with its boundary")
        parts = []
        for at, following in pairwise(places):
            begin = at + len(boundary)
            if raw[begin : begin + 2] != b"\r\n" or raw[following - 2 : following] != b"\r\n":
                raise _unclear("a boundary does not stand on a line of its own")
            end_of_head = raw.find(b"\r\n\r\n", begin, min(following, begin + _LARGEST_HEAD))
            if end_of_head < 0 or end_of_head + 4 > following - 2:
                raise _unclear("a part has no headers, or too long ones")
            head = raw[begin + 2 : end_of_head]
            name, is_file = _read_head(head)
            part = _Part(name, head, end_of_head + 4, following - 2, is_file)
            if not is_file and part.end - part.start > LARGEST_FIELD:
                message = f"`{name}` has more than {LARGEST_FIELD // 1024} KiB. Send less in it."
                raise bad_request(message, code="field_too_large", param=name)
            parts.append(part)
        return parts


def _places(raw: bytes, boundary: bytes) -> list[int]:
    """Where the boundary stands; no more than one place above MOST_PARTS."""
    places: list[int] = []
    at = raw.find(boundary)
    while at >= 0 and len(places) <= MOST_PARTS + 1:
        places.append(at)
        at = raw.find(boundary, at + len(boundary))
    return places


def _read_head(head: bytes) -> tuple[str, bool]:
    """The name of a part, and whether it is a file."""
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        found = _HEADER.fullmatch(line)
        if found is None or found[1].lower() in headers:
            raise _unclear("a part has an unreadable header, or one twice")
        headers[found[1].lower()] = found[2].strip()
    disposition = _DISPOSITION.fullmatch(headers.pop(b"content-disposition", b""))
    if disposition is None:
        raise _unclear("a part has no readable `Content-Disposition: form-data` with a name")
    if headers.pop(b"content-transfer-encoding", b"binary").lower() not in _ENCODINGS:
        raise _unclear("a part is encoded")
    if headers.pop(b"content-type", b"").lower().startswith(b"multipart/"):
        raise _unclear("a part has parts")
    if headers.keys() - {b"content-length"}:
        raise _unclear("a part has headers besides its disposition and type")
    return disposition[1].decode(), disposition[2] is not None or disposition[3] is not None


def _unclear(reason: str) -> Refusal:
    return bad_request(f"This form could be read in two ways: {reason}.", code="invalid_form")
