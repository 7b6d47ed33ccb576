"""One connection to a Redis or Valkey for all requests of this process. They do not wait for each other:
they are sent at once and answered in order.

A pool of many connections runs out under load and then refuses requests although the server is well. Here only
the server itself decides whether it is "away": it refuses connections, hangs up, or sends nothing at all while
a request waits. A slow moment in this process does not count as silence from the server.
"""

import asyncio
import contextlib
import math
from collections import deque
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

_CONNECT_SECONDS = 0.2
_TICK_SECONDS = 0.05
# Ticks of the event loop, each at least `_TICK_SECONDS` long. None passes while the loop is blocked.
_SILENT_TICKS = 4


class NotConnected(Exception):
    """The server cannot be reached: it has not received the request."""


class Line:
    """Sends requests to one server. Connects on the first request, and again after losing a connection.

    If the server has become a read-only replica, it reconnects: the name may point to another server by now.
    """

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
            decode_responses=True,
        )
        self._connection: AbstractConnection | None = None
        self._connecting: asyncio.Task[AbstractConnection] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._answered = 0
        self._tick: asyncio.TimerHandle | None = None
        self._endings: set[asyncio.Task[None]] = set()

    async def ask(self, *command: str | int) -> Any:
        """The server's answer.

        Raises NotConnected, ResponseError (an error from the server), or RedisError or OSError if the
        connection was lost and the server may or may not have received the request.
        """
        connection = self._connection
        if connection is not None and not connection.is_connected:
            self._lose(connection, RedisConnectionError("the connection was closed"))
            connection = None
        if connection is None:
            connection = await self._connected()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._watch()
        try:
            # Runs without yielding until the request is in the socket's buffer.
            await connection.send_packed_command(connection.pack_command(*command), check_health=False)
        except (RedisError, OSError) as error:
            self._lose(connection, error)
        return await answer

    async def close(self) -> None:
        """Close the connection; waiting requests get an error."""
        if self._connection is not None:
            self._lose(self._connection, RedisConnectionError("closed"))
        if self._endings:
            await asyncio.wait(self._endings, timeout=_CONNECT_SECONDS)
        await self._pool.disconnect()

    async def _connected(self) -> AbstractConnection:
        """The connection, opened once for all concurrent requests. Raises NotConnected."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._has_connected)
        return await asyncio.shield(self._connecting)

    def _has_connected(self, task: asyncio.Task[AbstractConnection]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # the caller saw it

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            self._end(connection)
            raise NotConnected(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self._end(connection)
            raise
        # Requests that wait on the old connection must not get answers from the new one.
        if self._connection is not None:
            self._lose(self._connection, RedisConnectionError("the connection was replaced"))
        self._connection = connection
        self._reading = asyncio.create_task(self._read(connection))
        return connection

    async def _read(self, connection: AbstractConnection) -> None:
        """Deliver answers in the order of the requests, until the connection is lost."""
        error: BaseException = RedisConnectionError("the connection was closed")
        try:
            while True:
                answer: Any
                try:
                    answer = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
                except ResponseError as refusal:
                    answer = refusal
                self._answered += 1
                asker = self._waiting.popleft()
                if asker.done():
                    continue
                if isinstance(answer, ResponseError):
                    asker.set_exception(answer)
                    if isinstance(answer, ReadOnlyError):
                        raise RedisConnectionError(
                            "the server no longer accepts writes: another one has replaced it"
                        )
                else:
                    asker.set_result(answer)
        except Exception as failure:
            error = failure
        finally:
            self._lose(connection, error)

    def _lose(self, connection: AbstractConnection, error: BaseException) -> None:
        """Drop a connection, and fail all requests that wait on it. Safe to repeat."""
        if self._connection is not connection:
            return
        self._connection = None
        waiting, self._waiting = self._waiting, deque()
        for asker in waiting:
            if not asker.done():
                asker.set_exception(_as_redis_error(error))
                # Mark it as retrieved: perhaps nobody waits anymore.
                asker.exception()
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()
        self._end(connection)

    def _end(self, connection: AbstractConnection) -> None:
        async def end() -> None:
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)

        ending = asyncio.get_running_loop().create_task(end())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _watch(self) -> None:
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(
                _TICK_SECONDS, self._look, self._answered, _SILENT_TICKS
            )

    def _look(self, answered: int, patience: int) -> None:
        """Count ticks in which a request waits and nothing arrives; after a few, drop the connection."""
        self._tick = None
        if not self._waiting or self._connection is None:
            return
        patience = patience - 1 if answered == self._answered else _SILENT_TICKS
        if patience <= 0:
            self._lose(self._connection, TimeoutError("the server does not respond"))
            return
        self._tick = asyncio.get_running_loop().call_later(
            _TICK_SECONDS, self._look, self._answered, patience
        )


def _as_redis_error(error: BaseException) -> Exception:
    """A separate error for each waiting request: one exception must not be raised in two places."""
    return RedisConnectionError(f"{type(error).__name__}: {error}")
