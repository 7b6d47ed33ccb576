"""One connection to a backend: a call goes out, its answer comes in as it arrives.

A backend that is faster than the client of its answer is not read any further: at most 256 KiB and one read wait.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import httptools

from gateway.proxy.http.answer import MOST_WAITING, Answer
from gateway.proxy.http.answer_heads import AnswerHeaders, KnownAnswer, Message, known_answer
from gateway.proxy.http.errors import Disconnected, InvalidAnswer, TransportError
from gateway.proxy.http.heads import Heads
from gateway.proxy.http.timer import Timer

# The most bytes of all names and values in the head and the trailers of an answer, and the most of them.
LARGEST_HEAD = 64 * 1024
MOST_HEADERS = 200
# The most bytes that are read only to be able to keep the connection.
_MOST_DISCARDED = 64 * 1024
_TOO_LARGE = "too large a head"
_VERSIONS = ("1.1", "1.0")


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
        # What has come of a body. The parser itself adds to it, without a step of ours: a stream has many pieces.
        self._arrived: list[bytes] = []
        self.on_body = self._arrived.append
        self._parser = httptools.HttpResponseParser(self)
        self._heads = Heads()
        self._is_reading = True
        self._timer = Timer(loop, self._ring)
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._message = Message()
        self._asked_at = 0.0
        # Of the last answer; and how to tell others that have the same, whether that can be known was tried.
        self._headers: Mapping[str, str] | None = None
        self._known: KnownAnswer | None = None
        self._is_tried = False

    @property
    def is_usable(self) -> bool:
        """Whether a call can be sent: none is in progress, and the backend has not closed the connection."""
        return self._answer is None and not self._transport.is_closing()

    @property
    def seconds_since_asked(self) -> float:
        """The seconds since the last call was sent."""
        return self._loop.time() - self._asked_at

    async def ask(self, head: bytes, body: bytes, seconds: float) -> Answer:
        """Send a call, and wait up to `seconds` for the head of its answer. Raises TimeoutError and TransportError.

        The connection is closed if it fails, or is cancelled.

        Args:
            head: request line and headers, with the empty line.
            body: the body.
            seconds: the longest wait for the head, and for each further part of the answer.
        """
        transport = self._transport
        if self._answer is not None or transport.is_closing():
            raise Disconnected(has_begun=False)
        self._message = Message()
        answer = self._answer = Answer(self, seconds, pieces=self._arrived)
        if len(body) < 16 * 1024:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        self._asked_at = self._loop.time()
        # Not anew for each piece of a head: it might come byte by byte.
        until = self._asked_at + seconds
        try:
            while True:
                self._timer.set(until)
                self._waiter = self._loop.create_future()
                await self._waiter
                # The answer's, not the message's: the connection may be the next call's by now.
                if answer.has_head:
                    return answer
                answer.require_open()
        except BaseException:
            if self._answer is answer:
                self.leave()
            raise

    def wait(self, until: float | None, seconds: float) -> asyncio.Future[None]:
        """What to await until something happens, at most until a time of the loop's clock, or for so many seconds.

        Raises TimeoutError then.
        """
        self._timer.set(self._loop.time() + seconds if until is None else until)
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def keep(self, seconds: float) -> None:
        """Close the connection unless it is used again within `seconds`."""
        self._timer.set(self._loop.time() + seconds)

    def linger(self, seconds: float) -> None:
        """Read the rest of an answer that nobody reads any longer; close after `seconds`, or 64 KiB."""
        if self._transport.is_closing():
            return
        self._message.is_lingering = True
        self._timer.set(self._loop.time() + seconds)
        self.resume()

    def leave(self) -> None:
        """Close the connection in the middle of a call, unless it lingers."""
        if not self._message.is_lingering:
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
        answer = self._answer
        if answer is None:
            # Nothing was asked: the answer to the next call would be this one's.
            self._transport.abort()
            return
        message = self._message
        try:
            if message.has_head:
                self._parser.feed_data(data)
            elif (
                (known := self._known) is not None
                and not message.has_begun
                and (body := known.body_in(data)) is not None
            ):
                answer.came_whole(known.headers, body)
                message.has_begun = message.has_head = message.is_ended = message.is_kept = True
            else:
                self._read_head(data, message, answer)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # After the end of the answer, it only costs the connection.
            message.problem = message.problem or f"not HTTP/1.1: {error}"
        if (
            answer.take is not None
            and not (message.is_ended or message.problem)
            and self._is_taken(answer, answer.take)
        ):
            # The reader waits for more.
            return
        # First: the reader's time limit must not end the connection's own.
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not message.is_ended:
                self._timer.off()
            if not waiter.done():
                waiter.set_result(None)
        if message.is_ended and message.has_head:
            self._end(message)
        elif message.problem:
            self._fail(InvalidAnswer(message.problem))
        elif message.is_lingering:
            self._discard(len(data), message)
        elif self._arrived:
            answer.waiting += len(data)
            if answer.waiting > MOST_WAITING and self._is_reading:
                self._is_reading = False
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.close()
        if self._answer is not None:
            if self._message.is_until_close and error is None:
                self._answer.ended()
            else:
                self._answer.ended(Disconnected(has_begun=self._message.has_begun))
            self._answer = None
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._on_lost(self)

    # httptools

    def on_message_begin(self) -> None:
        if self._message.is_ended:
            self._message.problem = "a second answer to one call"

    def on_header(self, name: bytes, value: bytes) -> None:
        message = self._message
        if not message.has_head:
            message.fields.append((name, value))
            return
        message.trailers += 1
        message.trailers_size += len(name) + len(value)
        if message.trailers > MOST_HEADERS or message.trailers_size > LARGEST_HEAD:
            message.problem = _TOO_LARGE

    def on_headers_complete(self) -> None:
        message, answer = self._message, self._answer
        if answer is None or message.has_head:
            return
        fields = message.fields
        status = self._parser.get_status_code()
        if len(fields) + message.interim > MOST_HEADERS:
            message.problem = _TOO_LARGE
        if status < 200:
            if status == 101:
                message.problem = "another protocol"
            message.is_interim = True
            # Each counts, so that their number is bounded.
            message.interim += len(fields) + 1
            message.fields = []
            return
        head, answer.length = self._heads.read_any(fields)
        if head.known is None:
            head.known = AnswerHeaders(head.fields)
        known = head.known
        answer.headers = headers = known.headers
        message.is_alike = headers is self._headers
        if not message.is_alike:
            self._headers, self._known, self._is_tried = headers, None, False
        if known.problem:
            message.problem = known.problem
        elif known.may_end_late and answer.length is None:
            message.is_until_close = True
        if self._parser.get_http_version() not in _VERSIONS:
            message.problem = "another version of HTTP"
        answer.status = status
        message.has_head = answer.has_head = not message.problem

    def on_message_complete(self) -> None:
        message = self._message
        if message.is_interim:
            message.is_interim = False
        else:
            if not message.is_ended and self._answer is not None:
                # The list is the next answer's.
                self._answer.pieces = self._arrived.copy()
                self._arrived.clear()
            message.is_ended = True
            message.is_kept = self._parser.should_keep_alive()

    # the rest

    def _discard(self, size: int, message: Message) -> None:
        """Drop what nobody reads."""
        self._arrived.clear()
        message.discarded += size
        if message.discarded > _MOST_DISCARDED:
            self._fail(InvalidAnswer("the end did not come"))

    def _read_head(self, data: bytes, message: Message, answer: Answer) -> None:
        """Have the parser read the beginning of an answer. Its head must end within its bounds, however it is cut."""
        is_first = not message.has_begun
        message.has_begun = True
        room = LARGEST_HEAD - message.head_read
        self._parser.feed_data(data[:room])
        if not message.has_head:
            message.head_read += len(data)
            if message.head_read >= LARGEST_HEAD:
                message.problem = message.problem or _TOO_LARGE
        elif len(data) > room:
            self._parser.feed_data(data[room:])
        elif message.is_alike and message.is_kept and is_first and not self._is_tried:
            self._is_tried = True
            # Nobody has taken anything of it.
            self._known = known_answer(data, b"".join(answer.pieces), answer.headers)

    def _is_taken(self, answer: Answer, take: Callable[[bytes], bool]) -> bool:
        """Give what has come to whoever may take it at once. Returns whether nothing is left for the reader."""
        arrived = self._arrived
        if arrived:
            if answer.waiting or not take(arrived[0] if len(arrived) == 1 else b"".join(arrived)):
                return False
            arrived.clear()
            self._timer.set(self._loop.time() + answer.silence)
        return True

    def _end(self, message: Message) -> None:
        """The answer is complete: keep the connection if nothing speaks against it. Its owner says how long."""
        answer, self._answer = self._answer, None
        assert answer is not None
        answer.ended()
        # Bytes behind the end.
        self._arrived.clear()
        transport = self._transport
        if message.problem or not message.is_kept or transport.get_write_buffer_size():
            self._timer.off()
            transport.close()
            return
        if not self._is_reading:
            self.resume()
        self._on_idle(self)

    def _fail(self, error: TransportError) -> None:
        if self._answer is not None:
            self._answer.ended(error)
            self._answer = None
        self._transport.abort()

    def _ring(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_exception(TimeoutError())
        elif self._answer is None:
            self._transport.close()
        else:
            self._transport.abort()
