"""Texts in the middle of a stream go to the client as they arrive; everything else waits for its call."""

import asyncio
import json
import time

import pytest

from gateway.proxy.client_answers import ClientStream, ToMessages
from gateway.proxy.connections import Connections
from gateway.proxy.dialects.common import Identity
from gateway.proxy.http.errors import TransportError
from gateway.proxy.metrics import Metrics
from gateway.proxy.names import Names
from gateway.proxy.passing import Passing
from tests.gateway.backend_server import OK, Server, ask
from tests.gateway.targets import address

HEAD = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(text, end=None):
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": end}
    whole = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}
    return b"data: %s\n\n" % json.dumps(whole, separators=(",", ":")).encode()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def texts_in(sent):
    return [
        json.loads(one[6:])["choices"][0]["delta"]["content"] for one in b"".join(sent).split(b"\n\n") if one
    ]


class Client:
    """Takes what is sent; is slow after each of these texts."""

    def __init__(self, *slow_after):
        self.sent = []
        self._slow_after = slow_after

    def send_piece(self, data):
        self.sent.append(data)
        return any(text in data for text in self._slow_after)


def names():
    return Names(address(url="http://127.0.0.1:1/v1", id="t", upstream_model="up"), "public")


def passed(script, client, *, stream=None, reads=100, seconds=5.0):
    """What the call reads of a stream whose first event it has read, and that goes on as the script says."""

    async def live():
        async def serve(reader, writer):
            writer.write(HEAD + chunk(event("Once")))
            await writer.drain()
            await asyncio.sleep(0.05)
            for step in script:
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                else:
                    await asyncio.sleep(step)

        stream_ = stream or ClientStream(names(), hides_usage=False)
        async with Server(serve) as server, Connections(Metrics(), most=10) as connections:
            answer = await ask(server, connections)
            try:
                stream_.feed(await answer.read())
                passing, read = Passing(stream_, answer, client), []
                for _ in range(reads):
                    read.append(await passing.read(asyncio.get_running_loop().time() + seconds, seconds))
                    if not read[-1]:
                        break
                    stream_.feed(read[-1])
            finally:
                answer.close()
            return read, stream_

    return asyncio.run(live())


def paced(*texts, seconds=0.02):
    return [step for text in texts for step in (chunk(event(text)), seconds)]


END = chunk(event("", "stop")) + chunk(b"data: [DONE]\n\n")


def test_texts_do_not_wake_their_call_and_the_end_does():
    client = Client()
    read, stream = passed([*paced("upon ", "a ", 'time "x"'), END + b"0\r\n\r\n"], client)
    assert texts_in(client.sent) == ["upon ", "a ", 'time "x"']
    assert b"".join(read) == event("", "stop") + b"data: [DONE]\n\n"
    assert all(b'"public"' in one and b'"up"' not in one for one in client.sent)
    assert (stream.delivered.pieces, stream.delivered.bytes) == (4, len('Onceupon a time \\"x\\"'))
    assert stream.is_finished


def test_what_comes_with_something_else_waits_for_the_call_and_so_does_what_follows():
    client = Client()
    both = event("a ") + event("", "stop")
    read, _ = passed([*paced("upon "), chunk(both) + chunk(event("late "))], client, reads=1)
    assert texts_in(client.sent) == ["upon "]
    assert read == [both + event("late ")]


def test_half_an_event_waits_for_its_rest():
    client, whole = Client(), event("upon ")
    read, _ = passed([chunk(whole[:20]), 0.05, *paced("x"), chunk(whole[20:]), END + b"0\r\n\r\n"], client)
    assert client.sent == []
    assert b"".join(read).startswith(whole[:20])


def test_a_slow_client_is_waited_for():
    client = Client(b"upon ")
    read, _ = passed([*paced("upon ", "a ", "time "), END + b"0\r\n\r\n"], client)
    # Once the call has waited, the next texts go straight on again.
    assert texts_in(client.sent) == ["upon ", "time "]
    assert read[0] == event("a ")


def test_silence_is_counted_from_the_last_text():
    client, began = Client(), time.monotonic()
    with pytest.raises(TimeoutError):
        passed([*paced(*"abcdef", seconds=0.15), 3.0], client, seconds=0.4)
    assert texts_in(client.sent) == list("abcdef")
    assert 1.1 < time.monotonic() - began < 2.5


def test_bytes_that_bring_no_text_do_not_count_against_the_silence():
    client, began = Client(), time.monotonic()
    with pytest.raises(TimeoutError):
        passed([b"a;x", *[0.1, b"y"] * 40], client, seconds=0.5)
    assert client.sent == []
    assert time.monotonic() - began < 2.5


def test_a_connection_that_breaks_is_an_error_after_the_texts():
    client = Client()
    with pytest.raises(TransportError):
        passed(paced("upon "), client)
    assert texts_in(client.sent) == ["upon "]


def test_an_end_that_comes_with_the_last_text_is_noticed_at_once():
    client = Client()
    read, _ = passed([chunk(event("upon ")) + b"0\r\n\r\n", 3.0], client)
    assert read == [event("upon "), b""]


def test_a_fault_that_comes_with_a_text_is_noticed_at_once():
    began = time.monotonic()
    with pytest.raises(TransportError):
        passed([chunk(event("upon ")) + b"no size\r\n", 5.0], Client())
    assert time.monotonic() - began < 3


def test_while_its_call_does_anything_else_nothing_is_passed_on():
    taken = []

    def take(data):
        taken.append(data)
        return data != b"b"

    async def live():
        async def serve(reader, writer):
            writer.write(HEAD)
            for data in (b"a", b"b", b"c"):
                await asyncio.sleep(0.1)
                writer.write(chunk(data))
            await asyncio.sleep(3)

        async with Server(serve) as server, Connections(Metrics(), most=10) as connections:
            answer = await ask(server, connections)
            until = asyncio.get_running_loop().time() + 5
            assert await answer.read_past(take, until, 5) == b"b"
            await asyncio.sleep(0.4)
            assert taken == [b"a", b"b"]
            assert await answer.read(until) == b"c"
            answer.close()

    asyncio.run(live())


def test_what_comes_before_the_call_has_read_what_waits_is_not_passed_on():
    taken = []

    async def live():
        async def serve(reader, writer):
            writer.write(HEAD)
            await asyncio.sleep(3)

        async with Server(serve) as server, Connections(Metrics(), most=10) as connections:
            answer = await ask(server, connections)
            until = asyncio.get_running_loop().time() + 5
            reading = asyncio.create_task(answer.read_past(lambda data: bool(taken.append(data)), until, 5))
            await asyncio.sleep(0)
            answer._connection.data_received(chunk(b"a"))
            answer._connection.data_received(chunk(b"b"))
            assert await reading == b"ab"
            answer.close()

    asyncio.run(live())
    assert taken == [b"a"]


def test_a_stream_that_is_translated_goes_through_its_call():
    client = Client()
    stream = ToMessages(names(), Identity("1", "public", 1))
    read, _ = passed([*paced("upon ", "a "), END + b"0\r\n\r\n"], client, stream=stream)
    assert client.sent == []
    assert b"".join(read).startswith(event("upon ") + event("a "))


def test_the_first_text_goes_through_its_call_which_notes_the_time():
    stream = ClientStream(names(), hides_usage=False)
    stream.feed(event("x").replace(b'"x"', b'""'))
    assert stream.feed_texts(event("Once")) is None
    stream.feed(event("Once"))
    assert stream.feed_texts(event("upon")) is not None
