"""Groups of records that the event loop writes itself, while the kernel syncs them.

Nearly all do not need the writer thread: the segment has room that is on disk already, so a write only copies the
records into the page cache, which takes two microseconds. Whatever fails or may take long is the writer's: it writes
the same records again at the same place, and is the only one that handles errors.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import structlog

from gateway.proxy.kernel_sync import KernelSync
from gateway.proxy.open_segment import OpenSegment
from gateway.proxy.spool_jobs import Job

_log = structlog.get_logger()
# A system with very many unwritten pages makes whoever writes wait. Then the writer waits instead, for a while; also
# after any error.
_SLOW_SECONDS = 0.05
_PAUSE_SECONDS = 10.0


class DirectWrites:
    """One group at a time. Used in the event loop, except for `take_over`.

    Whoever writes to the segment holds `turn`: the writer while it is awake, or this, from `begin` to the end of the
    sync.
    """

    def __init__(
        self,
        sync: KernelSync,
        turn: threading.Lock,
        written: Callable[[list[Job]], None],
        failed: Callable[[list[Job]], None],
    ) -> None:
        """Watch for syncs that are done.

        Args:
            sync: of the kernel.
            turn: to write to the segment.
            written: called with a group that is on disk, before the turn is given back.
            failed: called with a group that the writer has to write, before the turn is given back.
        """
        self._sync = sync
        self._turn = turn
        self._written = written
        self._failed = failed
        # The group that is being synced, and the bytes of its records.
        self._in_flight: list[tuple[list[Job], OpenSegment, int]] = []
        self._not_before = 0.0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sync.descriptor, self._synced)

    def begin(self, jobs: list[Job], segment: OpenSegment) -> bool:
        """Write jobs that all have a line, and begin to sync them. False: the writer has to. Holds the turn."""
        began = time.monotonic()
        if began < self._not_before:
            return False
        records = b"".join([job.line for job in jobs])
        try:
            if not segment.write_ahead(records):
                return False
            if time.monotonic() - began > _SLOW_SECONDS:
                self._not_before = began + _PAUSE_SECONDS
            self._sync.begin(segment.descriptor)
        except OSError as error:
            self._pause(error)
            return False
        self._in_flight.append((jobs, segment, len(records)))
        return True

    def take_over(self) -> list[Job]:
        """End. Returns the group that is being synced, for the writer to write. Safe in any thread."""
        try:
            jobs, _, _ = self._in_flight.pop()
        except IndexError:
            return []
        self._turn.release()
        return jobs

    def close(self) -> None:
        """Watch no longer. Call `take_over` before. Safe in any thread."""
        # The loop may be closed at the very end.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._loop.remove_reader(self._sync.descriptor)
        self._sync.close()

    def _synced(self) -> None:
        problem = None
        try:
            self._sync.finish()
        except BlockingIOError:
            # Nothing is done yet.
            return
        except OSError as error:
            problem = error
        try:
            jobs, segment, size = self._in_flight.pop()
        except IndexError:
            return
        if problem is not None:
            self._pause(problem)
            # Before the writer can go on: it may be about to end.
            self._failed(jobs)
            self._turn.release()
            return
        segment.advance(size)
        self._written(jobs)

    def _pause(self, error: OSError) -> None:
        self._not_before = time.monotonic() + _PAUSE_SECONDS
        _log.warning("spool_not_written_directly", reason=str(error))
