"""What the event loop hands to the spool's writer thread."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.contract import Usage, UsageEventReport


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
