"""A source's report of one call, and the encoding of a batch of calls for the database."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.utils.timezone import now

from billing.kinds import Kind
from billing.known_kinds import MOST_KINDS, KnownKind, kinds_named
from billing.packed_usage import DIGITS_OF_COUNT, NO_DIGITS, head_of_digits
from core.names import is_seen

NOTHING_USED: Final[Mapping[str, int]] = MappingProxyType({})


class UsageRecord(NamedTuple):
    """One call. Kinds are disjoint: nothing counts under two of them.

    A source always sends the same `event_id` with the same content.
    """

    event_id: UUID | str  # minted by the source
    key_id: UUID | str
    model: str  # public name
    # Aware; when the call arrived.
    occurred_at: datetime
    # Whole numbers by the kind's name. The ledger itself counts the call (`request`) unless `usage` does: 1 if a target
    # answered it, 0 after an error.
    usage: Mapping[str, int] = NOTHING_USED
    status: str = "ok"  # or "error", "cancelled"
    http_status: int = 200
    is_exact: bool = True
    latency_ms: int = 0
    first_token_ms: int | None = None
    is_stream: bool = False
    target_id: str | None = None
    config_revision: int = 0
    request_id: str | None = None
    trace_id: str | None = None
    # Who answered for the key when the call arrived.
    person_id: UUID | str | None = None
    # As the target named it.
    service_tier: str | None = None
    is_long_context: bool = False
    is_batch: bool = False
    # The model that the client asked for, if another one answered.
    asked_model: str | None = None


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

    `kinds` are the kinds that any record used, those of tokens first; every row has one count for each of them.
    `places`, `tariffs` and `targets` number the values that many records share. Rows carry only these numbers, so the
    database looks up tenant, day, prices and the target's number once for all of them.
    """

    kinds: list[KnownKind]
    rows: bytearray = field(default_factory=bytearray)
    # Number of well-formed records; `rows` numbers them from 0.
    count: int = 0
    records: list[UsageRecord] = field(default_factory=list)  # by that number
    malformed: list[tuple[UsageRecord, str]] = field(default_factory=list)  # with what is wrong
    # Number by (key, days since 2000, in UTC).
    places: dict[tuple[UUID, int], int] = field(default_factory=dict)
    # Number by (model, hours since 2000, in UTC).
    tariffs: dict[tuple[str, int], int] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)

    @property
    def place_rows(self) -> bytes:
        """`places` in the same format: number, key, days since 2000."""
        rows = (_PLACE.pack(3, 4, n, 16, key.bytes, 4, days) for (key, days), n in self.places.items())
        return b"".join((_COPY_HEADER, *rows, _COPY_TRAILER))


OLDEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
# An event further in the future than this is malformed.
CLOCKS_DIFFER_BY: Final = timedelta(days=1)
# Maximum of any count or milliseconds of one call: the largest PostgreSQL integer.
LARGEST: Final = 2**31 - 1
LONGEST_NAME: Final = 120
LONGEST_TEXT: Final = 200
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400_000_000  # microseconds
_HOUR: Final = 3_600_000_000
# PostgreSQL counts microseconds from here.
_2000: Final = 946_684_800_000_000

# One staged row: the number of fields, then the length and bytes of each field, in this order. The counts of the
# batch's kinds follow as `k1`, `k2` …
STAGING_COLUMNS: Final = (
    "n", "place", "tariff", "target", "event_id", "occurred_at", "latency_ms", "first_token_ms", "config_revision",
    "http_status", "is_exact", "is_stream", "is_long_context", "is_batch", "status", "request_id", "trace_id",
    "trace_text", "person_id", "service_tier", "asked_model", "payload_sha", "usage",
)  # fmt: skip
NO_TARGET: Final = -1
_PLACE: Final = struct.Struct(">hiii16sii")
_ROW: Final = struct.Struct(">h" + "ii" * 4 + "i16siq" + "ii" * 2 + "iqih" + "i?" * 4)  # up to is_batch
# The offset in a row at which the event's own content begins.
_CONTENT: Final = struct.calcsize(">h" + "ii" * 4)
_SIZE: Final = struct.Struct(">i")
_NULL: Final = _SIZE.pack(-1)
_NO_IDS: Final = _NULL * 6
_UUID_SIZE: Final = _SIZE.pack(16)
_SHA_SIZE: Final = _SIZE.pack(8)
_TRACE: Final = re.compile(r"[0-9a-f]{32}")  # of W3C Trace Context
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER: Final = b"\xff\xff"


def kinds_of(records: Sequence[UsageRecord]) -> list[KnownKind]:
    """The kinds that a batch of these records needs. May ask the database, and makes rows for unknown kinds."""
    names: set[str] = {Kind.REQUEST}
    for record in records:
        if isinstance(record.usage, Mapping):
            names.update(record.usage)
    return sorted(kinds_named(names).values(), key=lambda one: (not one.is_token, one.id))


class _Counts:
    """Encodes the usage of one call: as a packed number, and as one integer for each kind of the batch."""

    def __init__(self, kinds: Sequence[KnownKind]) -> None:
        by_id = {one.id: one.name for one in kinds}
        top = max(by_id)
        digits = "".join(DIGITS_OF_COUNT if number in by_id else NO_DIGITS for number in range(top, 0, -1))
        self._head = head_of_digits(top)
        self._pack = struct.Struct(">" + digits + "q" * len(kinds)).pack
        self._size = struct.calcsize(">" + digits)
        self._by_id = [by_id[number] for number in sorted(by_id, reverse=True)]
        self._names = [one.name for one in kinds]
        self._known = set(self._names)

    def encode(self, usage: Mapping[str, int], status: str) -> tuple[bytes, bytes]:
        """The fields of a row, and the usage for the fingerprint. Raises ValueError or TypeError if it is malformed."""
        if not usage.keys() <= self._known and (
            strange := [name for name in usage if name not in self._known]
        ):
            raise ValueError(
                f"{str(strange[0])[:60]!r} is no name of a kind, or there are {MOST_KINDS} kinds already"
            )
        if Kind.REQUEST not in usage:
            usage = {**usage, Kind.REQUEST: int(status != "error")}
        elif usage[Kind.REQUEST] not in (0, 1):
            raise ValueError(f"one call counts as 0 or 1 requests, not {usage[Kind.REQUEST]}")
        every_bit = 0
        for count in usage.values():
            every_bit |= count
        if every_bit < 0:
            raise ValueError("a number of usage is negative")
        if every_bit > LARGEST:
            raise ValueError(f"a number of usage is more than {LARGEST:,}")
        get = usage.get
        digits = [
            digit
            for count in [get(name, 0) for name in self._by_id]
            for digit in (count // 100_000_000, count // 10_000 % 10_000, count % 10_000)
        ]
        # Each integer with its length, 4, before it.
        fields = self._pack(*digits, *[get(name, 0) | 0x400000000 for name in self._names])
        return self._head + fields, fields[: self._size].lstrip(b"\0")


def encode(records: Sequence[UsageRecord], kinds: list[KnownKind] | None = None) -> Batch:
    """Check and encode records. Malformed records are set aside, each with an error message.

    `kinds` is `kinds_of(records)`, for callers whose thread has no database; without it, this function asks itself.
    """
    batch = Batch(kinds_of(records) if kinds is None else kinds)
    rows, kept, places, tariffs = batch.rows, batch.records, batch.places, batch.tariffs
    earliest, latest = _microseconds(OLDEST), _microseconds(now() + CLOCKS_DIFFER_BY)
    pack, sha256, columns = _ROW.pack, hashlib.sha256, len(STAGING_COLUMNS) + len(batch.kinds)
    count_usage = _Counts(batch.kinds).encode
    keys: dict[UUID | str, tuple[UUID, bytes]] = {}
    statuses = {status: _text(status) for status in ("ok", "error", "cancelled")}
    names: dict[str, bytes] = {}
    targets = batch.targets
    n = 0
    rows += _COPY_HEADER
    for record in records:
        (
            event_id, key_id, model, at, usage, status, http_status, is_exact, latency, first_token, is_stream, target,
            revision, request, trace, person, tier, is_long, is_batch, asked,
        ) = record  # fmt: skip
        try:
            if first_token is None:
                first_token = -1
            elif first_token < 0:
                raise ValueError("a number of milliseconds is negative")
            if not 0 <= latency <= LARGEST or first_token > LARGEST:
                raise ValueError(f"a number of milliseconds is negative or more than {LARGEST:,}")
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
            served = NO_TARGET if target is None else targets.get(target, len(targets))
            row = pack(
                columns, 4, n, 4, places.get(place, len(places)), 4, tariffs.get(tariff, len(tariffs)), 4, served,
                16, identity, 8, moment, 4, latency, 4, first_token, 8, revision, 2, http_status,
                1, is_exact, 1, is_stream, 1, is_long, 1, is_batch,
            ) + state  # fmt: skip
            used, said = count_usage(usage, status)
            if target is not None:
                said += _text(target)
            row += (
                _NO_IDS
                if request is trace is person is tier is asked
                else _ids(event_id, request, trace, person, tier, asked)
            )
        except (ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
            batch.malformed.append((record, str(error)))
            continue
        places.setdefault(place, len(places))
        tariffs.setdefault(tariff, len(tariffs))
        if target is not None:
            targets.setdefault(target, len(targets))
        rows += row
        rows += _SHA_SIZE
        rows += sha256(row[_CONTENT:] + key_bytes + name + said).digest()[:8]
        rows += used
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
        name: {_storable(kind): _storable(count) for kind, count in value.items()}
        if isinstance(value, Mapping)
        else _storable(value)
        for name, value in record._asdict().items()
    }


def _storable(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)[:1000].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


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


def _ids(
    event_id: UUID | str,
    request: str | None,
    trace: str | None,
    person: UUID | str | None,
    tier: str | None,
    asked: str | None,
) -> bytes:
    """The call's other ids, its tier and the model asked for, encoded compactly.

    A request id equal to the event id is left out. A trace id of 32 hexadecimal digits takes 16 bytes; any other is
    kept as text.

    Args:
        event_id: id of the call.
        request: the answer's request id.
        trace: the caller's trace id.
        person: id of the person who answers for the key.
        tier: the target's service tier.
        asked: the model that the client asked for, if another one answered.
    """
    own = event_id if type(event_id) is str else str(event_id)
    own_request = _NULL if request is None or request == own else _text(request)
    if trace is None:
        traced = _NULL + _NULL
    elif _TRACE.fullmatch(trace):
        traced = _UUID_SIZE + bytes.fromhex(trace) + _NULL
    else:
        traced = _NULL + _text(trace)
    whose = _NULL if person is None else _UUID_SIZE + _uuid(person).bytes
    facts = (_NULL if tier is None else _text(tier)) + (_NULL if asked is None else _model_name(asked))
    return own_request + traced + whose + facts


def _text(value: str) -> bytes:
    data = value.encode()
    if len(data) > LONGEST_TEXT or b"\0" in data:
        raise ValueError(f"a text is longer than {LONGEST_TEXT} bytes or contains a NUL")
    return _SIZE.pack(len(data)) + data
