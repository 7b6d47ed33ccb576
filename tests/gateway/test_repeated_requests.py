"""A request that repeats the last one is not read. All that comes is taken for what httptools alone takes it for."""

import asyncio
import contextlib
import itertools

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.proxy.http.request_heads import Repeated, RequestHeads
from gateway.proxy.http.server import ClientConnection, HttpServer


class Transport:
    """Takes nothing and says nothing."""

    def __init__(self):
        self.sent = []

    def get_extra_info(self, name):
        return ("127.0.0.1", 1)

    def is_closing(self):
        return False

    def write(self, data):
        self.sent.append(data)

    def pause_reading(self):
        pass

    resume_reading = close = abort = write_eof = pause_reading


class Reference:
    """What httptools says of bytes that come at once."""

    def __init__(self, data):
        self.complete = []
        self._new()
        parser = self._parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            parser.feed_data(data)

    def _new(self):
        self._url, self._fields, self._body, self._is_in_head = b"", [], b"", True

    def on_url(self, url):
        self._url += url

    def on_header(self, name, value):
        if self._is_in_head:
            self._fields.append((name.lower(), value.strip()))

    def on_headers_complete(self):
        self._is_in_head = False
        self._start = self._parser.get_method(), self._parser.get_http_version()
        # Others are refused, whatever httptools says of them.
        assert self._start[1] in ("1.0", "1.1")

    def on_body(self, data):
        self._body += data

    def on_message_complete(self):
        length = [value for name, value in self._fields if name == b"content-length"]
        fields = tuple(field for field in self._fields if field[0] != b"content-length")
        self.complete.append((*self._start, self._url, fields, length, self._body))
        self._new()


def connection_in(loop):
    connection = ClientConnection(HttpServer(None, head_seconds=5, most_connections=9), loop)
    connection.connection_made(Transport())
    return connection


def taken(*chunks):
    """The complete requests that a connection takes from these bytes."""

    async def run():
        connection = connection_in(asyncio.get_running_loop())
        for chunk in chunks:
            connection.data_received(chunk)
        # Nothing was answered yet: all of them wait.
        connection._task = connection._task and connection._task.cancel()
        return [
            (
                one.head.method.encode(), one.head.version, one.head.url, one.head.fields,
                [] if one.length is None else [one.length], one.body_so_far,
            )
            for one in connection._queue
            if one.is_body_complete and not one.fault
        ]  # fmt: skip

    return asyncio.run(run())


HEADS = [
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %s\r\nauthorization: Bearer one\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %s\r\nauthorization: Bearer two\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer one\r\nContent-Length: %s\r\n\r\n",
    b"POST /b?c HTTP/1.1\r\ncontent-length: %s\r\n\r\n",
    b"PUT http://x/b HTTP/1.1\r\nhost: x\r\ncontent-length: %s\r\nx: \xff\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost:x\r\ncontent-length:%s\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %s \r\n\r\n",
    b"POST /a HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: %s\r\n\r\n",
    b"POST /a HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: %s\r\n\r\n",
    b"POST /a HTTP/1.1\r\nconnection: close\r\ncontent-length: %s\r\n\r\n",
    b"POST /a HTTP/1.1\r\nx: content-length: %s\r\ncontent-length: %s\r\n\r\n",
    b"POST /a HTTP/1.1\r\ncontent-length: %s\r\ncontent-length: %s\r\n\r\n",
    b"POST /a HTTP/1.1\r\ncontent-length: %s\r\ntransfer-encoding: chunked\r\n\r\n",
    b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\nx: %s\r\n\r\n",
    b"GET /a HTTP/1.1\r\nhost: x\r\nx: %s\r\n\r\n",
    b"\r\nPOST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %s\r\n\r\n",
]
BODIES = [
    b"",
    b"a",
    b"a" * 8,
    b"a" * 9,
    b"b" * 10,
    b"c" * 98,
    b"d" * 99,
    b"e" * 100,
    b"f" * 1000,
    b"2\r\nab\r\n0\r\n\r\n",
]
BODIES += [HEADS[0] % b"3" + b"abc", HEADS[0] % b"99" + b"a" * 98, b"\r\n\r\n", b"0\r\n\r\n"]


def written(head, body, error):
    """A request; `error` is added to its length."""
    return HEADS[head].replace(b"%s", b"%d" % max(0, len(BODIES[body]) + error)) + BODIES[body]


requests = st.tuples(
    st.integers(0, len(HEADS) - 1) | st.just(0),
    st.integers(0, len(BODIES) - 1),
    st.sampled_from([0] * 12 + [1, -1, 2, -3]),
)


@settings(max_examples=500)
@given(
    # Repetition, of which the last may be something else.
    runs=st.lists(st.tuples(requests, st.integers(1, 4)), min_size=1, max_size=5),
    cuts=st.sets(st.integers(0, 3000), max_size=4),
    joined=st.sets(st.integers(0, 12), max_size=2),
    damage=st.none() | st.tuples(st.integers(0, 1500), st.sampled_from([b"", b"\r\n", b"0", b" ", b"\n", b"\0"])),
)  # fmt: skip
@example(runs=[((0, 3, 0), 3), ((0, 10, 0), 2)], cuts={440}, joined=set(), damage=None)
@example(runs=[((0, 1, 0), 3), ((9, 1, 0), 1), ((0, 1, 0), 1)], cuts=set(), joined=set(), damage=None)
def test_all_is_taken_for_what_httptools_takes_it_for(runs, cuts, joined, damage):
    pieces = [written(*one) for one, times in runs for _ in range(times)]
    data = b"".join(pieces)
    # Each comes by itself, but for some that are cut, or come with the one before.
    ends, at = set(cuts), 0
    for number, piece in enumerate(pieces):
        at += len(piece)
        if number not in joined:
            ends.add(at)
    if damage is not None:
        place, by = damage
        data = data[:place] + by + data[place + len(by) :]
    places = [0, *sorted(end for end in ends if 0 < end < len(data)), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(places)]
    assert taken(*chunks) == Reference(data).complete


ONE = HEADS[0] % b"3" + b"abc"


def test_the_parser_is_not_asked_about_a_request_that_repeats_the_last_one():
    async def run():
        connection = connection_in(asyncio.get_running_loop())
        connection.data_received(ONE)
        connection.data_received(ONE)
        parser, connection._parser = connection._parser, None
        for size in (3, 8, 1000, 70_000):
            connection.data_received(HEADS[0] % b"%d" % size + b"a" * size)
        connection._parser = parser
        connection.data_received(HEADS[3] % b"2" + b"hi")
        connection._task.cancel()
        assert [len(one.body_so_far) for one in connection._queue] == [3, 3, 3, 8, 1000, 70_000, 2]
        # The same head is read once, by us and by those who ask.
        assert len({one.head for one in connection._queue}) == 2

    asyncio.run(run())


@pytest.mark.parametrize("head", [HEADS[number] for number in (0, 2, 3, 4)])
def test_a_body_that_looks_like_a_repeated_request_is_a_body(head):
    one = head % b"3" + b"abc"
    wrapped = head % b"%d" % len(one)
    assert [request[-1] for request in taken(one, one, wrapped, one, one)] == [b"abc", b"abc", one, b"abc"]
    assert [request[-1] for request in taken(one, one, wrapped + one, one)] == [b"abc", b"abc", one, b"abc"]


@pytest.mark.parametrize(
    "length", [b"2", b"4", b"03", b"+3", b"3 ", b" 3", b"3,3", b"-3", b"0x3", b"3\r\nx: y", b""]
)
def test_a_repeated_head_with_another_length_than_its_body_is_read(length):
    other = HEADS[0] % length + b"abc"
    assert taken(ONE, ONE, other) == Reference(ONE + ONE + other).complete


@pytest.mark.parametrize(
    ("start", "is_plain"),
    [
        (b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ", True),
        (b"POST /a HTTP/1.1\r\nhost:x\r\ncontent-length: ", False),
        (b"\r\nPOST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ", False),
        (b"POST /a HTTP/1.0\r\nhost: x\r\ncontent-length: ", False),
        (b"PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: ", False),
        (b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: ", False),
    ],
)
def test_only_the_one_plain_way_to_write_a_head_is_recognized(start, is_plain):
    heads = RequestHeads()
    for _ in range(2):
        heads.read(
            b"POST",
            b"/a",
            "1.1",
            [(b"host", b"x"), (b"content-length", b"2")],
            size=20,
            count=2,
            is_last=False,
        )
    assert heads.is_repeated_anew
    assert (heads.repeated(start + b"2\r\n\r\nhi", b"hi") is not None) is is_plain
    # It is asked once.
    heads.read(
        b"POST", b"/a", "1.1", [(b"host", b"x"), (b"content-length", b"2")], size=20, count=2, is_last=False
    )
    assert not heads.is_repeated_anew


@pytest.mark.parametrize(
    "last",
    [
        HEADS[9] % b"1" + b"a",
        b"GET /a HTTP/1.0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\nx: a\0b\r\n\r\n",
    ],
)
def test_after_the_last_request_nothing_is_one(last):
    for pieces in ([last, ONE], [last + ONE], [last, ONE, ONE]):
        assert taken(ONE, ONE, ONE, *pieces) == Reference(b"".join([ONE, ONE, ONE, *pieces])).complete


def test_half_a_head_before_a_repeated_request_is_part_of_it():
    start = b"POST /a HTTP/1.1\r\nx: "
    assert taken(ONE, ONE, start, ONE) == Reference(ONE + ONE + start + ONE).complete


@given(sizes=st.lists(st.integers(0, 12_000), min_size=1, max_size=9))
def test_what_is_recognized_is_exactly_one_request_with_its_body(sizes):
    before, after = (HEADS[0] % b"|").split(b"|")
    repeated = Repeated(None, before, after)
    for size in sizes:
        body = b"a" * size
        data = before + b"%d" % size + after + body
        assert repeated.body_in(data) in (body, None)
        if size and not str(size).startswith("9"):
            assert repeated.body_in(data) == body
        for other in (
            data[:-1],
            data + b"a",
            data[1:],
            data + data,
            b"\r\n" + data,
            data.replace(b"one", b"two"),
        ):
            assert repeated.body_in(other) is None


def test_a_whole_request_that_is_longer_than_any_head_is_one_request():
    """As large calls come: in one read. It was answered twice, the second time as a head that is too long."""
    large = HEADS[0] % b"100000" + b"a" * 100_000

    async def run(*chunks):
        connection = connection_in(asyncio.get_running_loop())
        for chunk in chunks:
            connection.data_received(chunk)
        connection._task.cancel()
        return [one.fault for one in connection._queue]

    assert asyncio.run(run(large, large, large)) == [""] * 3
    assert asyncio.run(run(large + ONE[:20], ONE[20:])) == [""] * 2
    assert asyncio.run(run(large + b"GET /", b"a" * 70_000)) == ["", "too_large"]
