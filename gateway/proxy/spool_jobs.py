"""What the event loop hands to the spool's writer thread."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.contract import Usage, UsageEventReport
from gateway.proxy.segments import begun_line


class SpoolError(Exception):
    """An event could not be written to disk; it stays in memory and is retried."""


@dataclass(slots=True)
class Begun:
    """A stream in progress: its event if no end follows, how to count it again, and where it was last written."""

    event: UsageEventReport
    count: Callable[[], Usage] | None
    path: Path | None = None

    def is_counted_anew(self) -> bool:
        """Update the usage. Returns whether it has changed."""
        if self.count is None:
            return False
        try:
            usage = self.count()
        # The other thread is in the middle of a step.
        except Exception:
            return False
        if usage == self.event.usage:
            return False
        self.event = msgspec.structs.replace(self.event, usage=usage)
        return True


@dataclass(slots=True)
class Job:
    """A job for the writer. Without a line: end the segment, and move the beginnings out of `leaves`."""

    # None: nobody waits.
    done: asyncio.Future[None] | None
    line: bytes = b""
    # The call whose beginning no longer counts.
    ends: str = ""
    begins: Begun | None = None
    is_event: bool = False
    leaves: Path | None = None

    @property
    def is_kept(self) -> bool:
        """Whether to retry it if it cannot be written."""
        return bool(self.line) and self.begins is None

    def report(self, error: OSError | None) -> None:
        """Tell who waits that the group of this job is on disk, or why it is not."""
        done = self.done
        if done is None or done.done():
            return
        if error is not None and (self.line or self.leaves is not None):
            done.set_exception(SpoolError(f"Usage cannot be recorded: {error.strerror}"))
            # Marks it as retrieved: perhaps nobody waits anymore.
            done.exception()
        else:
            done.set_result(None)


def beginnings_again(
    begun: dict[str, Begun], writing: list[Job], leaves: set[Path], *, is_time: bool
) -> list[Job]:
    """Jobs that write beginnings again: those in segments to delete, and of streams that have progressed.

    Args:
        begun: streams in progress, by call id.
        writing: what is written with them; they are left out if it has them.
        leaves: segments to delete.
        is_time: whether to count the streams again.
    """
    written_ids = {job.ends or (job.begins.event.call_id if job.begins else "") for job in writing}
    again = []
    for call_id, one in begun.items():
        if call_id in written_ids or not (is_time or one.path in leaves):
            continue
        if one.is_counted_anew() or one.path in leaves:
            again.append(Job(None, begun_line(one.event), begins=one))
    return again
