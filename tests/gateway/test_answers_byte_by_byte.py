"""What the gateway accepts as the answer of a backend, byte by byte."""

import asyncio

import pytest

from gateway.proxy.connections import Connections
from gateway.proxy.http.errors import Disconnected, InvalidAnswer
from gateway.proxy.metrics import Metrics
from tests.gateway.backend_server import HI, OK, Server, ask, told
from tests.gateway.test_one_connection_after_another_call import HEAD, connected


@pytest.mark.parametrize(
    "answer",
    [
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"content-length: 2\r\ncontent-length: 2\r\n\r\nhi",
        b"content-length: 2, 2\r\n\r\nhi",
        b"content-length: +2\r\n\r\nhi",
        b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"transfer-encoding: identity\r\n\r\nhi",
        b"x: a\r\n folded\r\ncontent-length: 2\r\n\r\nhi",
        b"x: a\ncontent-length: 2\n\nhi",
        b"x : a\r\ncontent-length: 2\r\n\r\nhi",
        b"x: a\0b\r\ncontent-length: 2\r\n\r\nhi",
        b"x: %s\r\ncontent-length: 2\r\n\r\nhi" % (b"a" * 70_000),
        b"x: %s" % (b"a" * 700_000),
        b"%scontent-length: 2\r\n\r\nhi" % b"".join(b"x-%d: a\r\n" % number for number in range(300)),
    ],
    ids=lambda answer: answer[:40].decode(),
)
def test_an_answer_that_two_readers_read_differently_or_that_is_too_long_is_refused(answer):
    with pytest.raises(InvalidAnswer):
        told(OK + answer)
    for other in (b"HTTP/2.0 200 OK\r\n", b"HTTP/0.9 200 OK\r\n"):
        with pytest.raises(InvalidAnswer):
            told(other + b"content-length: 2\r\n\r\nhi")


def test_interim_answers_are_passed_over_and_not_without_end():
    assert told(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + HI) == (200, b"hi")
    assert told.open == 1
    with pytest.raises(InvalidAnswer):
        told(b"HTTP/1.1 100 Continue\r\n\r\n" * 300 + HI)
    with pytest.raises(InvalidAnswer):
        told(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" + HI)


@pytest.mark.parametrize(
    ("answer", "body", "is_kept"),
    [
        (HI, b"hi", True),
        (
            OK + b"transfer-encoding: Chunked\r\n\r\n1;a=b\r\nh\r\n1\r\ni\r\n0\r\nx-trailer: 1\r\n\r\n",
            b"hi",
            True,
        ),
        (OK + b"connection: close\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        # Bytes after the end would be the answer to the next call.
        (HI + HI, b"hi", False),
        (HI + b"rest", b"hi", False),
    ],
)
def test_a_body_ends_where_its_head_says_and_only_then_the_connection_is_kept(answer, body, is_kept):
    assert told(answer)[1] == body
    assert told.open == is_kept


def test_a_body_without_a_length_ends_with_its_connection():
    assert told(OK + b"\r\nhi there", None) == (200, b"hi there")


@pytest.mark.parametrize(
    "framing", [b"content-length: 9\r\n\r\nhi", b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"]
)
def test_what_came_before_a_connection_broke_is_read_and_then_the_error(framing):
    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(OK + framing, None) as server, connections:
            answer = await ask(server, connections)
            await server.lost.wait()
            await asyncio.sleep(0.05)
            assert await answer.read() == b"hi"
            with pytest.raises(Disconnected) as broken:
                await answer.read()
            assert broken.value.has_begun

    asyncio.run(live())


def test_a_body_without_its_end_is_silence_and_can_be_waited_for_again():
    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(OK + b"content-length: 9\r\n\r\nhi") as server, connections:
            answer = await ask(server, connections, seconds=0.05)
            assert await answer.read() == b"hi"
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await answer.read()
            answer.close()
            async with asyncio.timeout(5):
                await server.lost.wait()

    asyncio.run(live())


def test_a_backend_that_says_nothing_is_a_timeout_and_its_connection_ends():
    async def silent(reader, writer):
        await reader.read()

    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(silent) as server, connections:
            with pytest.raises(TimeoutError):
                await ask(server, connections, seconds=0.05)
            async with asyncio.timeout(5):
                await server.lost.wait()
            assert connections._pool.size == 0

    asyncio.run(live())


def test_a_backend_is_not_read_faster_than_its_client_reads():
    sent = 0

    async def endless(reader, writer):
        nonlocal sent
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(endless) as server, connections:
            answer = await ask(server, connections)
            stuck = -1
            while stuck != sent:
                stuck = sent
                await asyncio.sleep(0.3)
            held = sum(map(len, answer.pieces))
            assert held <= 256 * 1024 + 256 * 1024
            for _ in range(50):
                assert await answer.read()
            assert sent > stuck
            answer.close()
            async with asyncio.timeout(5):
                await server.lost.wait()

    asyncio.run(live())


def test_many_bytes_that_are_no_body_do_not_stop_the_reading():
    """Nobody would take them, so nobody would say that reading goes on."""
    extension = b"a" * (64 * 1024)

    async def live():
        connection = connected()
        asking = asyncio.create_task(connection.ask(HEAD, b"", 5))
        await asyncio.sleep(0)
        connection.data_received(OK + b"transfer-encoding: chunked\r\n\r\n2;")
        answer = await asking
        reading = asyncio.create_task(answer.read())
        for _ in range(8):
            # Its transport cannot pause.
            connection.data_received(extension)
            await asyncio.sleep(0)
        connection.data_received(b"\r\nhi\r\n0\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reading, await answer.read()) == (b"hi", b"")

    asyncio.run(live())
