"""One request of a client, and its answer."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from gateway.proxy.http.heads import NO_HEAD, NO_TARGET

if TYPE_CHECKING:
    from gateway.proxy.http.server import ClientConnection

# Why a request cannot be read: too long a head, not HTTP/1.1, or too many clients at the same time.
Fault = Literal["", "too_large", "malformed", "no_room"]

# Bytes of a body that wait for their reader before the connection is no longer read.
MOST_WAITING = 64 * 1024
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Exchange:
    """A request: its head, its body as it comes, and its only answer.

    `fault` says why the request could not be read; then only an answer is
    possible. `on_gone` is called when the client goes away while it is set.
    """

    __slots__ = (
        "_body_size", "_connection", "_is_begun", "_is_chunked", "_parts", "fault", "head", "head_count", "head_size",
        "is_body_complete", "is_cut_off", "is_ended", "is_last", "length", "method", "on_gone", "target", "version",
    )  # fmt: skip

    def __init__(self, connection: "ClientConnection", fault: Fault = "") -> None:
        self._connection = connection
        self.fault: Fault = fault
        self.method = ""
        self.version = "1.1"
        self.target = NO_TARGET
        self.head = NO_HEAD
        # The value of Content-Length; None without one.
        self.length: bytes | None = None
        # All bytes and fields of the headers, also those beyond the bounds, which are not kept.
        self.head_size = 0
        self.head_count = 0
        self.is_body_complete = bool(fault)
        # The rest of the body will not come.
        self.is_cut_off = False
        # No further request on this connection.
        self.is_last = bool(fault)
        self.is_ended = False
        self.on_gone: Callable[[], None] | None = None
        self._is_begun = False
        self._is_chunked = False
        self._parts: list[bytes] = []
        self._body_size = 0

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
        return parts[0] if len(parts) == 1 else b"".join(parts)

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
        return parts[0] if len(parts) == 1 else b"".join(parts)

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
        head = self._head(status, headers, f"content-length: {len(body)}\r\n")
        self._connection.write(head if self.method == "HEAD" else head + body)
        self.is_ended = True

    def begin(self, status: int, headers: Mapping[str, str], first: bytes = b"") -> None:
        """Begin an answer of unknown length, with its first part."""
        self._is_chunked = self.version == "1.1"
        self.is_last = self.is_last or not self._is_chunked
        head = self._head(status, headers, "transfer-encoding: chunked\r\n" if self._is_chunked else "")
        self._connection.write(head + self._framed(first))

    def send(self, data: bytes) -> None:
        """Send a part of the answer."""
        self._connection.write(self._framed(data))

    def end(self, data: bytes = b"") -> None:
        """Send the last part of the answer."""
        last = b"0\r\n\r\n" if self._is_chunked and self.method != "HEAD" else b""
        self._connection.write(self._framed(data) + last)
        self.is_ended = True

    async def drain(self, seconds: float) -> None:
        """Wait while the client takes its answer. Raises TimeoutError if it takes nothing for `seconds`."""
        await self._connection.drain(seconds)

    def abort(self) -> None:
        """Close the connection at once."""
        self._connection.abort()

    def _framed(self, data: bytes) -> bytes:
        if not data or self.method == "HEAD":
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data

    def _head(self, status: int, headers: Mapping[str, str], length: str) -> bytes:
        assert not self._is_begun, "a request has one answer"
        self._is_begun = True
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ValueError("a header has a line end in it")
        if headers.get("connection") == "close":
            self.is_last = True
        elif self.is_last or not self.is_body_complete or self._connection.is_ending:
            self.is_last = True
            lines += "connection: close\r\n"
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
        rest = f"{lines}{length}date: {self._connection.date()}\r\n\r\n"
        return line + rest.encode("latin-1", "replace")
