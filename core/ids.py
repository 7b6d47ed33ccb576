"""Identifiers that reveal no count and sort by time of creation."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

_LAST_MILLISECOND: Final = 253_402_300_799_000  # 31 December 9999


def uuid7() -> UUID:
    """A UUID of version 7: 60 bits of time, down to a quarter of a microsecond, then 62 random bits.

    (RFC 9562, sections 5.7 and 6.2, method 3: ids that one process makes in a row sort in that order.)
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | secrets.randbits(62)
    return UUID(int=value)


def time_of_id(one: UUID) -> datetime:
    """The millisecond in which an id of version 7 was made; the calendar's last millisecond for ids beyond it."""
    return datetime.fromtimestamp(min(one.int >> 80, _LAST_MILLISECOND) / 1000, UTC)


def smallest_id(moment: datetime) -> UUID:
    """The lower bound of all ids made from `moment` on; it narrows lists by id to a time."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def is_uuid(text: str) -> bool:
    """Whether `text` has the form of an id, which people do not type."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
