"""One connection to a Redis or Valkey for all requests of this process. They do not wait for each other:
those of one turn of the event loop are written together, and answered in order.

A pool of many connections runs out under load and then refuses requests although the server is well. Here only
the server itself decides whether it is "away": it refuses connections, hangs up, or sends nothing at all while
a request waits. A slow moment in this process does not count as silence from the server.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable
from typing import Any, cast

import hiredis

from core.egress import connected, first_to_answer
from gateway.proxy.redis_address import Access, Address

_CONNECT_SECONDS = 0.2
# Before the next address of a name is tried as well.
_HEAD_START_SECONDS = 0.05
_TICK_SECONDS = 0.05
# Ticks of the event loop, each at least `_TICK_SECONDS` long. None passes while the loop is blocked.
_SILENT_TICKS = 4
_INCOMPLETE = object()

Word = str | int | bytes


def pack(*words: Word) -> bytes:
    """A request as the protocol has it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub knows only tuples of one
    return packed


_ASKING = pack("ASKING")


class NotConnected(Exception):
    """The server cannot be reached: it has not received the request."""


class Lost(Exception):
    """The connection was lost. The server may or may not have received the request."""


class Line:
    """Sends requests to one server. Connects on the first request, and again after losing a connection.

    If the server has become a read-only replica, it reconnects: the name may point to another server by now.
    """

    def __init__(self, address: Address, access: Access) -> None:
        self.address = address
        self._access = access
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    def send(self, request: bytes, *, is_asking: bool = False) -> Awaitable[Any]:
        """Send a packed request at once; await the result to get the server's answer, in bytes and integers.

        With `is_asking` the server also serves slots that are still moving to it.

        Awaiting raises NotConnected, hiredis.ReplyError (an error from the server), or Lost.
        """
        connection = self._connection
        if connection is None or connection.is_lost:
            return self._connect_and_send(request, is_asking)
        return connection.send(request, is_asking)

    async def close(self) -> None:
        """Close the connection; waiting requests get an error."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._connection is not None:
            self._connection.lose("closed")

    async def _connect_and_send(self, request: bytes, is_asking: bool) -> Any:
        if self._connecting is None:
            # Opened once for all concurrent requests.
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._has_connected)
        try:
            connection = await asyncio.shield(self._connecting)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise NotConnected("closed") from None
        return await connection.send(request, is_asking)

    def _has_connected(self, task: "asyncio.Task[_Connection]") -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # the caller saw it

    async def _connect(self) -> "_Connection":
        """Raises NotConnected."""
        loop = asyncio.get_running_loop()
        connection = _Connection(loop)
        host, port = self.address
        tls = self._access.tls
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                if self.address.is_socket:
                    await loop.create_unix_connection(lambda: connection, host)
                else:
                    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                    sock = await first_to_answer(
                        list(dict.fromkeys(str(one[4][0]) for one in found)),
                        lambda ip: connected(ip, port),
                        socket.socket.close,
                        head_start=_HEAD_START_SECONDS,
                    )
                    await loop.create_connection(
                        lambda: connection, sock=sock, ssl=tls, server_hostname=host if tls else None
                    )
                await connection.open(self._access)
        except (OSError, TimeoutError, Lost, hiredis.ReplyError) as error:
            connection.lose("not opened")
            raise NotConnected(f"{type(error).__name__}: {error}") from error
        except BaseException:
            connection.lose("not opened")
            raise
        self._connection = connection
        return connection


class _Connection(asyncio.Protocol):
    """One connection from its beginning to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_lost = False
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._unsent: list[bytes] = []
        # None: nobody waits for this answer.
        self._waiting: deque[asyncio.Future[Any] | None] = deque()
        self._answered = 0
        self._tick: asyncio.TimerHandle | None = None

    async def open(self, access: Access) -> None:
        """Be let in, and choose the database. Raises Lost and hiredis.ReplyError."""
        asked = []
        if access.password:
            user = (access.username,) if access.username else ()
            asked.append(self.send(pack("AUTH", *user, access.password)))
        if access.database:
            asked.append(self.send(pack("SELECT", access.database)))
        for error in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(error, BaseException):
                raise error

    def send(self, request: bytes, is_asking: bool = False) -> asyncio.Future[Any]:
        """As `Line.send`."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.is_lost:
            answer.set_exception(Lost("the connection was closed"))
            return answer
        if not self._unsent:
            self._loop.call_soon(self._flush)
        if is_asking:
            self._unsent.append(_ASKING)
            self._waiting.append(None)
        self._unsent.append(request)
        self._waiting.append(answer)
        if self._tick is None:
            self._tick = self._loop.call_later(_TICK_SECONDS, self._look, self._answered, _SILENT_TICKS)
        return answer

    def lose(self, reason: str) -> None:
        """Close the connection, and fail all requests that wait on it. Safe to repeat."""
        if self.is_lost:
            return
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()
        if self._tick is not None:
            self._tick.cancel()
        for asker in self._waiting:
            if asker is not None and not asker.done():
                # A separate error for each: one exception must not be raised in two places.
                asker.set_exception(Lost(reason))
                # Mark it as retrieved: perhaps nobody waits anymore.
                asker.exception()
        self._waiting.clear()
        self._unsent.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.is_lost:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose(f"{type(exc).__name__}: {exc}" if exc else "the connection was closed")

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        try:
            while (answer := reader.gets()) is not _INCOMPLETE:
                if not waiting:
                    return self.lose("the server answered what nobody asked")
                self._answered += 1
                asker = waiting.popleft()
                if asker is None or asker.done():
                    continue
                if not isinstance(answer, hiredis.ReplyError):
                    asker.set_result(answer)
                    continue
                asker.set_exception(answer)
                if str(answer).startswith("READONLY"):
                    return self.lose("the server no longer accepts writes: another one has replaced it")
        except hiredis.ProtocolError as error:
            self.lose(f"the server does not speak this protocol: {error}")

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            requests, self._unsent = self._unsent, []
            self._transport.write(requests[0] if len(requests) == 1 else b"".join(requests))

    def _look(self, answered: int, patience: int) -> None:
        """Count ticks in which a request waits and nothing arrives; after a few, drop the connection."""
        self._tick = None
        if not self._waiting:
            return
        patience = patience - 1 if answered == self._answered else _SILENT_TICKS
        if patience <= 0:
            self.lose("TimeoutError: the server does not respond")
            return
        self._tick = self._loop.call_later(_TICK_SECONDS, self._look, self._answered, patience)
