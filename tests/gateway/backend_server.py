"""A backend that answers what a test tells it, byte by byte, and calls to it over connections of the gateway."""

import asyncio
import contextlib

from gateway.proxy.connections import Connections
from gateway.proxy.metrics import Metrics

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"content-length: 2\r\n\r\nhi"


class Server:
    """Answers each request on a connection with the next of its answers; None closes the connection."""

    def __init__(self, *answers, context=None):
        self.answers = list(answers)
        self.requests = []
        self.connections = 0
        self.lost = asyncio.Event()
        self._context = context

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if callable(answer):
                    await answer(reader, writer)
                    break
                if answer is None:
                    break
                writer.write(answer)
                if self.answers[:1] == [None]:
                    self.answers.pop(0)
                    await writer.drain()
                    break
        writer.close()
        self.lost.set()


async def ask(
    server, connections, *, host="127.0.0.1", scheme="http", seconds=5.0, connect_seconds=5, **options
):
    return await connections.post(
        f"{scheme}://{host}:{server.port}/v1/x",
        data=b"{}",
        lines=b"x-request-id: 1\r\n",
        connect_seconds=connect_seconds,
        response_seconds=seconds,
        **options,
    )


async def read_all(answer):
    whole = b""
    while data := await answer.read():
        whole += data
    return whole


def told(*answers, seconds=5.0):
    """The status and body of one call to a server that answers so, and the number of its open connections after."""

    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(*answers) as server, connections:
            answer = await ask(server, connections, seconds=seconds)
            try:
                return answer.status, await read_all(answer)
            finally:
                answer.close()
                await asyncio.sleep(0.02)
                told.open = connections._pool.size

    return asyncio.run(live())
