"""A name with several addresses, the first of which drops packets: nothing that the gateway needs waits for it."""

import asyncio
import contextlib
import socket
import time

import pytest
import uvloop

from core.egress import racing, read_networks
from gateway.proxy.connections import Connections
from gateway.proxy.control import Control
from gateway.proxy.http.pool import Trust
from gateway.proxy.metrics import Metrics
from gateway.proxy.redis_address import Access, Address
from gateway.proxy.redis_line import Line, pack
from tests.gateway.backend_server import HI, Server, ask, read_all
from tests.silent_address import silent_address

NAME = "several.example"
LIVE = "127.0.0.1"
LOOPBACK = Trust("", "", read_networks(["127.0.0.0/8"]))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request, monkeypatch):
    """Run a scenario on an event loop where a name has the addresses that the scenario lists."""

    def lookup(told):
        async def getaddrinfo(host, port, **_):
            found = told if host == NAME else [host]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        return getaddrinfo

    def live(scenario):
        told = []
        kind = asyncio.SelectorEventLoop if request.param == "asyncio" else uvloop.Loop

        class Loop(kind):
            getaddrinfo = staticmethod(lookup(told))

        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(scenario(told))

    return live


@contextlib.asynccontextmanager
async def two_addresses(told, *answers):
    """A server at the second of two addresses; the first drops packets."""
    async with Server(*answers) as server:
        with silent_address(server.port) as silent:
            told[:] = [silent, LIVE]
            yield server


async def usage_delivered(control):
    async with control.post("/usage", data=b"{}") as answer:
        return await answer.read()


def test_the_console_is_reached_and_the_next_connection_does_not_wait(run):
    async def scenario(told):
        async with two_addresses(told, HI, None, HI) as server:
            async with Control(f"http://{NAME}:{server.port}", {}) as control:
                began = time.monotonic()
                assert await usage_delivered(control) == b"hi"
                first = time.monotonic() - began
                await asyncio.sleep(0.05)
                began = time.monotonic()
                assert await usage_delivered(control) == b"hi"
                second = time.monotonic() - began
            assert server.connections == 2
        assert 0.25 <= first < 2.5
        assert second < 0.2

    run(scenario)


@pytest.mark.parametrize("trust", [None, LOOPBACK])
def test_only_the_first_connection_waits_for_a_silent_address(run, trust, monkeypatch):
    """Also once the name is looked up again."""
    monkeypatch.setattr("gateway.proxy.http.pool._RESOLVED_SECONDS", 0.0)

    async def scenario(told):
        async with two_addresses(told, HI, None, HI, None, HI) as server:
            async with Connections(Metrics(), most=10) as connections:
                seconds = []
                for _ in range(3):
                    began = time.monotonic()
                    answer = await ask(server, connections, host=NAME, trust=trust, may_repeat=False)
                    assert await read_all(answer) == b"hi"
                    seconds.append(time.monotonic() - began)
            assert server.connections == 3
        assert 0.25 <= seconds[0] < 2.5
        assert max(seconds[1:]) < 0.2

    run(scenario)


@pytest.mark.parametrize("trust", [None, LOOPBACK])
def test_engines_and_providers_are_reached(run, trust):
    async def scenario(told):
        async with two_addresses(told, HI) as server, Connections(Metrics(), most=10) as connections:
            answer = await ask(server, connections, host=NAME, trust=trust)
            assert await read_all(answer) == b"hi"

    run(scenario)


@pytest.mark.parametrize("trust", [None, LOOPBACK])
def test_a_short_time_to_connect_is_shared_with_the_second_address(run, trust, monkeypatch):
    # Longer than the connection may take, wherever it is said.
    monkeypatch.setattr(racing, "_HEAD_START_SECONDS", 4.0)
    monkeypatch.setitem(racing.first_to_answer.__kwdefaults__, "head_start", 4.0)

    async def scenario(told):
        async with two_addresses(told, HI) as server, Connections(Metrics(), most=10) as connections:
            answer = await ask(server, connections, host=NAME, trust=trust, connect_seconds=3)
            assert await read_all(answer) == b"hi"

    run(scenario)


def test_a_refused_address_costs_no_wait(run):
    async def scenario(told):
        async with Server(HI) as server, Connections(Metrics(), most=10) as connections:
            told[:] = ["127.0.0.3", LIVE]
            began = time.monotonic()
            assert await read_all(await ask(server, connections, host=NAME)) == b"hi"
            assert time.monotonic() - began < 0.2

    run(scenario)


def test_the_server_of_the_limits_is_reached_within_its_short_time(run):
    async def scenario(told):
        async def pong(reader, writer):
            await reader.readuntil(b"PING\r\n")
            writer.write(b"+PONG\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(pong, LIVE, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with silent_address(port) as silent:
                told[:] = [silent, LIVE]
                line = Line(Address(NAME, port), Access())
                assert await line.send(pack("PING")) == b"PONG"
                await line.close()

    run(scenario)
