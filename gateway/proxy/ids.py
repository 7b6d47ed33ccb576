"""Identifiers and times as the contract writes them."""

import os
import time
import uuid
from datetime import UTC, datetime


def new_call_id() -> str:
    """A UUIDv7: sortable by the millisecond of its creation, otherwise random."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    number = (number & ~(0xF << 76)) | (0x7 << 76)
    number = (number & ~(0x3 << 62)) | (0x2 << 62)
    return str(uuid.UUID(int=number))


def rfc3339(epoch_seconds: float) -> str:
    """A time in UTC with microseconds, such as 2025-10-01T12:00:00.000000Z."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def trace_id(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header, or None if there is none or it is malformed."""
    parts = (traceparent or "").strip().lower().split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or set(parts[1]) == {"0"}:
        return None
    return parts[1] if all(character in "0123456789abcdef" for character in parts[1]) else None
