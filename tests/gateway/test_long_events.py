"""Events that come in very many reads, such as pictures in a chat: the same as in one, and put together only once."""

import time

import pytest

from gateway.proxy.client_answers import ClientStream
from gateway.proxy.dialects.common import EventReader
from gateway.proxy.event_lines import LARGEST_EVENT, LONG_EVENT
from gateway.proxy.names import Names
from gateway.proxy.streaming import StreamTooStrange
from tests.gateway.test_proxy_counting import a_route, backend

READ = 64 * 1024
NAMES = Names(a_route(backend("a")).groups[0][0], "public")


def event(size, text=b"A", end=b"\n\n"):
    content = text * (size // len(text))
    choice = b'{"index":0,"delta":{"content":"' + content + b'"},"finish_reason":null}'
    return b'data: {"id":"c","object":"chat.completion.chunk","choices":[' + choice + b"]}" + end


def read_by(stream, data, size=READ):
    return b"".join(stream.feed(data[at : at + size]) for at in range(0, len(data), size))


def streamed(data, size):
    stream = ClientStream(NAMES, hides_usage=False)
    return read_by(stream, data, size) + stream.end(), stream.delivered.bytes, stream.delivered.pieces


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_a_long_event_is_the_same_wherever_its_reads_are_cut(end):
    data = (
        event(3, end=end) + event(2 * LONG_EVENT, b"a\\n\\n", end) + event(5, end=end) + b"data: [DONE]" + end
    )
    whole = streamed(data, len(data))
    assert whole[1] > 2 * LONG_EVENT - 8
    begins = len(event(3, end=end))
    ends = begins + len(event(2 * LONG_EVENT, b"a\\n\\n", end))
    # About the beginning and the end of the long one, of which more than a little is there already.
    middle = begins + LONG_EVENT + 9
    for first, cut in [
        *((cut, cut) for cut in range(begins - 6, begins + 8)),
        *((middle, cut) for cut in range(ends - 8, ends + 6)),
    ]:
        stream = ClientStream(NAMES, hides_usage=False)
        passed = (
            stream.feed(data[:first])
            + stream.feed(data[first:cut])
            + read_by(stream, data[cut:])
            + stream.end()
        )
        assert (passed, stream.delivered.bytes, stream.delivered.pieces) == whole, cut


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("late", range(1, 5))
def test_a_long_event_is_passed_on_with_its_last_byte(end, late):
    data = event(2 * LONG_EVENT, end=end)
    stream = ClientStream(NAMES, hides_usage=False)
    assert stream.feed(data[:LONG_EVENT]) + stream.feed(data[LONG_EVENT:-late]) == b""
    assert len(stream.feed(data[-late:])) > 2 * LONG_EVENT


def test_what_came_of_a_long_event_without_an_empty_line_counts_at_the_end():
    data = event(3 * LONG_EVENT, end=b"\n")
    assert streamed(data, READ)[:2] == streamed(data, len(data))[:2]
    half = streamed(data[:-10], READ)
    assert half[1] == 0, "half an event is dropped"


@pytest.mark.parametrize("make", [lambda: ClientStream(NAMES, hides_usage=False), EventReader])
def test_an_event_without_an_end_is_given_up(make):
    stream, piece = make(), b"a" * (1024 * 1024)
    for _ in range(LARGEST_EVENT // len(piece)):
        stream.feed(piece)
    with pytest.raises(StreamTooStrange):
        stream.feed(piece)


@pytest.mark.parametrize("make", [lambda: ClientStream(NAMES, hides_usage=False), EventReader])
def test_many_reads_of_a_long_event_cost_about_as_much_as_few(make):
    data = event(6 * 1024 * 1024)

    def seconds(size):
        stream, began = make(), time.process_time()
        for at in range(0, len(data), size):
            stream.feed(data[at : at + size])
        return time.process_time() - began

    few = min(seconds(1024 * 1024) for _ in range(3))
    many = min(seconds(16 * 1024) for _ in range(3))
    # 384 reads. Put together anew at each of them, they take 30 times as long.
    assert many < 6 * few + 0.05


def test_the_reader_of_events_gives_the_same_data_however_they_are_cut():
    data = event(4) + event(2 * LONG_EVENT) + event(4)
    reader = EventReader()
    whole = reader.feed(data)
    assert len(whole) == 3
    for size in (READ, 1000, 4096):
        reader = EventReader()
        assert [one for at in range(0, len(data), size) for one in reader.feed(data[at : at + size])] == whole
