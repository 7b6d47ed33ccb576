"""A backend that is told byte by byte what to do: it keeps what it was sent, and may hang up at any time."""

import asyncio
import contextlib
import re
import threading

import orjson

from tests.gateway.proxy_fixtures import free_port
from tests.gateway.targets import target

ANSWER = orjson.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "own",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
)


class RawBackend:
    """Speaks HTTP/1.1 over bare sockets, in a thread of the test.

    `closes` says what becomes of a connection that has answered once: `kept`, or how a call that comes over
    it fails: `unread` (closed before it is read), `read` (read, then closed), `half` (half a head, then
    closed); with `always` the first call, too, is read and the connection closed. `idle_seconds` closes
    connections on which nothing comes for so long.
    """

    def __init__(self, *, closes="kept", idle_seconds=None):
        self.port = free_port()
        self.closes = closes
        self.idle_seconds = idle_seconds
        # Of calls that were read.
        self.bodies = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(60)

    def backend(self, **fields):
        url = f"http://127.0.0.1:{self.port}/v1"
        return target(**{"id": f"raw-{self.port}", "url": url, "upstream_model": "own", **fields})

    def close(self):
        async def end():
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            answered = 0
            while True:
                async with asyncio.timeout(self.idle_seconds if answered else None):
                    head = await reader.readuntil(b"\r\n\r\n")
                if answered and self.closes == "unread":
                    return
                length = int(re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)[1])
                self.bodies.append(await reader.readexactly(length))
                if (answered and self.closes == "read") or self.closes == "always":
                    return
                if answered and self.closes == "half":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
                    await writer.drain()
                    return
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
                await writer.drain()
                answered += 1
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            # The loop may be gone at the end of the test.
            with contextlib.suppress(RuntimeError):
                writer.close()
