"""What the gateway accepts as a request, byte by byte."""

import asyncio
import contextlib

import pytest

from tests.gateway.bytes_server import GET, LAST, POST, Served, reading, talk
from tests.gateway.eventually import until


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        b"content-length: 1\r\ncontent-length: 1\r\n\r\na",
        b"content-length: 1, 1\r\n\r\na",
        b"content-length: -1\r\n\r\n",
        b"content-length: +1\r\n\r\na",
        b"content-length: 0x1\r\n\r\na",
        b"content-length: \r\n\r\n",
        b"content-length: 99999999999999999999\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: \r\n\r\n0\r\n\r\n",
        b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"x: a\r\n transfer-encoding: chunked\r\n\r\n",
        b"x: a\n\n",
        b"x: a\rb\r\n\r\n",
        b"x: a\0b\r\n\r\n",
        b": a\r\n\r\n",
        b"a b: c\r\n\r\n",
    ],
    ids=lambda head: head[:30].decode("latin-1"),
)
def test_a_head_that_two_readers_read_differently_ends_the_connection(head):
    got, exchanges = talk(POST + head + LAST)
    assert len(exchanges) == 1
    assert got.startswith(b"HTTP/1.1 400 "), got
    assert b"connection: close" in got
    assert b"/last" not in got


@pytest.mark.parametrize(
    "line",
    [
        b"GET /a HTTP/2.0", b"GET /a HTTP/1.2", b"GET /a HTTP/0.9", b"GET /a", b"GET  /a b HTTP/1.1",
        b"NONE /a HTTP/1.1", b"GET /\xc3\xbc HTTP/1.1", b"get /a HTTP/1.1",
    ],
)  # fmt: skip
def test_what_is_not_http_is_answered_once(line):
    got, _ = talk(line + b"\r\nhost: x\r\n\r\n" + LAST)
    assert got.count(b"HTTP/1.1 400 ") == 1
    assert b"/last" not in got


@pytest.mark.parametrize(
    "body", [b"z\r\n", b"2\nab\r\n", b"2\r\nabX\r\n", b"fffffffffffffffff\r\n", b"2 \r\nab\r\n"]
)
def test_a_chunked_body_that_is_not_well_formed_is_cut_off(body):
    got, exchanges = talk(POST + b"transfer-encoding: chunked\r\n\r\n" + body + LAST, answer=reading)
    assert [exchange.head.target.path for exchange in exchanges] == ["/a"]
    assert b"cut off" in got
    assert b"connection: close" in got


def test_requests_are_answered_in_order_however_they_are_cut():
    many = b"".join(
        b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi" % number for number in range(40)
    )
    for pieces in ([many + LAST], [bytes([one]) for one in many[:300]] + [many[300:], LAST]):
        got, exchanges = talk(*pieces)
        assert [exchange.head.target.path for exchange in exchanges] == [
            f"/{number}" for number in range(40)
        ] + ["/last"]
        assert got.count(b"HTTP/1.1 200 OK") == 41
        assert got.index(b"POST /0 hi") < got.index(b"POST /39 hi") < got.index(b"GET /last")


def test_no_more_requests_are_taken_in_than_one_read_while_one_is_answered():
    async def live():
        may_answer = asyncio.Event()

        async def slow(exchange):
            await may_answer.wait()
            exchange.answer(200, {}, b"x" * 10)

        async with Served(slow) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(GET)
            await until(lambda: served.exchanges, "the request")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    while True:
                        writer.write(GET * 1000)
                        await writer.drain()
            (connection,) = served.server.connections
            await until(lambda: not connection._is_reading, "the end of reading")
            assert len(connection._queue) < 20_000
            may_answer.set()
            assert (await reader.readuntil(b"x" * 10)).startswith(b"HTTP/1.1 200")
            writer.transport.abort()

    asyncio.run(live())


def test_trailers_are_passed_over_and_bounded():
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    got, exchanges = talk(chunked + b"authorization: Bearer x\r\n\r\n" + LAST)
    assert b"POST /a hi" in got
    assert all(name != b"authorization" for name, _ in exchanges[0].head.fields)
    got, _ = talk(chunked + b"x: %s\r\n\r\n" % (b"a" * 60_000) + LAST, answer=reading)
    assert b"cut off" in got


def test_a_head_of_any_length_costs_no_more_than_its_bounds():
    got, exchanges = talk(b"GET /a HTTP/1.1\r\n" + b"x: %s\r\n" % (b"a" * 30_000) * 20 + b"\r\n")
    assert got.startswith(b"HTTP/1.1 400 ")
    assert [exchange.fault for exchange in exchanges] == ["too_large"]
    got, (exchange,) = talk(b"GET /a HTTP/1.1\r\nconnection: close\r\n" + b"x: a\r\n" * 5000 + b"\r\n")
    assert exchange.head.count == 5001
    assert len(exchange.head.fields) == 100
    got, (exchange,) = talk(b"GET /" + b"a" * 400_000)
    assert exchange.fault == "too_large"
