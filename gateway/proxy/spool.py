"""Store usage on disk before it counts: append-only segment files, one checksum per record, synced in groups.

The event loop writes most groups itself, and the kernel syncs them (`gateway.proxy.direct_writes`). A thread writes the
others: those that need space from the disk, end a segment, or meet an error.

What `append` returns is done after the fsync of its record; records that arrive while the disk is busy share the next
fsync. A segment is one batch of the uploader. It is deleted only when the control plane has confirmed it, so
a crash at any moment may repeat usage, but never loses it.

`begin` records that a stream begins, before its client gets a byte. While the stream continues, its current
tokens are written every second. A beginning no longer counts once its end is on disk. A beginning without an
end was cut off by a crash: the next process records it as a cancelled call. Before a segment is deleted, the
beginnings in it that still have no end are written again elsewhere.

If the disk fails (full, read-only), `append` fails, `is_writable` turns false and the gateway must refuse new
calls. Unwritten records stay in memory and are retried every second, until they are on disk and
`is_writable` is true again. Every second the spool also checks whether the disk accepts writes.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.contract import MAX_BATCH, Usage, UsageEventReport
from gateway.proxy.direct_writes import DirectWrites
from gateway.proxy.disk_reserve import Reserve
from gateway.proxy.kernel_sync import kernel_sync
from gateway.proxy.open_segment import OpenSegment
from gateway.proxy.segments import (
    SUFFIX,
    Segment,
    begun_line,
    event_line,
    find_segments,
    read_segment,
    sync_directory,
    void_line,
)
from gateway.proxy.spool_groups import Groups
from gateway.proxy.spool_jobs import Begun, Job, SpoolError, beginnings_again

__all__ = ["Segment", "Spool", "SpoolError", "read_segment", "sync_directory"]

_log = structlog.get_logger()
# Between retries, checks of the disk, and updates of streams.
_TICK_SECONDS = 1.0
# Streams; with more, each is updated less often.
_COUNTED_PER_TICK = 100
_LARGEST_SEGMENT = 8 * 1024 * 1024


class Spool:
    """The usage spool of one gateway. `start` it inside the event loop."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reserve = Reserve(directory)
        # What the writer takes at once; None ends it.
        self._jobs: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self.groups = Groups(self._jobs)
        # The event loop's view.
        self._closed: deque[Path] = deque()
        # Those of them that an earlier process wrote.
        self._found: set[Path] = set()
        self._next_number, self._is_found = 1, False
        # To write: what follows is for whoever holds it, the writer thread or `_direct`.
        self._turn = threading.Lock()
        self._direct: DirectWrites | None = None
        self._current: OpenSegment | None = None
        self._current_events = 0
        self._last_size = 0  # bytes of the segment before it
        self._unwritten: list[Job] = []
        # By call id.
        self._begun: dict[str, Begun] = {}
        # The writer thread's view.
        self._is_disk_good = True
        self._ticks = 0
        self._last_tick = 0.0
        # When the disk last gave space.
        self._last_growth = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._write_forever, name="usage-spool", daemon=True)
        self.is_writable = True
        # What was found and is not valid.
        self.problem = ""
        # Events on disk that are not yet confirmed.
        self.pending = 0
        # Cut-off records found at the start.
        self.torn = 0
        # Set when there is something to send.
        self.arrived = asyncio.Event()

    def start(self) -> None:
        """Find what an earlier process left, record the streams that it cut off, and start the writer.

        If the folder cannot be used, `is_writable` is false, and the spool retries every second.
        """
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            self._find()
        self._look_at_disk()
        self.is_writable = self._is_disk_good
        sync = kernel_sync()
        if sync is not None:
            self._direct = DirectWrites(sync, self._turn, self._written_directly, self._jobs.put)
            self.groups.directly = self._write_directly
        self._thread.start()

    def append(self, event: UsageEventReport) -> asyncio.Future[None]:
        """Record an event. The future is done when it is on disk; SpoolError if it cannot be written.

        Cancelling the future does not stop the write.
        """
        return self._submit(line=event_line(event), ends=event.call_id, is_event=True)

    def begin(self, event: UsageEventReport, count: Callable[[], Usage]) -> asyncio.Future[None]:
        """Record that a stream begins. The future is done when this is on disk; SpoolError if it cannot be written.

        If the end never comes, `event` is recorded, with the last tokens from `count`, which is called in another
        thread. The same call may begin again; the last beginning counts.
        """
        return self._submit(line=begun_line(event), begins=Begun(event, count))

    def forget(self, call_id: str) -> None:
        """Cancel a beginning: nothing of the stream was sent, so nothing is recorded."""
        self._submit(line=void_line(call_id), ends=call_id)

    async def checkpoint(self) -> None:
        """End the current segment, so that it can be sent."""
        await self._submit()

    async def leave(self, path: Path) -> None:
        """Write the beginnings in a segment that have no end yet again elsewhere, so that it can be deleted.

        Raises SpoolError if they cannot be written.
        """
        await self._submit(leaves=path)

    def oldest(self) -> Path | None:
        """The closed segment to send next."""
        return self._closed[0] if self._closed else None

    def is_found(self, path: Path) -> bool:
        """Whether an earlier process wrote this segment."""
        return path in self._found

    def confirm(self, path: Path, events: int) -> None:
        """Delete a segment that the control plane has confirmed. Call `leave` for it first."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._closed.remove(path)
        self._found.discard(path)
        self.pending -= events

    def close(self) -> None:
        """Write the queue and end the thread. Records that cannot be written are lost, and logged."""
        self.groups.directly = None
        if self._direct is not None:
            self._jobs.put(self._direct.take_over())
        self._jobs.put(self.groups.rest())
        self._jobs.put(None)
        self._thread.join()
        if self._direct is not None:
            self._direct.close()
        if lost := sum(job.is_event for job in self._unwritten):
            _log.error("usage_lost", events=lost, reason="the spool could not be written until the end")

    def _submit(
        self,
        *,
        line: bytes = b"",
        ends: str = "",
        begins: Begun | None = None,
        is_event: bool = False,
        leaves: Path | None = None,
    ) -> asyncio.Future[None]:
        assert self._loop is not None
        done: asyncio.Future[None] = self._loop.create_future()
        self.groups.add(Job(done, line, ends, begins, is_event, leaves))
        return done

    def _find(self) -> None:
        """Read what an earlier process left. Raises OSError if the folder cannot be used."""
        found = find_segments(self._directory, self._directory.parent / "aside")
        self._is_found = True
        self._next_number = found.next_number
        self.problem = " ".join(found.problems)
        for problem in found.problems:
            _log.error("spool_problem", reason=problem)
        begun: dict[str, Begun] = {}
        for path, segment in found.segments:
            self.torn += segment.is_torn
            self.pending += len(segment.events)
            self._closed.append(path)
            self._found.add(path)
            for call_id, event in segment.begun.items():
                begun[call_id] = Begun(event, None, path)
        for _, segment in found.segments:
            for call_id in segment.ended:
                begun.pop(call_id, None)
        self._begun.update(begun)
        cut_off = [
            Job(None, event_line(one.event), one.event.call_id, is_event=True) for one in begun.values()
        ]
        for start in range(0, len(cut_off), MAX_BATCH):
            self._jobs.put(cut_off[start : start + MAX_BATCH])
        if self._closed:
            events, torn = self.pending, self.torn
            _log.info("spool_found", segments=len(self._closed), events=events, torn=torn, cut_off=len(begun))
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self.arrived.set)

    def _write_forever(self) -> None:
        """The writer thread: write all waiting records together, then fsync once."""
        assert self._loop is not None
        is_ending = False
        # At the end, the loop may still bring a group that the kernel could not sync.
        while not is_ending or not self._jobs.empty():
            jobs, is_last = self._take_jobs()
            is_ending = is_ending or is_last
            is_tick = time.monotonic() - self._last_tick >= _TICK_SECONDS
            if is_tick:
                self._last_tick = time.monotonic()
                self._ticks += 1
            elif not jobs and not is_ending:
                continue
            with self._turn:
                outcome = self._write_group(jobs, is_tick=is_tick)
            # The loop may be closed at the very end. It has its turn when it hears of this.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._report, jobs, *outcome)
        with self._turn:  # or a group that the event loop writes would be cut off
            self._checkpoint_current()

    def _write_group(self, jobs: list[Job], *, is_tick: bool) -> tuple[int, OSError | None, bool, bool]:
        """In the writer thread: write these jobs, and what else is due.

        Returns how many more events are on disk, the error, whether the disk is good, and whether the segment was full.
        """
        writing = [*self._unwritten, *jobs]
        writing += self._moved(writing, is_tick)
        error = self._write_jobs([job for job in writing if job.line])
        self._unwritten = [job for job in writing if job.is_kept] if error else []
        if error is not None:
            self._is_disk_good = False
        elif is_tick and (not self._is_disk_good or time.monotonic() - self._last_growth > _TICK_SECONDS):
            self._look_at_disk()
        size = self._current.size if self._current else 0
        is_full = self._current_events >= MAX_BATCH or size >= _LARGEST_SEGMENT
        is_to_checkpoint = any(not job.line and job.leaves is None for job in jobs)
        if not error and (is_full or is_to_checkpoint):
            self._checkpoint_current()
        written = 0 if error else sum(job.is_event for job in writing)
        return written, error, self._is_disk_good, is_full

    def _write_directly(self, jobs: list[Job]) -> bool:
        """In the event loop: write a group, unless it needs more than a write into space that is there."""
        if not self._turn.acquire(blocking=False):
            return False
        current, is_begun = self._current, False
        try:
            is_begun = (
                current is not None
                and self._direct is not None
                and not self._unwritten
                and self._is_disk_good
                and self._current_events + len(jobs) < MAX_BATCH
                and all(job.line for job in jobs)
                and self._direct.begin(jobs, current)
            )
        finally:
            if not is_begun:
                self._turn.release()
        return is_begun

    def _written_directly(self, jobs: list[Job]) -> None:
        """In the event loop: such a group is on disk."""
        self._note_written(jobs)
        is_good = self._is_disk_good
        self._turn.release()
        self._report(jobs, sum([job.is_event for job in jobs]), None, is_good, False)

    def _take_jobs(self) -> tuple[list[Job], bool]:
        try:
            jobs = self._jobs.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return [], False
        return ([], True) if jobs is None else (jobs, False)

    def _moved(self, writing: list[Job], is_tick: bool) -> list[Job]:
        """Beginnings to write again: of segments to delete, and of streams that have progressed."""
        leaves = {job.leaves for job in writing if job.leaves is not None}
        is_time = is_tick and self._ticks % (len(self._begun) // _COUNTED_PER_TICK + 1) == 0
        if not leaves and not is_time:
            return []
        return beginnings_again(self._begun, writing, leaves, is_time=is_time)

    def _write_jobs(self, jobs: list[Job]) -> OSError | None:
        """Write and fsync all or nothing; then note which streams are in progress, and where they are written."""
        if not jobs:
            return None
        error = self._write([job.line for job in jobs])
        if error is not None and self._reserve.give_up(error):
            _log.error("spool_reserve_used", reason=str(error))
            error = self._write([job.line for job in jobs])
            self._is_disk_good = False
        if error is not None:
            return error
        self._note_written(jobs)
        return None

    def _note_written(self, jobs: list[Job]) -> None:
        """Count records that are on disk, and note which streams are in progress."""
        self._current_events += sum([job.is_event for job in jobs])
        for job in jobs:
            if job.begins is not None:
                job.begins.path = self._current.path if self._current else None
                self._begun[job.begins.event.call_id] = job.begins
            elif job.ends:
                self._begun.pop(job.ends, None)

    def _write(self, lines: list[bytes]) -> OSError | None:
        """Append and sync the data. After a failure the file is as before, or abandoned with an incomplete tail."""
        try:
            if self._current is None:
                self._current, self._current_events = self._new_segment(), 0
                sync_directory(self._directory)
            if self._current.write(b"".join(lines)):
                self._last_growth = time.monotonic()
        except OSError as error:
            self._undo()
            return error
        return None

    def _new_segment(self) -> OpenSegment:
        if not self._is_found:
            self._find()
        while True:
            path = self._directory / f"{self._next_number:012d}{SUFFIX}"
            self._next_number += 1
            # Another process created it meanwhile; the next start finds it.
            with contextlib.suppress(FileExistsError):
                return OpenSegment(path, self._last_size)

    def _undo(self) -> None:
        if self._current is None:
            return
        with contextlib.suppress(OSError):
            self._current.undo()
            if self._current.size:
                return
        # It has an incomplete tail, or perhaps no durable name.
        self._checkpoint_current()

    def _checkpoint_current(self) -> None:
        """Close the current segment, if there is one; if it has records, it can be sent."""
        current, self._current = self._current, None
        if current is not None and current.close():
            self._closed.append(current.path)
            self._last_size = current.size

    def _disk_error(self) -> OSError | None:
        """The error that prevents writing now; None if there is none."""
        try:
            if not self._is_found:
                self._find()
            self._reserve.check()
        except OSError as error:
            return error
        return None

    def _look_at_disk(self) -> None:
        """Check whether the disk accepts usage."""
        error = self._disk_error()
        if error is not None and self._is_disk_good:
            _log.error("spool_not_writable", reason=str(error))
        self._is_disk_good = error is None

    def _report(
        self, jobs: list[Job], written: int, error: OSError | None, is_writable: bool, is_full: bool
    ) -> None:
        """In the event loop: report the result of each record to its caller, and see to those that came meanwhile."""
        self.pending += written
        if written or is_full:
            self.arrived.set()
        if self.is_writable != is_writable:
            self.is_writable = is_writable
            level, reason = (20 if is_writable else 40), str(error or "")
            _log.log(level, "spool_writable", is_writable=is_writable, reason=reason)
        for job in jobs:
            job.report(error)
        if jobs:
            self.groups.written()
