"""Usage on disk before it counts: append-only segment files, one checksum per record, fsync in groups.

A record is a line: eight hexadecimal digits of CRC-32, a space, the event as JSON. `append` returns when its
record has been fsynced; records that arrive while the disk is busy share the next fsync. A segment is one
batch of the uploader and is deleted only when the control plane has confirmed it, so a crash at any moment
repeats at worst, and never loses.

If the disk refuses (full, read-only), `append` raises, `is_writable` turns false and new calls are to be
refused; what could not be written is kept in memory and tried again every second, until it is on disk and
`is_writable` is true again.
"""

import asyncio
import contextlib
import os
import queue
import threading
import zlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.contract import MAX_BATCH, ContractError, UsageEventReport, decode, encode

_log = structlog.get_logger()
_SUFFIX = ".spool"
_RETRY_SECONDS = 1.0


class SpoolError(Exception):
    """An event could not be written to disk; it is kept in memory and tried again."""


@dataclass
class Segment:
    """What a segment file holds; `is_torn` if its last record was cut off."""

    events: list[UsageEventReport] = field(default_factory=list)
    corrupt: list[bytes] = field(default_factory=list)
    is_torn: bool = False


@dataclass
class _Job:
    done: asyncio.Future[None]
    line: bytes | None  # None asks for the current segment to be sealed


class Spool:
    """The usage spool of one gateway. `start` it inside the event loop."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._sealed: deque[Path] = deque()
        self._next_number = 1
        self._current: tuple[int, Path] | None = None  # file descriptor and path; the writer thread's
        self._current_size = 0
        self._current_count = 0
        self._unwritten: list[bytes] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._write_forever, name="usage-spool", daemon=True)
        self.is_writable = True
        self.pending = 0  # events on disk and not yet confirmed
        self.torn = 0  # cut-off records found at the start
        self.arrived = asyncio.Event()  # set when there is something to send

    def start(self) -> None:
        """Find what an earlier process left, and begin to write."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            segment = read_segment(path)
            self.torn += segment.is_torn
            self.pending += len(segment.events)
            self._sealed.append(path)
            self._next_number = int(path.stem) + 1
        if self._sealed:
            _log.info("spool_found", segments=len(self._sealed), events=self.pending, torn=self.torn)
            self.arrived.set()
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def append(self, event: UsageEventReport) -> None:
        """Record an event; returns when it is on disk. Raises SpoolError if it is not.

        Being cancelled changes nothing: the event is written all the same.
        """
        await asyncio.shield(self._submit(_frame(encode(event))))

    async def seal(self) -> None:
        """End the current segment, so that it can be sent."""
        await self._submit(None)

    def oldest(self) -> Path | None:
        """The sealed segment that is to be sent next."""
        return self._sealed[0] if self._sealed else None

    def confirm(self, path: Path, events: int) -> None:
        """Delete a segment that the control plane has."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._sealed.remove(path)
        self.pending -= events

    def close(self) -> None:
        """Write what is queued and end the thread. What cannot be written is lost, and the log says so."""
        self._jobs.put(None)
        self._thread.join()
        if self._unwritten:
            _log.error(
                "usage_lost",
                events=len(self._unwritten),
                reason="the spool could not be written until the end",
            )

    def _submit(self, line: bytes | None) -> asyncio.Future[None]:
        assert self._loop is not None
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put(_Job(done, line))
        return done

    def _write_forever(self) -> None:
        """The writer thread: everything that waits is written together, then fsynced once."""
        is_ending = False
        while not is_ending:
            jobs, is_ending = self._take_jobs()
            lines = self._unwritten + [job.line for job in jobs if job.line is not None]
            error = self._write(lines) if lines else None
            self._unwritten = lines if error else []
            if not error and (self._current_count >= MAX_BATCH or any(job.line is None for job in jobs)):
                self._seal_current()
            written = 0 if error else len(lines)
            assert self._loop is not None
            with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
                self._loop.call_soon_threadsafe(self._report, jobs, written, error)
        self._seal_current()

    def _take_jobs(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        try:
            job = self._jobs.get(timeout=_RETRY_SECONDS if self._unwritten else None)
            while job is not None:
                jobs.append(job)
                if len(jobs) >= MAX_BATCH:
                    return jobs, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, False
        return jobs, True

    def _write(self, lines: list[bytes]) -> OSError | None:
        """Append and fsync. After a failure the file is as it was before, or given up with a cut-off tail."""
        try:
            if self._current is None:
                self._open_segment()
            assert self._current is not None
            descriptor = self._current[0]
            data = memoryview(b"".join(lines))
            size = len(data)
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError as error:
            self._undo()
            return error
        self._current_size += size
        self._current_count += len(lines)
        return None

    def _open_segment(self) -> None:
        path = self._directory / f"{self._next_number:012d}{_SUFFIX}"
        self._next_number += 1
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._current, self._current_size, self._current_count = (descriptor, path), 0, 0
        sync_directory(self._directory)

    def _undo(self) -> None:
        if self._current is None:
            return
        try:
            os.ftruncate(self._current[0], self._current_size)
        except OSError:
            self._seal_current()

    def _seal_current(self) -> None:
        if self._current is None:
            return
        descriptor, path = self._current
        os.close(descriptor)
        self._current = None
        if self._current_count:
            self._sealed.append(path)
        else:
            with contextlib.suppress(OSError):
                path.unlink()

    def _report(self, jobs: list[_Job], written: int, error: OSError | None) -> None:
        """In the event loop: tell the callers what became of their records."""
        self.pending += written
        if written:
            self.arrived.set()
        if self.is_writable != (error is None) and (error or written):
            self.is_writable = error is None
            _log.log(
                40 if error else 20, "spool_writable", is_writable=self.is_writable, reason=str(error or "")
            )
        for job in jobs:
            if job.done.done():
                continue
            if error is not None and job.line is not None:
                job.done.set_exception(SpoolError(f"Usage cannot be recorded: {error.strerror}"))
                job.done.exception()  # looked at: nobody may be waiting any more
            else:
                job.done.set_result(None)


def read_segment(path: Path) -> Segment:
    """Read a segment. A last record without an end was cut off by a crash, and never acknowledged."""
    segment = Segment()
    lines = path.read_bytes().split(b"\n")
    segment.is_torn = lines.pop() != b""
    for line in lines:
        try:
            segment.events.append(decode(UsageEventReport, _unframe(line)))
        except (ContractError, ValueError):
            segment.corrupt.append(line)
    return segment


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _frame(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _unframe(line: bytes) -> bytes:
    """The body of a record. Raises ValueError if it is not what was written."""
    body = line[9:]
    if int(line[:8] or b"x", 16) != zlib.crc32(body):
        raise ValueError("the checksum does not match")
    return body
