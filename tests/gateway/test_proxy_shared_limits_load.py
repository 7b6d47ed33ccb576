"""A shared limits server under load, and killed under it: callers get an answer, and never a bare 500."""

import asyncio
import threading
import time
from types import SimpleNamespace

import aiohttp
import orjson
import pytest

from gateway.proxy.errors import Refusal
from gateway.proxy.limits import EstimatedUsage
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.metrics import Metrics
from gateway.proxy.redis_address import read_url
from gateway.proxy.redis_line import Line, NotConnected, pack
from tests.gateway.proxy_fixtures import MODEL, limit

TEN = EstimatedUsage(input_tokens=10, output_tokens=0, is_output_named=True)


def hammer(rig, secret, connections, seconds, meanwhile=None):
    """Call over many connections at once; returns (status, code, retry-after) of every answer."""
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1})
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    url, answers = f"{rig.gateway.url}/v1/chat/completions", []

    async def caller(session, until):
        is_first = True
        while is_first or time.monotonic() < until:
            is_first = False
            async with session.post(url, data=body, headers=headers) as answer:
                content = await answer.read()
                error = orjson.loads(content).get("error") or {}
                answers.append((answer.status, error.get("code"), answer.headers.get("retry-after")))

    async def all_of_them():
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=120)
        until = time.monotonic() + seconds
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(caller(session, until) for _ in range(connections)))

    calling = threading.Thread(target=lambda: asyncio.run(all_of_them()))
    calling.start()
    if meanwhile:
        # Here: a server ends with the thread that started it.
        meanwhile()
    calling.join()
    return answers


def test_with_256_connections_and_a_healthy_server_nobody_is_refused(rig_with_shared_limits):
    rig = rig_with_shared_limits
    secret = rig.new_key(limits=[limit("requests_per_minute", 10**6), limit("concurrent_calls", 10**4)])
    answers = hammer(rig, secret, 256, 4)
    # Each of them at least once.
    assert len(answers) >= 256
    assert {status for status, _, _ in answers} == {200}


def test_a_server_killed_under_load_never_leaves_a_caller_without_a_word(new_rig, own_limits_server):
    rig = new_rig(GATEWAY_REDIS_URL=own_limits_server.url)
    secret = rig.new_key(limits=[limit("requests_per_minute", 10**6), limit("concurrent_calls", 10**4)])

    def kill_and_bring_back():
        for _ in range(3):
            time.sleep(0.7)
            own_limits_server.stop()
            time.sleep(0.3)
            own_limits_server.start()

    answers = hammer(rig, secret, 64, 5, kill_and_bring_back)
    others = [answer for answer in answers if answer[0] != 200]
    assert {(status, code) for status, code, _ in others} <= {(503, "limits_unavailable")}
    assert all(wait is not None for _, _, wait in others)
    assert hammer(rig, secret, 1, 0.5)[-1] == (200, None, None)


def test_whatever_breaks_a_question_is_a_503_and_never_the_callers_own_end():
    """A cancelled or failing question is the limiter's trouble, not the caller's."""
    limiter = RedisLimiter("redis://127.0.0.1:1", Metrics())

    async def live():
        for failure in (asyncio.CancelledError(), RuntimeError("a fault in a library"), KeyError("x")):

            async def ask(*_, failure=failure, **__):
                raise failure

            limiter._nodes.ask = ask
            with pytest.raises(Refusal) as refused:
                await limiter.admit([limit("requests_per_minute", 3)], TEN, "t")
            assert (refused.value.status, refused.value.code) == (503, "limits_unavailable")
            assert refused.value.headers["retry-after"]

    asyncio.run(live())


def test_a_caller_that_is_cancelled_is_cancelled():
    limiter = RedisLimiter("redis://127.0.0.1:1", Metrics())

    async def live():
        async def ask(*_, **__):
            await asyncio.sleep(10)

        limiter._nodes.ask = ask
        asking = asyncio.create_task(limiter.admit([limit("requests_per_minute", 3)], TEN, "t"))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(live())


def test_answers_belong_to_their_questions_though_some_askers_have_gone(limits_server):
    async def live():
        line = Line(*read_url(limits_server.url))
        asked = [asyncio.ensure_future(line.send(pack("ECHO", number))) for number in range(500)]
        await asyncio.sleep(0)
        for gone in asked[::3]:
            gone.cancel()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        # The same over the connection that is open now.
        asked = [line.send(pack("ECHO", number)) for number in range(500)]
        for gone in asked[::3]:
            gone.cancel()
        for several in (answers, await asyncio.gather(*asked, return_exceptions=True)):
            for number, answer in enumerate(several):
                is_gone = number % 3 == 0 and isinstance(answer, asyncio.CancelledError)
                assert is_gone or answer == str(number).encode()
        assert await line.send(pack("ECHO", "still here")) == b"still here"
        await line.close()

    asyncio.run(live())


def test_requests_of_one_turn_of_the_event_loop_are_written_together(limits_server):
    async def live():
        line = Line(*read_url(limits_server.url))
        await line.send(pack("PING"))
        written = []
        write = line._connection._transport.write
        line._connection._transport = SimpleNamespace(
            write=lambda data: (written.append(data), write(data)), abort=lambda: None
        )
        assert await asyncio.gather(*(line.send(pack("ECHO", n)) for n in range(9)))
        assert written == [b"".join(pack("ECHO", n) for n in range(9))]
        await line.close()

    asyncio.run(live())


def test_a_slow_moment_of_this_process_is_no_silence_of_the_servers(limits_server):
    async def live():
        line = Line(*read_url(limits_server.url))
        await line.send(pack("PING"))
        asking = line.send(pack("ECHO", "x"))
        await asyncio.sleep(0)
        time.sleep(1)
        assert await asking == b"x"
        await line.close()

    asyncio.run(live())


def test_a_server_that_is_not_there_has_not_heard_the_question():
    async def live():
        line = Line(*read_url("redis://127.0.0.1:1"))
        with pytest.raises(NotConnected):
            await line.send(pack("PING"))
        await line.close()

    asyncio.run(live())
