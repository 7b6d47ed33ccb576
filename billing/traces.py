"""Readers of usage files. They accept each format exactly as published; any other line is a numbered bad line.

A reader parses one line. It knows nothing about tenants, models or prices.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast
from uuid import UUID

from billing.kinds import DECLARED, Kind
from billing.usage import LARGEST
from core.text_files import UnreadableText, utf_8_of

MICROSECONDS: Final = 1_000_000
# Tokens of one prefix block.
MOONCAKE_BLOCK: Final = 512
# Takes the line number, the digest of the line and its text.
Reader = Callable[[int, bytes, bytes], "TraceRow"]


class TraceRow(NamedTuple):
    """One call of a file."""

    line: int
    # SHA-256 of the line. Rules derive their choices from it.
    digest: bytes
    # Microseconds since 1970 if the format has dates, otherwise since the start of the trace.
    moment: int
    # "" if the format has no clients.
    client: str
    # Counts by kind, which are disjoint.
    usage: dict[str, int]
    # Jsonl only: the fields of a UsageRecord that the line states.
    facts: dict[str, Any] | None = None


class BadLine(NamedTuple):
    """A line that does not match the format, and why."""

    line: int
    reason: str


def open_trace(path: Path) -> IO[bytes]:
    """Open a file for reading bytes. Unpacks .gz and .xz files, recognized by extension."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix == ".xz":
        return lzma.open(path, "rb")
    return path.open("rb")


def read_trace(path: Path, format_name: str) -> Iterator[TraceRow | BadLine]:
    """Every line of a file in order: its call, or the reason it cannot be read. Blank lines are bad lines.

    Skips the byte order mark that Windows tools write before UTF-8.

    Raises:
        OSError, EOFError, lzma.LZMAError: the file cannot be read or unpacked.
    """
    header, make_reader = FORMATS[format_name]
    read = make_reader()
    with open_trace(path) as file:
        first_line = file.readline()
        try:
            first_line = utf_8_of(first_line)
        except UnreadableText as error:
            yield BadLine(1, str(error))
            return
        lines = enumerate(chain([first_line] if first_line else [], file), start=1)
        if header is not None:
            _, first = next(lines, (1, b""))
            if first.rstrip(b"\r\n") != header:
                yield BadLine(1, f"the header must be {header.decode()}")
                return
        for number, line in lines:
            text = line.rstrip(b"\n").removesuffix(b"\r")
            try:
                row = read(number, hashlib.sha256(text).digest(), text)
                if max(row.usage.values(), default=0) > LARGEST:
                    raise ValueError(f"a call has at most {LARGEST:,} tokens of a kind")
                yield row
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                yield BadLine(number, str(error))


def event_id(source: str, row: TraceRow) -> UUID:
    """An id that is always the same for a line of a source: UUID version 8 (RFC 9562, section 5.8).

    The line number comes first, so ids increase with the file and are adjacent in the index.
    """
    spread = hashlib.sha256(b"%s\0%d\0%s" % (source.encode(), row.line, row.digest)).digest()
    value = (row.line & (2**48 - 1)) << 80 | int.from_bytes(spread[:10], "big")
    return UUID(int=(value & ~(0xF << 76) & ~(0x3 << 62)) | (0x8 << 76) | (0x2 << 62))


def _azure() -> Reader:
    line = re.compile(rb"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\.(\d{7}),(\d{1,12}),(\d{1,12})")

    def read(number: int, digest: bytes, text: bytes) -> TraceRow:
        found = line.fullmatch(text)
        if not found:
            raise ValueError("expected YYYY-MM-DD HH:MM:SS.fffffff,ContextTokens,GeneratedTokens")
        date, clock, fraction, context, generated = found.groups()
        seconds = datetime.fromisoformat(f"{date.decode()}T{clock.decode()}+00:00")
        # Drop the seventh digit.
        moment = int(seconds.timestamp()) * MICROSECONDS + int(fraction[:6])
        return TraceRow(number, digest, moment, "", {"input": int(context), "output": int(generated)})

    return read


def _mooncake() -> Reader:
    seen: set[int] = set()

    def read(number: int, digest: bytes, text: bytes) -> TraceRow:
        entry = json.loads(text)
        if not isinstance(entry, dict) or set(entry) != {
            "timestamp",
            "input_length",
            "output_length",
            "hash_ids",
        }:
            raise ValueError("expected an object with timestamp, input_length, output_length, hash_ids")
        length, output, blocks = entry["input_length"], entry["output_length"], entry["hash_ids"]
        for name in ("timestamp", "input_length", "output_length"):
            _count(name, entry[name])
        if not isinstance(blocks, list) or any(type(block) is not int for block in blocks):
            raise ValueError("hash_ids must be a list of whole numbers")
        cached = min(length, MOONCAKE_BLOCK * sum(block in seen for block in blocks))
        seen.update(blocks)
        usage = {"input": length - cached, "cache_read": cached, "output": output}
        return TraceRow(number, digest, entry["timestamp"] * 1000, "", _used(usage))

    return read


def _servegen() -> Reader:
    line = re.compile(
        rb"(\d{1,12}),([0-9A-Za-z_-]{1,40}),(\d{1,12}),(\d{1,12}),(\d{1,12}),(\d{1,12}),(\d{1,6})"
    )

    def read(number: int, digest: bytes, text: bytes) -> TraceRow:
        found = line.fullmatch(text)
        if not found:
            raise ValueError("expected seven fields: whole numbers, the second a client's name")
        ms, client, *counts = found.groups()
        input_, image, output, reasoning, _images = map(int, counts)
        if reasoning > output:
            raise ValueError(
                f"reasoning_tokens {reasoning} is more than output_tokens {output}, which include it"
            )
        usage = {"input": input_, "output": output - reasoning, "reasoning": reasoning, "image": image}
        return TraceRow(number, digest, int(ms) * 1000, client.decode(), _used(usage))

    return read


def _jsonl() -> Reader:
    counts = [str(one.kind) for one in DECLARED if one.kind != Kind.REQUEST]
    allowed = {*counts, "occurred_at", "model", "project", "status"}

    def read(number: int, digest: bytes, text: bytes) -> TraceRow:
        entry = json.loads(text)
        if not isinstance(entry, dict) or "occurred_at" not in entry:
            raise ValueError("expected an object with at least occurred_at")
        if unknown := set(entry) - allowed:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        usage = {name: entry[name] for name in counts if name in entry}
        for name, count in usage.items():
            _count(name, count)
        at = datetime.fromisoformat(entry["occurred_at"])
        if at.tzinfo is None:
            raise ValueError("occurred_at has no time zone")
        if entry.setdefault("status", "ok") not in ("ok", "error", "cancelled"):
            raise ValueError("status must be ok, error or cancelled")
        for name in ("model", "project"):
            if not isinstance(entry.get(name, ""), str):
                raise ValueError(f"{name} must be text")
        moment = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return TraceRow(number, digest, moment, "", _used(usage), entry)

    return read


def _used(usage: dict[str, int]) -> dict[str, int]:
    """Only the kinds that the call used."""
    return {kind: count for kind, count in usage.items() if count}


def _count(name: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError(f"{name} must be a whole number from 0 to {LARGEST:,}, not {value!r}")


FORMATS: Final[dict[str, tuple[bytes | None, Callable[[], Reader]]]] = {
    "azure": (b"TIMESTAMP,ContextTokens,GeneratedTokens", _azure),
    "mooncake": (None, _mooncake),
    "servegen": (
        b"ms,client,input_tokens,image_tokens,output_tokens,reasoning_tokens,image_count",
        _servegen,
    ),
    "jsonl": (None, _jsonl),
}
# Formats whose lines include the date.
DATED: Final = frozenset({"azure", "jsonl"})
