"""A timer that is set for every step of a connection and rings rarely."""

import asyncio
from collections.abc import Callable


class Timer:
    """Calls `ring` once its time has come. Moving it later, or off, costs an assignment and no work of the loop."""

    __slots__ = ("_armed_at", "_at", "_handle", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._at: float | None = None
        self._armed_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Ring at this time of the loop's clock, and at no other."""
        self._at = at
        if self._handle is not None:
            if self._armed_at <= at:
                return
            self._handle.cancel()
        self._arm(at)

    def off(self) -> None:
        """Do not ring. The loop may still look at the timer once."""
        self._at = None

    def close(self) -> None:
        """Never ring again; free what the loop holds."""
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, at: float) -> None:
        self._armed_at = at
        self._handle = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._at > self._loop.time():
            self._arm(self._at)
            return
        self._at = None
        self._ring()
