"""A server of the gateway's HTTP in this loop, and requests byte by byte."""

import asyncio
import contextlib

from gateway.proxy.http.server import HttpServer

GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nhost: x\r\n"


class Served:
    """A server in this loop; it answers with method, path and body, unless told otherwise."""

    def __init__(self, answer=None, **options):
        self.exchanges = []
        self._answer = answer or self._echo
        self._server = HttpServer(self._serve, **{"head_seconds": 5.0, "most_connections": 100, **options})

    async def __aenter__(self):
        await self._server.listen("127.0.0.1", 0)
        self.port = self._server._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        await self._server.close(0.2)

    @property
    def server(self):
        return self._server

    async def _serve(self, exchange):
        self.exchanges.append(exchange)
        await self._answer(exchange)

    async def _echo(self, exchange):
        if exchange.fault:
            exchange.answer(400, {}, exchange.fault.encode())
            return
        body = b""
        try:
            while part := await exchange.next_part():
                body += part
        except ConnectionResetError:
            exchange.answer(400, {}, b"cut off")
            return
        exchange.answer(
            200, {}, b"%s %s %s" % (exchange.head.method.encode(), exchange.head.target.path.encode(), body)
        )

    async def talk(self, *pieces, pause=0.0, until_close=True):
        """Send the pieces; return all that comes until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
        got = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(10):
                while part := await reader.read(65536):
                    got += part
        writer.close()
        return got


def talk(*pieces, pause=0.0, answer=None, **options):
    async def live():
        async with Served(answer, **options) as served:
            got = await served.talk(*pieces, pause=pause)
            return got, served.exchanges

    return asyncio.run(live())


LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def reading(exchange):
    try:
        while await exchange.next_part():
            pass
    except ConnectionResetError:
        exchange.answer(400, {}, b"cut off")
    else:
        exchange.answer(200, {}, b"whole")
