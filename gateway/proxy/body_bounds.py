"""The bounds of a client's JSON, checked in its bytes before anything is built from them."""

import re

from gateway.proxy.errors import Refusal, bad_request

LARGEST_DEPTH = 128
MOST_VALUES = 400_000
# Bytes. In a larger body, names are searched for in an outline.
LARGE = 64 * 1024
# The most bytes of a text that stays in an outline.
_SHORT = 256

# A run of backslashes, and what the last one may escape.
_BACKSLASHES = re.compile(rb"\\+.?", re.DOTALL)
_ONLY_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")


def check_bounds(raw: bytes) -> tuple[bytes, int]:
    """Refuse a body with too many values or too deep nesting. Returns its outline, and the number of values in
    a large one. Reads only bytes and builds nothing.
    """
    is_large = len(raw) > LARGE
    # A small body has no room for too many values.
    if not is_large and raw.count(b"[") + raw.count(b"{") <= LARGEST_DEPTH:
        return raw, 0
    plain = without_escapes(raw)
    values = texts = start = 0
    # Whether `start` is inside a text.
    is_inside = False
    brackets: list[bytes] = []
    outline: list[bytes] = []
    # In stretches, so that other threads can run in between.
    while start <= len(plain):
        end = plain.find(b'"', start + LARGE)
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


def without_escapes(raw: bytes) -> bytes:
    """JSON without escaped backslashes and quotation marks. Every quotation mark begins or ends a text, so names
    are quick to find.
    """
    if b"\\" not in raw:
        return raw
    pieces, start = [], 0
    # In pieces, so that other threads can run in between.
    while start < len(raw):
        end = start + LARGE
        if escape := _BACKSLASHES.match(raw, end - 1):
            end = escape.end()
        pieces.append(raw[start:end].replace(b"\\\\", b"").replace(b'\\"', b""))
        start = end
    return b"".join(pieces)
