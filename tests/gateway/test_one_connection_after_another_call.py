"""A connection to a backend that goes to the next call before the first one has looked at its answer."""

import asyncio

import pytest

from gateway.proxy.http.backend import BackendConnection

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%b"


class Transport:
    is_aborted = is_closed = False

    def is_closing(self):
        return self.is_aborted or self.is_closed

    def write(self, data):
        pass

    def get_write_buffer_size(self):
        return 0

    def resume_reading(self):
        pass

    def abort(self):
        self.is_aborted = True

    def close(self):
        self.is_closed = True


def connected():
    connection = BackendConnection(asyncio.get_running_loop(), lambda _: None, lambda _: None)
    connection.connection_made(Transport())
    return connection


async def one_after_the_other(connection):
    """Two calls: the second is sent when the first one's answer is here, and before that one is awake."""
    first = asyncio.create_task(connection.ask(HEAD, b"", 5))
    await asyncio.sleep(0)
    second = asyncio.create_task(connection.ask(HEAD, b"", 5))
    connection.data_received(ANSWER % b"1")
    return first, second


def test_both_calls_get_their_answers():
    async def work():
        connection = connected()
        first, second = await one_after_the_other(connection)
        await asyncio.sleep(0)
        connection.data_received(ANSWER % b"2")
        async with asyncio.timeout(2):
            answers = [await first, await second]
            return [(answer.status, await answer.read()) for answer in answers]

    assert asyncio.run(work()) == [(200, b"1"), (200, b"2")]


def test_a_call_that_is_cancelled_with_its_answer_does_not_end_the_next_one():
    async def work():
        connection = connected()
        first, second = await one_after_the_other(connection)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0)
        connection.data_received(ANSWER % b"2")
        async with asyncio.timeout(2):
            return await (await second).read()

    assert asyncio.run(work()) == b"2"
