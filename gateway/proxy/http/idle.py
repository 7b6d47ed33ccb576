"""Connections that wait for a request, each for its time. One timer serves them all."""

import asyncio
from typing import Protocol


class Connection(Protocol):
    """What can be closed."""

    def abort(self) -> None:
        """Close it at once."""

    def close(self) -> None:
        """Close it once everything is sent."""


class IdleConnections(dict[Connection, float]):
    """Those that wait for the head of a request, or for the rest of it, the longest first; and until when, by the
    loop's clock.
    """

    def __init__(self, seconds: float) -> None:
        """`seconds` is how long each may wait before it is closed."""
        super().__init__()
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Give a connection its time from now on."""
        until = self[connection] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(until, self._close, loop)

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close those whose time is over, and look again when the next one's is."""
        self._timer = None
        now = loop.time()
        over: list[Connection] = []
        for connection, until in self.items():
            if until > now:
                self._timer = loop.call_at(until, self._close, loop)
                break
            over.append(connection)
        for connection in over:
            del self[connection]
            connection.abort()
