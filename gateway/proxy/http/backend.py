"""One connection to a backend: a call goes out, its answer comes in as it arrives.

A backend that is faster than the client of its answer is not read any further: at most 256 KiB and one read wait.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import httptools

from gateway.proxy.http.errors import Disconnected, InvalidAnswer, TransportError
from gateway.proxy.http.heads import Heads
from gateway.proxy.http.timer import Timer

# The most bytes of all names and values in the head and the trailers of an answer, and the most of them.
LARGEST_HEAD = 64 * 1024
MOST_HEADERS = 200
# Bytes that wait for their reader before the connection is no longer read.
_MOST_WAITING = 256 * 1024
# The most bytes that are read only to be able to keep the connection.
_MOST_DISCARDED = 64 * 1024


class Answer:
    """The answer to one call: its head, and its body as it comes. `close` it in any case."""

    __slots__ = (
        "_connection",
        "_error",
        "_is_complete",
        "_pieces",
        "_seconds",
        "_waiting",
        "has_head",
        "headers",
        "length",
        "status",
    )

    def __init__(self, connection: "BackendConnection", seconds: float) -> None:
        self.status = 0
        # Status and headers are complete.
        self.has_head = False
        # By lower-case name, without Content-Length; the values of a repeated one are joined by commas.
        self.headers: Mapping[str, str] = {}
        # The value of Content-Length; None without one.
        self.length: bytes | None = None
        self._connection = connection
        # The longest silence in the middle of the body.
        self._seconds = seconds
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._is_complete = False
        self._error: TransportError | None = None

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
        while not self._pieces:
            if self._is_complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._connection.wait(until, self._seconds)
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._waiting > _MOST_WAITING and not self._is_complete and self._error is None:
            self._connection.resume()
        self._waiting = 0
        return data

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
        self._pieces.clear()
        if not self._is_complete and self._error is None:
            self._connection.linger(seconds)

    def close(self) -> None:
        """Read no more; end the connection unless the body has ended, or `finish` waits for that."""
        if not self._is_complete and self._error is None:
            self._connection.leave()

    def arrived(self, data: bytes) -> bool:
        """Note a piece of the body. Returns whether the reader is too slow."""
        self._pieces.append(data)
        self._waiting += len(data)
        return self._waiting > _MOST_WAITING

    def ended(self, error: TransportError | None = None) -> None:
        """Note the end of the body, or why it does not come."""
        if error is None:
            self._is_complete = True
        else:
            self._error = error


class BackendConnection(asyncio.Protocol):
    """Carries one call at a time. `is_usable` between calls; `on_idle` and `on_lost` tell its owner."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_idle: Callable[["BackendConnection"], None],
        on_lost: Callable[["BackendConnection"], None],
    ) -> None:
        self._loop = loop
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._heads = Heads()
        self._is_reading = True
        self._timer = Timer(loop, self._ring)
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reset()

    def _reset(self) -> None:
        # Bytes of names and values; bytes that came before the end of the head.
        self._head_size = self._head_read = 0
        self._head_count = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._has_begun = False
        self._has_head = False
        self._is_interim = False
        self._is_ended = self._is_kept = False
        # The end of the connection is the end of the body.
        self._is_until_close = False
        self._is_lingering = False
        self._discarded = 0
        self._problem = ""

    @property
    def is_usable(self) -> bool:
        """Whether a call can be sent: none is in progress, and the backend has not closed the connection."""
        return self._answer is None and not self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes, seconds: float) -> Answer:
        """Send a call, and wait up to `seconds` for the head of its answer. Raises TimeoutError and TransportError.

        The connection is closed if it fails, or is cancelled.

        Args:
            head: request line and headers, with the empty line.
            body: the body.
            seconds: the longest wait for the head, and for each further part of the answer.
        """
        if not self.is_usable:
            raise Disconnected(has_begun=False)
        self._reset()
        answer = self._answer = Answer(self, seconds)
        if len(body) < 16 * 1024:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        try:
            # Not `_has_head`: an answer that came at once has left the connection to the next call by now.
            while not answer.has_head:
                answer.require_open()
                await self.wait(None, seconds)
        except BaseException:
            if self._answer is answer:
                self.leave()
            raise
        return answer

    async def wait(self, until: float | None, seconds: float) -> None:
        """Wait until something happens, at most until a time of the loop's clock. Raises TimeoutError."""
        self._timer.set(self._loop.time() + seconds if until is None else until)
        self._waiter = self._loop.create_future()
        await self._waiter

    def keep(self, seconds: float) -> None:
        """Close the connection unless it is used again within `seconds`."""
        self._timer.set(self._loop.time() + seconds)

    def linger(self, seconds: float) -> None:
        """Read the rest of an answer that nobody reads any longer; close after `seconds`, or 64 KiB."""
        if self._transport.is_closing():
            return
        self._is_lingering = True
        self._timer.set(self._loop.time() + seconds)
        self.resume()

    def leave(self) -> None:
        """Close the connection in the middle of a call, unless it lingers."""
        if not self._is_lingering:
            self._answer = None
            self._transport.abort()

    def resume(self) -> None:
        """Read on after a pause."""
        if not self._is_reading and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    def close(self) -> None:
        """Close an idle connection."""
        self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            # Nothing was asked: the answer to the next call would be this one's.
            self._transport.abort()
            return
        self._has_begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # After the end of the answer, it only costs the connection.
            self._problem = self._problem or f"not HTTP/1.1: {error}"
        if not self._has_head and not self._problem:
            self._head_read += len(data)
            self._check_head()
        # First: the reader's time limit must not end the connection's own.
        self._wake()
        if self._is_ended and self._has_head:
            self._end()
        elif self._problem:
            self._fail(InvalidAnswer(self._problem))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.close()
        if self._answer is not None:
            if self._is_until_close and error is None:
                self._answer.ended()
            else:
                self._answer.ended(Disconnected(has_begun=self._has_begun))
            self._answer = None
        self._wake()
        self._on_lost(self)

    # httptools

    def on_message_begin(self) -> None:
        if self._is_ended:
            self._problem = "a second answer to one call"

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        self._head_count += 1
        if self._head_size > LARGEST_HEAD or self._head_count > MOST_HEADERS:
            self._problem = "too large a head"
        # Otherwise a trailer.
        elif not self._has_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None or self._has_head:
            return
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                self._problem = "another protocol"
            self._is_interim = True
            # Each counts, so that their number is bounded.
            self._head_count += 1
            self._check_head()
            self._fields = []
            return
        head, answer.length = self._heads.read(self._fields, self._head_size)
        if head.known is None:
            head.known = _joined(head.fields)
        answer.headers = headers = head.known
        encoding = headers.get("transfer-encoding")
        if encoding is not None and encoding.lower() != "chunked":
            self._problem = "a Transfer-Encoding other than chunked"
        if self._parser.get_http_version() not in ("1.1", "1.0"):
            self._problem = "another version of HTTP"
        answer.status = status
        self._is_until_close = encoding is None and answer.length is None and "content-length" not in headers
        self._has_head = answer.has_head = not self._problem

    def on_body(self, data: bytes) -> None:
        if self._answer is None or self._problem:
            return
        if self._is_lingering:
            self._discarded += len(data)
            if self._discarded > _MOST_DISCARDED:
                self._problem = "the end did not come"
        elif self._answer.arrived(data):
            self._is_reading = False
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
        else:
            self._is_ended = True
            self._is_kept = self._parser.should_keep_alive()

    # the rest

    def _check_head(self) -> None:
        if max(self._head_size, self._head_read) > LARGEST_HEAD or self._head_count > MOST_HEADERS:
            self._problem = "too large a head"

    def _end(self) -> None:
        """The answer is complete: keep the connection if nothing speaks against it."""
        assert self._answer is not None
        self._answer.ended()
        self._answer = None
        self._timer.off()
        is_read = not self._transport.get_write_buffer_size()
        if self._problem or not is_read or not self._is_kept:
            self._transport.close()
            return
        self.resume()
        self._on_idle(self)

    def _fail(self, error: TransportError) -> None:
        if self._answer is not None:
            self._answer.ended(error)
            self._answer = None
        self._transport.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._timer.off()
            if not waiter.done():
                waiter.set_result(None)

    def _ring(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_exception(TimeoutError())
        elif self._answer is None:
            self._transport.close()
        else:
            self._transport.abort()


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as texts, by name; the values of a repeated one are joined by commas."""
    headers: dict[str, str] = {}
    for name, value in fields:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
