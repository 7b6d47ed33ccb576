"""One request of a client, and its answer."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from gateway.proxy.http.request_heads import NO_REQUEST_HEAD, RequestHead

if TYPE_CHECKING:
    from gateway.proxy.http.server import ClientConnection

# Why a request cannot be read: too long a head, not HTTP/1.1, or too many clients at the same time.
Fault = Literal["", "too_large", "malformed", "no_room"]

# Bytes of a body that wait for their reader before the connection is no longer read.
MOST_WAITING = 64 * 1024
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


# A line of a head.
_line = ": ".join


class Exchange:
    """A request: its head, its body as it comes, and its only answer.

    `fault` says why the request could not be read; then only an answer is
    possible. `on_gone` is called when the client goes away while it is set.
    """

    __slots__ = (
        "_body_size", "_connection", "_is_begun", "_is_chunked", "_parts", "fault", "head", "is_body_complete",
        "is_cut_off", "is_ended", "is_last", "length", "on_gone",
    )  # fmt: skip

    def __init__(
        self,
        connection: "ClientConnection",
        head: RequestHead = NO_REQUEST_HEAD,
        length: bytes | None = None,
        fault: Fault = "",
        body: bytes | None = None,
    ) -> None:
        """A request whose head is here.

        Args:
            connection: over which it came.
            head: its head.
            length: the value of its Content-Length; None without one.
            fault: why it could not be read.
            body: all of its body, if that is here, too.
        """
        self._connection = connection
        self.fault: Fault = fault
        self.head = head
        self.length = length
        self.is_body_complete = fault != "" or body is not None
        # No further request on this connection.
        self.is_last = head.is_last
        # The rest of the body will not come.
        self.is_cut_off = self.is_ended = self._is_begun = self._is_chunked = False
        self.on_gone: Callable[[], None] | None = None
        self._parts: list[bytes] = [] if body is None else [body]
        self._body_size = 0 if body is None else len(body)

    @property
    def peer(self) -> str:
        """The address of the other end of the connection."""
        return self._connection.peer

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed the connection."""
        return self._connection.is_lost

    # the body

    def whole_body(self, most: int) -> bytes | None:
        """Return the body if all of it is here and it has at most `most` bytes, else None."""
        if not self.is_body_complete or self._body_size > most:
            return None
        parts, self._parts = self._parts, []
        return b"".join(parts)

    @property
    def body_so_far(self) -> bytes:
        """What has come of the body and nobody has read."""
        return b"".join(self._parts)

    async def next_part(self) -> bytes:
        """Return what has come of the body; wait if that is nothing. Empty at the end.

        Raises ConnectionResetError if the rest will not come.
        """
        while not self._parts:
            if self.is_body_complete:
                return b""
            if self.is_cut_off or self.is_gone:
                raise ConnectionResetError
            self._connection.permit_body()
            await self._connection.something()
        parts, self._parts = self._parts, []
        if self.is_full:
            self._connection.read_on()
        self._body_size = 0
        return b"".join(parts)

    def arrived(self, data: bytes) -> bool:
        """Note a part of the body. Returns whether its reader is too slow."""
        self._parts.append(data)
        self._body_size += len(data)
        return self.is_full

    @property
    def is_full(self) -> bool:
        """Whether so much of the body waits for its reader that no more is read."""
        return self._body_size > MOST_WAITING

    # the answer

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer."""
        head = self._head(status, headers, b"content-length: %d\r\n" % len(body))
        self._connection.write(head if self.head.method == "HEAD" else head + body)
        self.is_ended = True

    def begin(self, status: int, headers: Mapping[str, str], first: bytes = b"") -> None:
        """Begin an answer of unknown length, with its first part."""
        self._is_chunked = self.head.version == "1.1"
        self.is_last = self.is_last or not self._is_chunked
        head = self._head(status, headers, b"transfer-encoding: chunked\r\n" if self._is_chunked else b"")
        self._connection.write(head + self._framed(first))

    def send(self, data: bytes) -> bool:
        """Send a part of the answer. Returns whether its client is slow: then `drain` before the next one."""
        connection = self._connection
        if data and self.head.method != "HEAD":
            connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        return connection.drained is not None

    def end(self, data: bytes = b"") -> None:
        """Send the last part of the answer."""
        last = b"0\r\n\r\n" if self._is_chunked and self.head.method != "HEAD" else b""
        self._connection.write(self._framed(data) + last)
        self.is_ended = True

    @property
    def is_stuck(self) -> bool:
        """Whether more than a few bytes of the answer wait for the client."""
        return self._connection.drained is not None

    async def drain(self, seconds: float) -> None:
        """Wait while the client takes its answer. Raises TimeoutError if it takes nothing for `seconds`."""
        await self._connection.drain(seconds)

    def abort(self) -> None:
        """Close the connection at once."""
        self._connection.abort()

    def _framed(self, data: bytes) -> bytes:
        if not data or self.head.method == "HEAD":
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data

    def _head(self, status: int, headers: Mapping[str, str], framing: bytes) -> bytes:
        """The head of the answer. `framing` is the line that says how long its body is, if any does."""
        assert not self._is_begun, "a request has one answer"
        self._is_begun = True
        server = self._connection.server
        # The date ends the last line.
        lines = "\r\n".join((*map(_line, headers.items()), server.date()))
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ValueError("a header has a line end in it")
        if headers.get("connection") == "close":
            self.is_last = True
        elif self.is_last or not self.is_body_complete or server.is_ending:
            self.is_last = True
            framing += b"connection: close\r\n"
        start = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
        return b"%b%b%b\r\n\r\n" % (start, framing, lines.encode("latin-1", "replace"))
