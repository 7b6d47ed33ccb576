"""What a gateway asks the console and sends to it: over kept connections, in bounded time, to its address only."""

import asyncio

import pytest

from gateway.proxy.control import Control, Patience, WrongStatus
from gateway.proxy.http.errors import ConnectError, Disconnected

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"


def with_console(serve, scenario):
    """Run `scenario` with a Control whose server answers each connection by `serve`. Returns the heads that it got."""
    heads = []

    async def connected(reader, writer):
        async def read():
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head.decode())
            size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            return await reader.readexactly(size)

        try:
            await serve(read, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run():
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with Control(f"http://127.0.0.1:{port}", {"authorization": "Bearer t"}) as control:
                await scenario(control)
        finally:
            server.close()

    asyncio.run(run())
    return heads


async def post(control, data=b"x", **patience):
    async with control.post("/usage", data=data, patience=Patience(**{"total": 20.0, **patience})) as answer:
        return answer.status, answer.content_type, await answer.read()


async def answer_once(read, writer):
    await read()
    writer.write(ANSWER)
    await writer.drain()


def test_each_request_carries_its_query_and_the_headers_of_all():
    async def scenario(control):
        async with control.get(
            "/config", query={"after": "7", "state": "a b&c"}, headers={"x-one": "1"}
        ) as got:
            assert await got.read() == b"{}"
            assert (got.query["after"], got.sent) == ("7", {"x-one": "1"})

    [head] = with_console(answer_once, scenario)
    assert head.startswith("GET /config?after=7&state=a+b%26c HTTP/1.1\r\nhost: 127.0.0.1:")
    assert "\r\nauthorization: Bearer t\r\n" in head
    assert "\r\nx-one: 1\r\n" in head


def test_a_connection_is_kept_and_one_that_the_console_closed_meanwhile_is_replaced():
    connections = []

    async def serve(read, writer):
        connections.append(writer)
        for _ in range(2):
            await answer_once(read, writer)
        # The third request comes here too, and finds the connection closed.
        await read()

    async def scenario(control):
        for _ in range(3):
            assert await post(control) == (200, "application/json", b"{}")

    assert len(with_console(serve, scenario)) == 4
    assert len(connections) == 2


def test_what_breaks_in_the_middle_of_an_answer_is_not_sent_twice():
    async def serve(read, writer):
        await answer_once(read, writer)
        await read()
        writer.write(ANSWER[:-1])

    async def scenario(control):
        await post(control)
        with pytest.raises(Disconnected):
            await post(control)

    assert len(with_console(serve, scenario)) == 2


@pytest.mark.parametrize("status", ["302 Found", "401 Unauthorized", "503 Service Unavailable"])
def test_no_other_address_is_asked_and_a_failure_is_no_answer(status):
    async def serve(read, writer):
        await read()
        writer.write(f"HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())

    async def scenario(control):
        async with control.get("/config", query={}, headers={}) as answer:
            with pytest.raises(WrongStatus, match=status[:3]):
                answer.require_useful()

    assert len(with_console(serve, scenario)) == 1


@pytest.mark.parametrize("patience", [{"total": 0.2}, {"silence": 0.2}])
def test_an_answer_that_stops_coming_ends_in_time(patience):
    async def serve(read, writer):
        await read()
        writer.write(ANSWER[:-1])
        await read()

    async def scenario(control):
        with pytest.raises(TimeoutError):
            await post(control, **patience)

    with_console(serve, scenario)


def test_a_console_that_is_away_is_an_error_that_says_so():
    async def scenario(control):
        async with Control("http://127.0.0.1:9", {}) as nowhere:
            with pytest.raises(ConnectError):
                await post(nowhere)

    with_console(answer_once, scenario)
