"""The head of an answer is bounded however its bytes are cut, and read once for all answers that have the same."""

import asyncio

import pytest

from gateway.proxy.http.backend import LARGEST_HEAD, MOST_HEADERS
from gateway.proxy.http.errors import InvalidAnswer
from tests.gateway.backend_server import OK
from tests.gateway.test_one_connection_after_another_call import HEAD, connected

LENGTH = b"content-length: 2\r\n"


def head_of(size):
    """A head of so many bytes, whose last field is a length."""
    padding = size - len(OK + b"x: \r\n" + LENGTH + b"\r\n")
    return OK + b"x: " + b"a" * padding + b"\r\n" + LENGTH + b"\r\n"


def answered(*pieces):
    """The status and body of an answer that comes in these pieces."""

    async def work():
        connection = connected()
        asking = asyncio.create_task(connection.ask(HEAD, b"", 5))
        await asyncio.sleep(0)
        for piece in pieces:
            connection.data_received(piece)
            if connection._transport.is_aborted:
                break
        async with asyncio.timeout(5):
            answer = await asking
            return answer.status, await answer.read()

    return asyncio.run(work())


@pytest.mark.parametrize(
    "cut", [0, 1, 20, LARGEST_HEAD // 2, LARGEST_HEAD - 9, LARGEST_HEAD - 1, LARGEST_HEAD]
)
def test_a_head_may_be_as_large_as_its_bound_and_no_larger(cut):
    largest, larger = head_of(LARGEST_HEAD) + b"hi", head_of(LARGEST_HEAD + 1) + b"hi"
    assert answered(largest[:cut], largest[cut:]) == (200, b"hi")
    with pytest.raises(InvalidAnswer, match="too large"):
        answered(larger[:cut], larger[cut:])


def test_a_large_body_beside_a_small_head_is_no_large_head():
    body = b"x" * (3 * LARGEST_HEAD)
    whole = OK + b"content-length: %d\r\n\r\n" % len(body) + body
    assert answered(whole) == (200, body)


def test_a_second_answer_behind_a_large_one_costs_the_connection():
    body = b"x" * (2 * LARGEST_HEAD)
    whole = OK + b"content-length: %d\r\n\r\n" % len(body) + body

    async def work():
        connection = connected()
        asking = asyncio.create_task(connection.ask(HEAD, b"", 5))
        await asyncio.sleep(0)
        connection.data_received(whole + OK + LENGTH + b"\r\nno")
        assert await (await asking).read() == body
        return connection._transport.is_aborted or connection._transport.is_closed

    assert asyncio.run(work())


@pytest.mark.parametrize("fields", [MOST_HEADERS - 1, MOST_HEADERS])
def test_a_head_has_a_bounded_number_of_fields(fields):
    whole = OK + b"a: b\r\n" * fields + LENGTH + b"\r\nhi"
    if fields < MOST_HEADERS:
        assert answered(whole) == (200, b"hi")
    else:
        with pytest.raises(InvalidAnswer, match="too large"):
            answered(whole)


def test_trailers_are_bounded_beside_a_head_that_is_not():
    chunked = OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    assert answered(chunked + b"a: b\r\n" * MOST_HEADERS + b"\r\n") == (200, b"hi")

    async def work(trailers):
        connection = connected()
        asking = asyncio.create_task(connection.ask(HEAD, b"", 5))
        await asyncio.sleep(0)
        connection.data_received(chunked + trailers + b"\r\n")
        await (await asking).read()
        return connection._transport.is_aborted or connection._transport.is_closed

    assert asyncio.run(work(b"a: b\r\n" * (MOST_HEADERS + 1)))
    assert asyncio.run(work(b"a: " + b"b" * LARGEST_HEAD + b"\r\n"))
    assert not asyncio.run(work(b"a: b\r\n"))


def test_a_head_is_read_once_for_answers_that_have_the_same():
    async def work():
        connection = connected()
        seen = []
        for number, extra in enumerate((b"x: 1\r\n", b"x: 1\r\n", b"x: 2\r\n", b"x: %s\r\n" % (b"2" * 5000))):
            body = b"y" * (number + 1)
            asking = asyncio.create_task(connection.ask(HEAD, b"", 5))
            await asyncio.sleep(0)
            connection.data_received(OK + extra + b"content-length: %d\r\n\r\n" % len(body) + body)
            answer = await asking
            assert await answer.read() == body
            assert answer.content_length == len(body)
            seen.append(answer.headers)
        return seen

    first, again, other, large = asyncio.run(work())
    assert again is first
    assert (first, other["x"], len(large["x"])) == ({"x": "1"}, "2", 5000)
