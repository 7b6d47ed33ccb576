"""A source's report of one call, and the encoding of a batch of calls for the database."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.utils.timezone import now

from core.names import is_seen


class UsageRecord(NamedTuple):
    """One call. Kinds of tokens are disjoint, so their sum is the total.

    A source always sends the same `event_id` with the same content.
    """

    event_id: UUID | str  # minted by the source
    key_id: UUID | str
    model: str  # public name
    # Aware; when the call arrived.
    occurred_at: datetime
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    image: int = 0
    audio: int = 0
    status: str = "ok"  # or "error", "cancelled"
    http_status: int = 200
    is_exact: bool = True
    latency_ms: int = 0
    first_token_ms: int | None = None
    is_stream: bool = False
    backend_id: str | None = None
    config_revision: int = 0
    request_id: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True)
class Receipt:
    """The result of a batch. The three numbers add up to the number of events sent."""

    recorded: int = 0  # new in the ledger
    # Already in the ledger with the same content.
    repeated: int = 0
    # Kept but not billed: unknown key, same id with other content, or malformed.
    quarantined: int = 0

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.recorded + other.recorded,
            self.repeated + other.repeated,
            self.quarantined + other.quarantined,
        )


@dataclass
class Batch:
    """Records in PostgreSQL's binary COPY format, and the facts that ingest needs before it reads them.

    `places`, `tariffs` and `backends` number the values that many records share. Rows carry only these numbers, so the
    database looks up tenant, day, prices and the backend's number once for all of them.
    """

    rows: bytearray = field(default_factory=bytearray)
    # Number of well-formed records; `rows` numbers them from 0.
    count: int = 0
    records: list[UsageRecord] = field(default_factory=list)  # by that number
    malformed: list[tuple[UsageRecord, str]] = field(default_factory=list)  # with what is wrong
    # Number by (key, days since 2000, in UTC).
    places: dict[tuple[UUID, int], int] = field(default_factory=dict)
    # Number by (model, hours since 2000, in UTC).
    tariffs: dict[tuple[str, int], int] = field(default_factory=dict)
    backends: dict[str, int] = field(default_factory=dict)

    @property
    def place_rows(self) -> bytes:
        """`places` in the same format: number, key, days since 2000."""
        rows = (_PLACE.pack(3, 4, n, 16, key.bytes, 4, days) for (key, days), n in self.places.items())
        return b"".join((_COPY_HEADER, *rows, _COPY_TRAILER))


OLDEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
# An event further in the future than this is malformed.
CLOCKS_DIFFER_BY: Final = timedelta(days=1)
# Maximum tokens or milliseconds of one call: the largest PostgreSQL integer. All its bits are set.
LARGEST: Final = 2**31 - 1
LONGEST_NAME: Final = 120
LONGEST_TEXT: Final = 200
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400_000_000  # microseconds
_HOUR: Final = 3_600_000_000
# PostgreSQL counts microseconds from here.
_2000: Final = 946_684_800_000_000

# One staged row: the number of fields, then the length and bytes of each field, in this order.
STAGING_COLUMNS: Final = (
    "n", "place", "tariff", "backend", "event_id", "occurred_at", "input", "cache_read", "cache_write", "output",
    "reasoning", "image", "audio", "latency_ms", "first_token_ms", "config_revision", "http_status", "is_exact",
    "is_stream", "status", "request_id", "trace_id", "trace_text", "payload_sha",
)  # fmt: skip
NO_BACKEND: Final = -1
_PLACE: Final = struct.Struct(">hiii16sii")
_ROW: Final = struct.Struct(">h" + "ii" * 4 + "i16siq" + "ii" * 9 + "iqih" + "i?" * 2)  # up to is_stream
# The offset in a row at which the event's own content begins.
_CONTENT: Final = struct.calcsize(">h" + "ii" * 4)
_SIZE: Final = struct.Struct(">i")
_NULL: Final = _SIZE.pack(-1)
_THREE_NULLS: Final = _NULL * 3
_UUID_SIZE: Final = _SIZE.pack(16)
_SHA_SIZE: Final = _SIZE.pack(8)
_TRACE: Final = re.compile(r"[0-9a-f]{32}")  # of W3C Trace Context
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER: Final = b"\xff\xff"


def encode(records: Iterable[UsageRecord]) -> Batch:
    """Check and encode records. Malformed records are set aside, each with an error message."""
    batch = Batch()
    rows, kept, places, tariffs = batch.rows, batch.records, batch.places, batch.tariffs
    earliest, latest = _microseconds(OLDEST), _microseconds(now() + CLOCKS_DIFFER_BY)
    pack, sha256, columns = _ROW.pack, hashlib.sha256, len(STAGING_COLUMNS)
    keys: dict[UUID | str, tuple[UUID, bytes]] = {}
    statuses = {status: _text(status) for status in ("ok", "error", "cancelled")}
    names: dict[str, bytes] = {}
    backends = batch.backends
    n = 0
    rows += _COPY_HEADER
    for record in records:
        (
            event_id, key_id, model, at, input_, cache_read, cache_write, output, reasoning, image, audio, status,
            http_status, is_exact, latency, first_token, is_stream, backend, revision, request, trace,
        ) = record  # fmt: skip
        try:
            every_bit = input_ | cache_read | cache_write | output | reasoning | image | audio | latency
            if every_bit < 0:
                raise ValueError("a number of tokens or milliseconds is negative")
            if every_bit > LARGEST:
                raise ValueError(f"a number of tokens or milliseconds is more than {LARGEST:,}")
            if first_token is None:
                first_token = -1
            elif first_token < 0:
                raise ValueError("a number of tokens or milliseconds is negative")
            if at.tzinfo is None:
                raise ValueError("occurred_at has no time zone")
            moment = round(at.timestamp() * 1_000_000) - _2000
            if not earliest <= moment <= latest:
                raise ValueError(f"occurred_at {at.isoformat()} is before 2020 or more than a day ahead")
            if key_id not in keys:
                keys[key_id] = _uuid(key_id), _uuid(key_id).bytes
            key, key_bytes = keys[key_id]
            if (name := names.get(model)) is None:
                name = names[model] = _model_name(model)
            if (state := statuses.get(status)) is None:
                raise ValueError(f"status {status!r} is not ok, error or cancelled")
            identity = (event_id if type(event_id) is UUID else _uuid(event_id)).int.to_bytes(16, "big")
            place, tariff = (key, moment // _DAY), (model, moment // _HOUR)
            served = NO_BACKEND if backend is None else backends.get(backend, len(backends))
            row = pack(
                columns, 4, n, 4, places.get(place, len(places)), 4, tariffs.get(tariff, len(tariffs)), 4, served,
                16, identity, 8, moment, 4, input_, 4, cache_read, 4, cache_write, 4, output, 4, reasoning,
                4, image, 4, audio, 4, latency, 4, first_token, 8, revision, 2, http_status, 1, is_exact, 1, is_stream,
            ) + state  # fmt: skip
            said = b"" if backend is None else _text(backend)
            row += _THREE_NULLS if request is trace is None else _ids(event_id, request, trace)
        except (ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
            batch.malformed.append((record, str(error)))
            continue
        places.setdefault(place, len(places))
        tariffs.setdefault(tariff, len(tariffs))
        if backend is not None:
            backends.setdefault(backend, len(backends))
        rows += row
        rows += _SHA_SIZE
        rows += sha256(row[_CONTENT:] + key_bytes + name + said).digest()[:8]
        kept.append(record)
        n += 1
    rows += _COPY_TRAILER
    batch.count = n
    return batch


def in_batches(records: Iterable[UsageRecord], size: int) -> Iterable[list[UsageRecord]]:
    """Lists of at most `size` records, in order."""
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch


def as_json(record: UsageRecord) -> dict[str, Any]:
    """A record as quarantine stores it. Values that JSON or PostgreSQL cannot hold become shortened text."""
    return {
        name: value
        if value is None or isinstance(value, bool | int)
        else str(value)[:1000].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        for name, value in record._asdict().items()
    }


def key_of(record: UsageRecord) -> UUID | None:
    """The key that a record names; None if the value cannot be a key."""
    try:
        return _uuid(record.key_id)
    except ValueError:
        return None


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) - _2000


def _uuid(value: UUID | str) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"{value!r} is not a UUID") from None


def _model_name(value: str) -> bytes:
    if not value or len(value) > LONGEST_NAME:
        raise ValueError(f"a model's name has 1 to {LONGEST_NAME} characters")
    if not is_seen(value):
        raise ValueError("a model's name must be one line of visible characters")
    return _text(value)


def _ids(event_id: UUID | str, request: str | None, trace: str | None) -> bytes:
    """The call's other ids, encoded compactly. A request id equal to the event id is left out. A trace id of 32
    hexadecimal digits takes 16 bytes; any other is kept as text."""
    own = event_id if type(event_id) is str else str(event_id)
    own_request = _NULL if request is None or request == own else _text(request)
    if trace is None:
        return own_request + _NULL + _NULL
    if _TRACE.fullmatch(trace):
        return own_request + _UUID_SIZE + bytes.fromhex(trace) + _NULL
    return own_request + _NULL + _text(trace)


def _text(value: str) -> bytes:
    data = value.encode()
    if len(data) > LONGEST_TEXT or b"\0" in data:
        raise ValueError(f"a text is longer than {LONGEST_TEXT} bytes or contains a NUL")
    return _SIZE.pack(len(data)) + data
