"""What becomes of the client's connection: its times and bounds, streams, and its end."""

import asyncio

import pytest

from gateway.proxy.http import server as server_module
from gateway.proxy.http.server import HttpServer
from tests.gateway.bytes_server import GET, LAST, POST, Served, talk
from tests.gateway.eventually import until


def test_a_head_has_its_time_from_its_beginning_and_each_byte_gives_it_no_more():
    async def live():
        async with Served(head_seconds=0.3) as served:
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert (
                await served.talk(*[bytes([one]) for one in GET[:-2] + b"x: " + b"a" * 100], pause=0.02)
                == b""
            )
            # Nor on a connection that was used before.
            again = loop.time()
            await served.talk(GET, *[bytes([one]) for one in b"GET /" + b"a" * 400], pause=0.02)
            assert [exchange.head.target.path for exchange in served.exchanges] == ["/a"]
            # Sending it all takes eight.
            assert loop.time() - again < 7
            assert loop.time() - began < 10
        # The next one has its time from the last answer.
        async with Served(head_seconds=1.0) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            for _ in range(3):
                writer.write(GET)
                await reader.readuntil(b"GET /a ")
                await asyncio.sleep(0.4)
            async with asyncio.timeout(5):
                assert await reader.read() == b""

    asyncio.run(live())


@pytest.mark.parametrize(
    ("request_bytes", "is_kept"),
    [
        (GET, True),
        (b"GET /a HTTP/1.1\r\nconnection: close\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nconnection: keep-alive, Close\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", False),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_as_long_as_its_client_wants(request_bytes, is_kept):
    got, exchanges = talk(request_bytes, LAST, pause=0.05)
    assert (b"/last" in got) is is_kept
    assert len(exchanges) == 1 + is_kept
    assert (b"connection: close" in got.partition(b"\r\n\r\n")[0]) is (not is_kept)


def test_a_head_request_gets_no_body_and_the_length_of_one():
    got, _ = talk(b"HEAD /a HTTP/1.1\r\n\r\n", LAST, pause=0.05)
    first, _, rest = got.partition(b"\r\n\r\n")
    assert b"content-length: 8" in first
    assert rest.startswith(b"HTTP/1.1 200 OK")


def test_a_stream_is_chunked_or_for_http_1_0_ends_with_its_connection():
    async def stream(exchange):
        exchange.begin(200, {}, b"one")
        exchange.send(b"")
        exchange.send(b"two")
        exchange.end(b"three")

    got, _ = talk(GET, LAST, answer=stream, pause=0.05)
    assert got.count(b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n") == 2
    got, _ = talk(b"GET /a HTTP/1.0\r\n\r\n", answer=stream)
    assert got.endswith(b"\r\n\r\nonetwothree")
    got, _ = talk(b"HEAD /a HTTP/1.1\r\nconnection: close\r\n\r\n", answer=stream)
    assert got.endswith(b"\r\n\r\n")


def test_a_client_that_waits_for_permission_to_send_its_body_gets_it_only_if_the_body_is_read():
    head = POST + b"content-length: 2\r\nexpect: 100-Continue\r\n"
    got, _ = talk(head + b"\r\n", b"hi", LAST, pause=0.1)
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")

    async def refuse(exchange):
        exchange.answer(413, {}, b"no")

    got, _ = talk(head + b"\r\n", answer=refuse)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in got


def test_an_answer_before_the_body_was_read_reaches_a_client_that_is_still_sending():
    async def refuse(exchange):
        exchange.answer(413, {}, b"too large")

    got, _ = talk(POST + b"content-length: 900000\r\n\r\n", *[b"a" * 60_000] * 15, answer=refuse)
    assert got.endswith(b"too large")


def test_a_body_is_not_read_faster_than_it_is_wanted():
    sent = 0

    async def live():
        nonlocal sent
        wanted = asyncio.Event()

        async def slow(exchange):
            await wanted.wait()
            size = 0
            while part := await exchange.next_part():
                size += len(part)
            exchange.answer(200, {}, b"%d" % size)

        async with Served(slow) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(POST + b"content-length: 50000000\r\nconnection: close\r\n\r\n")

            async def send():
                nonlocal sent
                for _ in range(1000):
                    writer.write(b"a" * 50_000)
                    sent += 50_000
                    await writer.drain()

            sending = asyncio.create_task(send())
            stuck = -1
            while stuck != sent:
                stuck = sent
                await asyncio.sleep(0.3)
            assert sum(map(len, served.exchanges[0]._parts)) <= 64 * 1024 + 256 * 1024
            wanted.set()
            await sending
            assert (await reader.read()).endswith(b"50000000")

    asyncio.run(live())


def test_a_client_that_takes_nothing_of_its_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(server_module, "_STUCK_SECONDS", 0.2)

    async def live():
        outcome = []

        async def stream(exchange):
            exchange.begin(200, {})
            try:
                while True:
                    exchange.send(b"x" * 65536)
                    await exchange.drain(0.2)
            except TimeoutError:
                outcome.append("stuck")
                exchange.end()

        async with Served(stream) as served:
            _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
            writer.write(GET)
            for _ in range(500):
                if outcome and not served.server.connections:
                    break
                await asyncio.sleep(0.02)
            assert outcome == ["stuck"]
            assert not served.server.connections
            writer.close()

    asyncio.run(live())


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_goes_away_is_noticed_at_once(how):
    async def live():
        gone = asyncio.Event()

        async def wait(exchange):
            exchange.on_gone = gone.set
            await gone.wait()

        async with Served(wait) as served:
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(GET)
            while not served.exchanges:
                await asyncio.sleep(0.01)
            {"close": writer.close, "reset": writer.transport.abort, "half": writer.write_eof}[how]()
            async with asyncio.timeout(2):
                await gone.wait()
            assert served.exchanges[0].is_gone or how == "half"
            await until(lambda: not served.server.connections, "the end of the connection")

    asyncio.run(live())


def test_beyond_the_most_connections_an_idle_one_makes_room_and_a_busy_one_does_not():
    async def live():
        let_go = asyncio.Event()

        async def answer(exchange):
            if exchange.head.target.path == "/busy":
                await let_go.wait()
            exchange.answer(503 if exchange.fault else 200, {}, exchange.fault.encode() or b"served")

        async with Served(answer, most_connections=2) as served:
            idle, _ = await asyncio.open_connection("127.0.0.1", served.port)
            busy, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(GET.replace(b"/a", b"/busy"))
            while not served.exchanges:
                await asyncio.sleep(0.01)
            assert (await served.talk(LAST)).endswith(b"served")
            assert await idle.read() == b""
            other, second = await asyncio.open_connection("127.0.0.1", served.port)
            second.write(GET.replace(b"/a", b"/busy"))
            while sum(exchange.head.target.path == "/busy" for exchange in served.exchanges) < 2:
                await asyncio.sleep(0.01)
            got = await served.talk(LAST)
            assert got.startswith(b"HTTP/1.1 503 ")
            assert got.endswith(b"no_room")
            let_go.set()
            for reader in (busy, other):
                assert b"served" in await reader.readuntil(b"served")

    asyncio.run(live())


def test_a_server_that_ends_finishes_answers_and_says_that_connections_end():
    async def live():
        let_go = asyncio.Event()

        async def answer(exchange):
            await let_go.wait()
            exchange.answer(200, {}, b"served")

        async with Served(answer) as served:
            idle, _ = await asyncio.open_connection("127.0.0.1", served.port)
            busy = asyncio.create_task(served.talk(GET))
            while not served.exchanges:
                await asyncio.sleep(0.01)
            ending = asyncio.create_task(served.server.close(5))
            assert await idle.read() == b""
            let_go.set()
            got = await busy
            assert got.endswith(b"served")
            assert b"connection: close" in got
            await ending
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", served.port)

    asyncio.run(live())


def test_no_header_of_an_answer_smuggles_another():
    async def answer(exchange):
        with pytest.raises(ValueError, match="line end"):
            exchange.answer(200, {"x": "a\r\nset-cookie: b"}, b"")

    assert talk(GET, answer=answer)[0] == b""


def test_two_servers_can_share_a_port_if_both_say_so():
    async def live():
        one = HttpServer(None, head_seconds=1, most_connections=1)
        two = HttpServer(None, head_seconds=1, most_connections=1)
        await one.listen("127.0.0.1", 0, reuse_port=True)
        port = one._listening.sockets[0].getsockname()[1]
        await two.listen("127.0.0.1", port, reuse_port=True)
        with pytest.raises(OSError, match="in use"):
            await HttpServer(None, head_seconds=1, most_connections=1).listen("127.0.0.1", port)
        await one.close(0)
        await two.close(0)

    asyncio.run(live())
