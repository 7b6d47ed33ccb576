"""An answer that is like the last one but for its body is told by its bytes, with the result that the parser has."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.http.errors import TransportError
from tests.gateway.test_one_connection_after_another_call import HEAD, connected

PLAIN = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%b"


def plain(body):
    return PLAIN % (len(body), body)


async def told(connection, *pieces):
    """What a call gets from such an answer, and what becomes of the connection."""
    asking = asyncio.create_task(connection.ask(HEAD, b"", 0.05))
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
    try:
        answer = await asking
        body = await answer.read()
        rest = await answer.read()
        said = (answer.status, dict(answer.headers), answer.content_length, body + rest)
    except (TransportError, TimeoutError) as error:
        said = (type(error), str(error))
    transport = connection._transport
    return said, transport.is_aborted or transport.is_closed


async def after(history, *pieces):
    connection = connected()
    for answer in history:
        _, is_over = await told(connection, answer)
        assert not is_over
    return await told(connection, *pieces), connection


def test_the_third_answer_with_the_same_head_needs_no_parser():
    async def work():
        connection = connected()
        for number, body in enumerate((b"one", b"two is longer", b"three", b"x" * 5000, b"y")):
            if number == 2:
                # It would raise.
                connection._parser = None
            (status, headers, length, read), is_over = await told(connection, plain(body))
            assert (status, length, read, is_over) == (200, len(body), body, False)
            assert headers == {"server": "x", "content-type": "application/json"}

    asyncio.run(work())


def test_the_parser_reads_on_where_another_head_comes():
    async def work():
        connection = connected()
        other = plain(b"two").replace(b"server: x", b"server: y")
        for answer, body in ((plain(b"1"), b"1"), (plain(b"2"), b"2"), (plain(b"3"), b"3"), (other, b"two")):
            assert (await told(connection, answer))[0][3] == body
        assert connection._known is None
        assert (await told(connection, plain(b"4")))[0][3] == b"4"

    asyncio.run(work())


ODD = [
    plain(b"hello"),
    plain(b"x" * 99),
    plain(b"x" * 100),
    plain(b"x" * 9),
    plain(b""),
    plain(b"hello") + b"rest",
    plain(b"hello") + plain(b"another"),
    plain(b"hello")[:-1],
    plain(b"hello").replace(b"length: 5", b"length: 05"),
    plain(b"hello").replace(b"length: 5", b"length: +5"),
    plain(b"hello").replace(b"length: 5", b"length: 5 "),
    plain(b"hello").replace(b"length: 5", b"length: 4"),
    plain(b"hello").replace(b"length: 5", b"length: 50"),
    plain(b"hello").replace(b"length: 5\r\n", b"length: 5\r\ncontent-length: 5\r\n"),
    plain(b"hello").replace(b"length: 5\r\n", b"length: 5\r\ntransfer-encoding: chunked\r\n"),
    plain(b"hello").replace(b"200 OK", b"500 No"),
    plain(b"hello").replace(b"200 OK", b"204 No"),
    plain(b"hello").replace(b"server: x", b"server: x\r\nconnection: close"),
    plain(b"hello").replace(b"HTTP/1.1", b"HTTP/1.0"),
    plain(b"hello").replace(b"server", b"Server"),
    b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"hello"),
    b"\r\n" + plain(b"hello"),
]


def same(data, cuts=()):
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places) if start < end]

    async def work():
        known, connection = await after([plain(b"1"), plain(b"22"), plain(b"333")], *pieces)
        read, _ = await after([], *pieces)
        assert known == read
        return connection

    return asyncio.run(work())


@pytest.mark.parametrize("data", ODD, ids=range(len(ODD)))
def test_any_bytes_mean_the_same_on_a_connection_that_knows_such_answers(data):
    assert same(data)


@given(st.sampled_from(ODD), st.data())
def test_bytes_that_are_changed_or_cut_mean_the_same(data, drawn):
    at = drawn.draw(st.integers(0, len(data) - 1))
    changed = (
        data[:at]
        + drawn.draw(st.sampled_from([b"", b"\r", b"\n", b"0", b"9", b" ", b":", b"\x00"]))
        + data[at + 1 :]
    )
    same(changed, drawn.draw(st.lists(st.integers(0, len(changed)), max_size=2)))


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 201 OK\r\ncontent-length: %d\r\n\r\n%b",
        b"HTTP/1.1 200 OK\r\nx: \r\n\tcontent-length: 1\r\ncontent-length: %d\r\n\r\n%b",
        b"HTTP/1.1 200 OK\r\ncontent-length:%d\r\n\r\n%b",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 5000 + b"\r\ncontent-length: %d\r\n\r\n%b",
    ],
)
def test_what_is_not_written_plainly_is_left_to_the_parser(odd):
    async def work():
        connection = connected()
        for body in (b"1", b"22", b"333", b"4444"):
            said, is_over = await told(connection, odd % (len(body), body))
            if is_over:
                break
            assert said[3] == body
        return connection._known

    assert asyncio.run(work()) is None
