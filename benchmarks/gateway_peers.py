"""The two ends of the gateway's benchmark: an upstream that answers at once, and callers that count and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools
import uvloop

EVENTS = 22
_WORD = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'  # noqa: E501
_LAST = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'  # noqa: E501
_USAGE = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"up","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":20,"total_tokens":29}}\n\n'  # noqa: E501
_DONE = b"data: [DONE]\n\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_PLAIN = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":'
    b'"assistant","content":"%s"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":20,'
    b'"total_tokens":29}}' % (b"word " * 20)
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_PLAIN_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_PLAIN) + _PLAIN
)
# 22 events, of which the first nineteen are words, in three writes.
_WORDS = b"".join([_chunk(_WORD)] * (EVENTS - 3))
_END = _chunk(_LAST) + _chunk(_USAGE) + _chunk(_DONE) + b"0\r\n\r\n"


class _Upstream(asyncio.Protocol):
    """Answers a call at once; a call whose body contains `paced` gets an event at every tick instead."""

    paced: set[_Upstream] = set()
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        self._parts: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self._parts)
        self._parts = []
        if b"paced" in body:
            self.transport.write(_STREAM_HEAD)
            self.paced.add(self)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.transport.write(_STREAM_HEAD + _WORDS + _END)
        else:
            self.transport.write(_PLAIN_ANSWER)

    def connection_lost(self, error: Exception | None) -> None:
        self.paced.discard(self)


def serve_upstream(port: int, ticks_per_second: float) -> None:
    """Answer calls until the process is ended."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Upstream, "127.0.0.1", port, backlog=1024)
        due, event = loop.time(), _chunk(_WORD)
        async with server:
            while True:
                due = max(due + 1 / ticks_per_second, loop.time())
                await asyncio.sleep(max(0.0, due - loop.time()))
                for number, one in enumerate(list(_Upstream.paced)):
                    if one in _Upstream.paced:
                        one.transport.write(event)
                    # Each in a read of its own, as events of different calls come.
                    if number % 8 == 7:
                        await asyncio.sleep(0)

    uvloop.run(serve())


@dataclass
class Load:
    """What callers did: how many calls they began, how many answers or events came, how many calls failed, and the
    seconds of each call.
    """

    begun: int = 0
    calls: int = 0
    failed: int = 0
    events: int = 0
    seconds: list[float] = field(default_factory=list)


class _Caller(asyncio.Protocol):
    """Makes one call after another over one connection, and reads each answer to its end."""

    transport: asyncio.Transport

    def __init__(
        self, request: bytes, load: Load, is_over: Callable[[], bool], done: Callable[[], None]
    ) -> None:
        self._request = request
        self._load = load
        self._is_over = is_over
        self._done = done
        self._is_new = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self._ask()

    def _ask(self) -> None:
        self._load.begun += 1
        self._began = time.perf_counter()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._load.events += data.count(b"data: {")
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._load.seconds.append(time.perf_counter() - self._began)
        self._load.calls += 1
        self._load.failed += self._parser.get_status_code() != 200
        if self._is_over():
            self.transport.close()
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._done()


def make_calls(
    port: int, request: bytes, connections: int, seconds: float, patience_seconds: float = 0.5
) -> Load:
    """Call for `seconds` over `connections`, one call after another on each. Paced streams are cut off at the end.

    Args:
        port: whom to call, on this machine.
        request: the call.
        connections: how many callers.
        seconds: for how long.
        patience_seconds: how long the last answers may take.
    """

    async def work() -> Load:
        loop = asyncio.get_running_loop()
        load, ended = Load(), asyncio.Event()
        over = loop.time() + seconds
        open_ones = connections

        def done() -> None:
            nonlocal open_ones
            open_ones -= 1
            if not open_ones:
                ended.set()

        made = [
            await loop.create_connection(
                lambda: _Caller(request, load, lambda: loop.time() >= over, done), "127.0.0.1", port
            )
            for _ in range(connections)
        ]
        try:
            async with asyncio.timeout(seconds + patience_seconds):
                await ended.wait()
        except TimeoutError:
            for transport, _ in made:
                transport.abort()
        return load

    return uvloop.run(work())
