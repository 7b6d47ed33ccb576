"""Identifiers and times as the contract writes them."""

import os
import time
from datetime import UTC, datetime
from functools import lru_cache

_RANDOM_BYTES = 10
_AT_ONCE = 256
# Of the lower ten bytes of a UUIDv7: what is random, and what says that it is one.
_IS_RANDOM = ((1 << 80) - 1) ^ (0xF << 76) ^ (0x3 << 62)
_VERSION = (0x7 << 76) | (0x2 << 62)

# Lower bytes of ids that are still to be made.
_drawn: list[int] = []


def _draw() -> None:
    """Draw random numbers. The system is asked for many at once: it takes longer to ask than to get them."""
    drawn = os.urandom(_RANDOM_BYTES * _AT_ONCE)
    for start in range(0, len(drawn), _RANDOM_BYTES):
        number = int.from_bytes(drawn[start : start + _RANDOM_BYTES])
        _drawn.append(number & _IS_RANDOM | _VERSION)


def new_call_id() -> str:
    """A UUIDv7: sortable by the millisecond of its creation, otherwise random."""
    if not _drawn:
        _draw()
    digits = f"{time.time_ns() // 1_000_000 << 80 | _drawn.pop():032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def rfc3339(epoch_seconds: float) -> str:
    """A time in UTC with microseconds, such as 2025-10-01T12:00:00.000000Z."""
    whole, microseconds = divmod(round(epoch_seconds * 1_000_000), 1_000_000)
    return f"{_to_the_second(whole)}.{microseconds:06d}Z"


@lru_cache(16)
def _to_the_second(epoch_seconds: int) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def trace_id(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header, or None if there is none or it is malformed."""
    parts = (traceparent or "").strip().lower().split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or set(parts[1]) == {"0"}:
        return None
    return parts[1] if all(character in "0123456789abcdef" for character in parts[1]) else None
