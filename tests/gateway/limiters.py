"""Both places where limits are counted, for tests that both must pass, and a Valkey that can be restarted."""

import asyncio
import contextlib
import re
import secrets

import pytest
import redis

from gateway.proxy.limits import MemoryLimiter
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.metrics import Metrics
from launcher.ports import free_port
from launcher.running import RunningServer
from launcher.valkey import EmbeddedValkey
from tests.gateway.proxy_fixtures import Rig


class LimitsServer:
    """A Valkey of the tests' own, which keeps nothing when it ends."""

    def __init__(self, directory):
        self._log = (directory / "limits-server.log").open("wb")
        self._server = EmbeddedValkey(
            directory / "limits", port=free_port(), password=secrets.token_urlsafe(16), durable=False
        )
        self.url = self._server.url()
        self.client = redis.Redis.from_url(self.url)
        self.start()

    def start(self):
        self.running = RunningServer(self._server, self._log)

    def stop(self):
        self.running.stop()

    def close(self):
        self.client.close()
        self.stop()
        self._log.close()


class Relay:
    """Stands between a limiter and its server, and can swallow the answers while questions go through."""

    def __init__(self, url):
        self.port = free_port()
        self.url = re.sub(r":\d+/", f":{self.port}/", url)
        self.is_mute = False
        self._target = int(re.search(r":(\d+)/", url)[1])

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _connect(self, reader, writer):
        answers, questions = await asyncio.open_connection("127.0.0.1", self._target)
        passing = asyncio.create_task(self._pass(answers, writer, can_mute=True))
        await self._pass(reader, questions, can_mute=False)
        passing.cancel()
        for end in (questions, writer):
            end.close()

    async def _pass(self, reader, writer, *, can_mute):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not (can_mute and self.is_mute):
                    writer.write(data)
                    await writer.drain()


class Limiters:
    """Makes limiters of one kind, and runs what they do in one event loop."""

    def __init__(self, server=None):
        self.server = server
        self._runner = asyncio.Runner()
        self._last = None

    def new(self, clock, **options):
        """A limiter that has counted nothing yet. The one before it is closed."""
        if self.server is None:
            return MemoryLimiter(monotonic=clock, wall=clock)
        self.close_last()
        self.server.client.flushdb()
        return self.another(clock, **options)

    def another(self, clock, *, url=None, **options):
        """One more gateway's limiter on the same server. Nothing renews leases here, so they are long."""
        options = {"clock": clock, "lease_seconds": 10**6, **options}
        self._last = RedisLimiter(url or self.server.url, Metrics(), **options)
        return self._last

    def run(self, work):
        return self._runner.run(work)

    def close_last(self):
        if self._last is not None:
            self.run(self._last.close())
            self._last = None

    def close(self):
        self.close_last()
        self._runner.close()


@pytest.fixture(scope="session")
def limits_server(tmp_path_factory):
    """A Valkey for tests that leave it running."""
    server = LimitsServer(tmp_path_factory.mktemp("limits"))
    yield server
    server.close()


@pytest.fixture
def own_limits_server(tmp_path):
    """A Valkey of this test's own, to stop it."""
    server = LimitsServer(tmp_path)
    yield server
    server.close()


@pytest.fixture(scope="module", params=["memory", "redis"])
def limiters(request):
    """Limits in memory, then in a Valkey."""
    made = Limiters(request.getfixturevalue("limits_server") if request.param == "redis" else None)
    yield made
    made.close()


@pytest.fixture(params=["memory", "redis"])
def limits_environment(request):
    """What tells a gateway where to count limits: in its memory, then in a Valkey."""
    if request.param == "memory":
        return {}
    return {"GATEWAY_REDIS_URL": request.getfixturevalue("limits_server").url}


@pytest.fixture(scope="session")
def rig_with_shared_limits(tmp_path_factory, limits_server):
    rig = Rig(tmp_path_factory.mktemp("rig"), GATEWAY_REDIS_URL=limits_server.url)
    yield rig
    rig.close()


@pytest.fixture(params=["memory", "redis"])
def limited_rig(request):
    """A rig for tests that leave it as they found it: limits in memory, then in a Valkey."""
    return request.getfixturevalue("shared_rig" if request.param == "memory" else "rig_with_shared_limits")
