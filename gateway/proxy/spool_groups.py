"""When the spool's writer gets records: at once, or after those of other calls had time to join.

A sync takes about as much processor time for many records as for one. So records that came while the writer worked
wait up to 1 ms for more, as long as more calls are in progress than wait already. A record that finds the writer free
never waits.
"""

import asyncio
import queue
from collections import deque
from collections.abc import Callable

from gateway.contract import MAX_BATCH
from gateway.proxy.spool_jobs import Job

_GATHER_SECONDS = 0.001


class Groups:
    """Hands jobs to the writer in groups, one at a time. Used in the event loop."""

    def __init__(self, writer: queue.SimpleQueue[list[Job] | None]) -> None:
        self._writer = writer
        self._waiting: deque[Job] = deque()
        self._is_writing = False
        # Whether the next step of the loop decides if the writer is to be woken.
        self._is_deciding = False
        # While records that came during a write wait for others.
        self._gathering: asyncio.TimerHandle | None = None
        # Writes a group without the writer; False if it cannot.
        self.directly: Callable[[list[Job]], bool] | None = None
        # Unknown: others are always likely.
        self.calls_in_progress: Callable[[], int] | None = None

    def add(self, job: Job) -> None:
        """Write a job soon. The writer is woken once for all jobs of one step of the loop."""
        self._waiting.append(job)
        if not self._is_writing:
            self._decide_soon()

    def written(self) -> None:
        """The writer is done with a group."""
        self._is_writing = False
        if self._waiting:
            self._gathering = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._hand_over)
            # Once the calls of that group have ended.
            self._decide_soon()

    def rest(self) -> list[Job]:
        """Everything that waits. It is not handed over anymore."""
        waiting, self._waiting = self._waiting, deque()
        return list(waiting)

    def _decide_soon(self) -> None:
        if not self._is_deciding:
            self._is_deciding = True
            asyncio.get_running_loop().call_soon(self._decide)

    def _decide(self) -> None:
        self._is_deciding = False
        if not self._is_writing and (self._gathering is None or not self._are_others_likely()):
            self._hand_over()

    def _are_others_likely(self) -> bool:
        return self.calls_in_progress is None or self.calls_in_progress() > len(self._waiting)

    def _hand_over(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if not self._waiting:
            return
        self._is_writing = True
        waiting = self._waiting
        if len(waiting) <= MAX_BATCH:
            group = list(waiting)
            waiting.clear()
        else:
            group = [waiting.popleft() for _ in range(MAX_BATCH)]
        # Another thread may take it away at the end.
        directly = self.directly
        if directly is None or not directly(group):
            self._writer.put(group)
