"""The listening side: one coroutine for each connection, which answers its requests in order.

Clients may send the next request before they have the answer to the last one: it waits, and the connection is not read
any further. A client that goes away is noticed at once, except while a request of its own waits.
"""

import asyncio
import contextlib
import email.utils
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import cast

import httptools
import structlog

from gateway.proxy.http.exchange import Exchange, Fault
from gateway.proxy.http.idle import IdleConnections
from gateway.proxy.http.request_heads import Repeated, RequestHeads

_log = structlog.get_logger()
# Bytes of a head that are read; an answer to one that is longer says so.
LARGEST_HEAD = 64 * 1024
# Bytes and fields of headers that are kept: a little more than a request may have, so that its refusal is the
# application's.
_KEPT_BYTES = 40 * 1024
_KEPT_FIELDS = 100
# After an answer to a request that was not read to its end, so that the client reads the answer before it finds out.
_LINGER_SECONDS = 2.0
_MOST_DISCARDED = 1024 * 1024
# The longest time in which a client takes nothing of an answer that waits for it.
_STUCK_SECONDS = 60.0

Serve = Callable[[Exchange], Awaitable[None]]


class HttpServer:
    """Answers requests with `serve`, which always answers, and raises nothing."""

    def __init__(self, serve: Serve, *, head_seconds: float, most_connections: int) -> None:
        """Args:
        serve: answers one request.
        head_seconds: how long a head may take, and how long a connection may be idle.
        most_connections: beyond these, the connection that has been idle longest is closed.
        """
        self.serve = serve
        self.most_connections = most_connections
        self.connections: set[ClientConnection] = set()
        self.idle = IdleConnections(head_seconds)
        # Answers say that their connection ends.
        self.is_ending = False
        self._listening: asyncio.Server | None = None
        self._date = ""
        self._date_of = 0.0

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Accept connections. Raises OSError. With `reuse_port`, several processes can share the port."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: ClientConnection(self, loop), host, port, backlog=1024, reuse_port=reuse_port or None
        )

    async def listen_on(self, listening: socket.socket) -> None:
        """Accept connections of a socket that listens already."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: ClientConnection(self, loop), sock=listening)

    def stop_listening(self) -> None:
        """Accept no more connections. Those that are there go on."""
        if self._listening is not None:
            self._listening.close()

    async def close(self, seconds: float) -> None:
        """Accept no more connections, close the idle ones, and give the others `seconds` to send what they have."""
        self.is_ending = True
        self.stop_listening()
        for connection in list(self.idle):
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.connections:
                    await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()

    def date(self) -> str:
        """The Date header of an answer that is sent now."""
        now = time.time()
        if not 0 <= now - self._date_of < 1:
            self._date_of = now // 1
            self._date = f"date: {email.utils.formatdate(self._date_of, usegmt=True)}"
        return self._date


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._heads = RequestHeads()
        self._repeated: Repeated | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        # Done once the client has taken most of what was sent; None: it has.
        self.drained: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        # Requests that wait for their turn; the one that is being answered; the one whose body is coming.
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._receiving: Exchange | None = None
        self._is_reading = True
        # What comes is not read: the last request is here, or it is not HTTP.
        self._is_over = False
        self._discarded = 0
        self._head_read = 0
        self.is_lost = False
        # The parser has a whole request, and nothing of the next one.
        self._is_between = True
        # What came last has the end of a request.
        self._has_ended_one = False
        self._new_head()

    def _new_head(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        # Of what is not kept, until the head is here; then of all of it, and of trailers.
        self._head_size = 0
        self._head_count = 0
        self._is_in_head = True
        self._expects_continue = False

    # for the exchange

    def write(self, data: bytes) -> None:
        """Send bytes, unless the client has gone."""
        # uvloop raises if the connection is closed.
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def something(self) -> None:
        """Wait until anything has come, or nothing will."""
        self._waiter = self._loop.create_future()
        await self._waiter

    async def drain(self, seconds: float) -> None:
        """Wait while more than a few bytes wait for the client. Raises TimeoutError if it takes none for `seconds`."""
        while self.drained is not None and not self.is_lost:
            waiting = self._transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self.drained)
            except TimeoutError:
                if self._transport.get_write_buffer_size() >= waiting:
                    raise

    def permit_body(self) -> None:
        """Tell a client that waits for it to send its body."""
        if self._expects_continue:
            self._expects_continue = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def read_on(self) -> None:
        """Read again after a pause."""
        if not self._is_reading and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        server = self.server
        if len(server.connections) >= server.most_connections:
            longest = next(iter(server.idle), None)
            if longest is not None:
                longest.close()
            else:
                self._give_up("no_room")
        server.connections.add(self)
        if not self._is_over:
            server.idle.add(self, self._loop)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            self._discarded += len(data)
            if self._discarded > _MOST_DISCARDED:
                self._transport.abort()
            return
        repeated = self._repeated if self._is_between else None
        if repeated is None or not self._is_repeated(repeated, data):
            self._read(data)
        if self._queue and self._current is not None:
            self._pause()
        if self._waiter is not None:
            self._wake()

    def _is_repeated(self, repeated: Repeated, data: bytes) -> bool:
        """Take what came if it is a whole request like the last one. The parser does not read it, and is as before."""
        body = repeated.body_in(data)
        if body is None:
            return False
        exchange = Exchange(self, repeated.head, b"%d" % len(body), body=body)
        if exchange.is_full:
            self._pause()
        self._offer(exchange)
        return True

    def _read(self, data: bytes) -> None:
        was_in_head = self._is_in_head
        self._heads.is_repeated_anew = self._has_ended_one = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request itself is answered; what follows would be another protocol.
            self._is_over = True
            self._receiving = None
        except httptools.HttpParserError:
            self._give_up("malformed")
        if self._is_in_head and not self._is_over:
            # Of a head that begins after another request, only what comes next.
            is_all_head = was_in_head and not self._has_ended_one
            self._head_read = self._head_read + len(data) if is_all_head else 0
            if self._head_read > LARGEST_HEAD:
                self._give_up("too_large")
        if self._heads.is_repeated_anew and self._is_between:
            self._repeated = self._heads.repeated(data, self._queue[-1].body_so_far)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if self._lingering is not None:
            self._lingering.cancel()
        self.server.connections.discard(self)
        self.server.idle.pop(self, None)
        self._queue.clear()
        self.resume_writing()
        self._wake()
        current = self._current
        if current is not None and current.on_gone is not None:
            current.on_gone()

    def pause_writing(self) -> None:
        if self.drained is None:
            self.drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # httptools

    def on_message_begin(self) -> None:
        self._is_between = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head and len(self._headers) < _KEPT_FIELDS:
            self._headers.append((name, value))
            return
        self._head_size += len(name) + len(value)
        self._head_count += 1
        # Otherwise it is a trailer, which nobody reads.
        if not self._is_in_head and (self._head_size > _KEPT_BYTES or self._head_count > _KEPT_FIELDS):
            self._give_up("too_large")

    def on_headers_complete(self) -> None:
        parser, fields = self._parser, self._headers
        self._head_size = size = self._head_size + sum(map(len, chain.from_iterable(fields)))
        self._head_count = count = self._head_count + len(fields)
        version = parser.get_http_version()
        try:
            head, length = self._heads.read(
                parser.get_method(),
                self._url,
                version,
                fields if size <= _KEPT_BYTES else [],
                size=size,
                count=count,
                is_last=version != "1.1" or not parser.should_keep_alive() or parser.should_upgrade(),
            )
        except ValueError:
            self._give_up("malformed")
            return
        if head.is_last:
            self._repeated = None
        self._expects_continue = head.headers.expects_continue and version == "1.1"
        self._is_in_head = False
        self._receiving = exchange = Exchange(self, head, length)
        self._offer(exchange)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None and self._receiving.arrived(data):
            self._pause()

    def on_message_complete(self) -> None:
        if self._receiving is not None:
            self._receiving.is_body_complete = not self._receiving.is_cut_off
            self._receiving = None
        self._is_between = self._has_ended_one = True
        self._new_head()

    # the rest

    def _offer(self, exchange: Exchange) -> None:
        """Queue a request, and see that it is answered."""
        self.server.idle.pop(self, None)
        self._queue.append(exchange)
        if self._task is None:
            self._task = self._loop.create_task(self._answer_all())

    def _give_up(self, fault: Fault) -> None:
        """Read nothing more: answer with the reason, or cut off the body that was coming."""
        if self._is_over:
            return
        self._is_over = True
        if self._receiving is not None:
            self._receiving.is_cut_off = True
        elif not any(one.is_last for one in self._queue) and not (self._current and self._current.is_last):
            self._offer(Exchange(self, fault=fault))

    async def _answer_all(self) -> None:
        """Answer one request after another, until the connection ends."""
        try:
            while not self.is_lost:
                if not self._queue:
                    if self._is_over or self.server.is_ending:
                        break
                    self.server.idle.add(self, self._loop)
                    while not (self._queue or self._is_over or self.is_lost):
                        self._waiter = self._loop.create_future()
                        await self._waiter
                    continue
                self._current = exchange = self._queue.popleft()
                if not self._queue and not exchange.is_full:
                    self.read_on()
                await self.server.serve(exchange)
                self._current = None
                if not exchange.is_ended:
                    self._transport.abort()
                if self.drained is not None:
                    await self.drain(_STUCK_SECONDS)
                if exchange.is_last or not exchange.is_body_complete:
                    break
        except TimeoutError:
            self._transport.abort()
        except Exception:
            _log.exception("connection_failed")
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        """Close the connection. What the client still sends is read for a moment, or it might lose its answer."""
        if self._transport.is_closing():
            return
        if self._receiving is None and not self._is_over:
            self._transport.close()
            return
        self._is_over = True
        try:
            self._transport.write_eof()
        except OSError:
            # The client has reset the connection, which is not known yet.
            self._transport.abort()
            return
        self.read_on()
        self._lingering = self._loop.call_later(_LINGER_SECONDS, self._transport.abort)

    def _pause(self) -> None:
        if self._is_reading and not self._transport.is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
