"""Files of the usage spool: their format, and which files in a folder are ours.

A record is a line: eight hexadecimal digits of CRC-32, a space, and a body. A body is an event as JSON; or
`begun ` and the event to record for a stream if its end is never written; or `void ` and the id of a call
whose beginning no longer counts. Zeros at the end of a file are space that a crash left unused.
"""

import contextlib
import os
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from gateway.contract import ContractError, UsageEventReport, decode, encode, v1_usage

SUFFIX = ".spool"
# A file is not ours if its number is so high that no higher one of the same length may follow.
_NAME = re.compile(r"[0-8][0-9]{11}\.spool")
_BEGUN, _VOID = b"begun ", b"void "


@dataclass
class Segment:
    """The content of a segment file; `is_torn` if its last record was cut off.

    `begun` has the streams that began in it, by call id, each as last written; `ended` has the calls whose
    beginning no longer counts.
    """

    events: list[UsageEventReport] = field(default_factory=list)
    corrupt: list[bytes] = field(default_factory=list)
    begun: dict[str, UsageEventReport] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    is_torn: bool = False


@dataclass
class Bodies:
    """The calls in a segment, each as JSON."""

    events: list[bytes] = field(default_factory=list)
    # Records that cannot be read, whole.
    corrupt: list[bytes] = field(default_factory=list)


@dataclass
class Found:
    """What an earlier process left in a folder: segments by name, the next free number, and any problem."""

    segments: list[tuple[Path, Segment]] = field(default_factory=list)
    next_number: int = 1
    problems: list[str] = field(default_factory=list)


def event_line(event: UsageEventReport) -> bytes:
    """The record of a call."""
    return _frame(encode(event))


def begun_line(event: UsageEventReport) -> bytes:
    """The record of a stream that has begun."""
    return _frame(_BEGUN + encode(event))


def void_line(call_id: str) -> bytes:
    """The record that cancels a beginning."""
    return _frame(_VOID + call_id.encode())


def read_segment(path: Path) -> Segment:
    """Read a segment. If the last record has no end, a crash cut it off, and it was never acknowledged."""
    segment = Segment()
    lines = path.read_bytes().rstrip(b"\0").split(b"\n")
    segment.is_torn = lines.pop() != b""
    for line in lines:
        try:
            body = _unframe(line)
            if body.startswith(_VOID):
                segment.ended.add(body[len(_VOID) :].decode())
            elif body.startswith(_BEGUN):
                event = _read_event(body[len(_BEGUN) :])
                segment.begun[event.call_id] = event
            else:
                event = _read_event(body)
                segment.events.append(event)
                segment.ended.add(event.call_id)
        except (ContractError, ValueError):
            segment.corrupt.append(line)
    return segment


def read_bodies(path: Path) -> Bodies:
    """Read a segment that this process has closed: its calls as the JSON that was written, by their checksums only."""
    found = Bodies()
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            body = _unframe(line)
        except ValueError:
            found.corrupt.append(line)
            continue
        # Neither a beginning nor the end of one.
        if body.startswith(b"{"):
            found.events.append(body)
    return found


def read_checked_bodies(path: Path) -> Bodies:
    """Read a segment, perhaps of another version: its calls as JSON of this one. An invalid call counts as corrupt."""
    segment = read_segment(path)
    return Bodies([encode(event) for event in segment.events], segment.corrupt)


def _read_event(body: bytes) -> UsageEventReport:
    """An event of this version, or of the gateway that ran here before the upgrade. Raises ContractError."""
    try:
        return decode(UsageEventReport, body)
    except ContractError:
        with contextlib.suppress(ContractError):
            return v1_usage.as_current(decode(v1_usage.UsageEventReport, body))
        raise


def find_segments(directory: Path, aside: Path) -> Found:
    """Read the segments in a folder. Other files move to the folder `aside`; unreadable ones stay.

    Raises OSError if the folder itself cannot be made or listed.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = Found()
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        is_numbered = _NAME.fullmatch(path.name) is not None
        if is_numbered:
            found.next_number = max(found.next_number, int(path.stem) + 1)
        if not is_numbered or path.is_symlink() or not path.is_file():
            found.problems.append(_set_aside(path, aside))
            continue
        try:
            found.segments.append((path, read_segment(path)))
        except OSError as error:
            found.problems.append(f"{path.name} cannot be read: {error.strerror}. Its usage is not sent.")
    return found


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_aside(path: Path, aside: Path) -> str:
    """Move a file that is not a segment out of the way, and describe the problem."""
    try:
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = aside / path.name
        number = 1
        while target.exists():
            number += 1
            target = aside / f"{path.name}.{number}"
        path.rename(target)
    except OSError as error:
        return f"{path.name} is not a segment and cannot be moved away: {error.strerror}."
    return f"{path.name} is not a segment and was moved to {aside.name}/."


def _frame(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _unframe(line: bytes) -> bytes:
    """The body of a record. Raises ValueError if its checksum is wrong."""
    body = line[9:]
    if int(line[:8] or b"x", 16) != zlib.crc32(body):
        raise ValueError("the checksum does not match")
    return body
