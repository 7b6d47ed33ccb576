"""The answer of a backend to one call, for whoever reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from gateway.proxy.http.errors import TransportError

if TYPE_CHECKING:
    from gateway.proxy.http.backend import BackendConnection

# Bytes that wait for their reader before the connection is no longer read.
MOST_WAITING = 256 * 1024


class Answer(msgspec.Struct, eq=False):
    """The answer to one call: its head, and its body as it comes. `close` it in any case."""

    _connection: BackendConnection
    # The longest silence in the middle of the body.
    _seconds: float
    status: int = 0
    # Status and headers are complete.
    has_head: bool = False
    # By lower-case name, without Content-Length; the values of a repeated one are joined by commas.
    headers: Mapping[str, str] = {}
    # The value of Content-Length; None without one.
    length: bytes | None = None
    # What has come of the body; until the end of it, the list to which the parser adds.
    pieces: list[bytes] = []
    # Bytes that came since the last read, with those around the body.
    waiting: int = 0
    # Takes what has come of the body at once, or refuses it; then it waits for the reader. None: all of it waits.
    take: Callable[[bytes], bool] | None = None
    # The longest silence after what was taken.
    silence: float = 0.0
    _is_complete: bool = False
    _error: TransportError | None = None

    @property
    def content_length(self) -> int:
        """The announced length of the body in bytes; 0 if it is unknown."""
        length = self.length
        return int(length) if length is not None and length.isdigit() and len(length) < 19 else 0

    async def read(self, until: float | None = None) -> bytes:
        """Return what has come of the body; wait if that is nothing. Empty at the end.

        `until` is the time of the loop's clock at which the wait ends; None: after the response time-out of the call.
        Raises TimeoutError, after which it can be repeated, and TransportError, but only after everything that came
        before the connection broke.
        """
        while not (pieces := self.pieces):
            if self._is_complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._connection.wait(until, self._seconds)
        if len(pieces) == 1:
            data = pieces.pop()
        else:
            data = b"".join(pieces)
            pieces.clear()
        if self.waiting > MOST_WAITING and not self._is_complete and self._error is None:
            self._connection.resume()
        self.waiting = 0
        return data

    async def read_past(self, take: Callable[[bytes], bool], until: float, seconds: float) -> bytes:
        """As `read`, for the first that `take` refuses: what comes is given to it at once, and it must not wait.

        Args:
            take: returns whether it takes some bytes of the body, all of them or none.
            until: the time of the loop's clock at which the wait ends if nothing comes.
            seconds: the longest wait after what `take` took.
        """
        self.take, self.silence = take, seconds
        try:
            return await self.read(until)
        finally:
            self.take = None

    async def read_up_to(self, most: int, until: float) -> bytes:
        """Return the first `most` bytes of the body, or what has come of them until a time of the loop's clock."""
        parts: list[bytes] = []
        size = 0
        with contextlib.suppress(TimeoutError, TransportError):
            while size < most and (data := await self.read(until)):
                parts.append(data)
                size += len(data)
        return b"".join(parts)[:most]

    def require_open(self) -> None:
        """Raises TransportError if the connection broke."""
        if self._error is not None:
            raise self._error

    def finish(self, seconds: float) -> None:
        """Read no more. The connection is kept if the body ends within `seconds`."""
        self.pieces.clear()
        if not self._is_complete and self._error is None:
            self._connection.linger(seconds)

    def close(self) -> None:
        """Read no more; end the connection unless the body has ended, or `finish` waits for that."""
        if not self._is_complete and self._error is None:
            self._connection.leave()

    def came_whole(self, headers: Mapping[str, str], body: bytes) -> None:
        """Note the whole answer, of status 200."""
        self.status = 200
        self.has_head = self._is_complete = True
        self.headers = headers
        self.length = b"%d" % len(body)
        self.pieces = [body]

    def take_whole(self, most: int) -> bytes | None:
        """Take the body if all of it has come, in one piece and with at most `most` bytes; else None."""
        if not self._is_complete or len(self.pieces) != 1 or len(self.pieces[0]) > most:
            return None
        return self.pieces.pop()

    def ended(self, error: TransportError | None = None) -> None:
        """Note the end of the body, or why it does not come."""
        if error is None:
            self._is_complete = True
        else:
            self._error = error
