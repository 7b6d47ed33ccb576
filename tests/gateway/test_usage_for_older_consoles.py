"""Usage goes out in the version that the console speaks; what that version cannot say waits."""

import asyncio

import pytest
from aiohttp import web

from gateway.contract import USAGE_PATH, UsageBatch, UsageReceipt, decode, encode, v1_usage
from gateway.contract.versions import VERSION_HEADER
from gateway.proxy.control import Control
from gateway.proxy.metrics import Metrics
from gateway.proxy.spool import Spool
from gateway.proxy.uploader import Uploader
from tests.gateway.test_proxy_spool import event


def sent(tmp_path, *events, spoken, damage=lambda written: written):
    """Send events with a real uploader. Returns what the console got: version and body of each request.

    `damage` changes the segment before it is read.
    """
    got = []

    async def take(request):
        got.append((request.headers.get(VERSION_HEADER), await request.read()))
        return web.Response(body=encode(UsageReceipt(recorded=1, repeated=0, quarantined=0)))

    async def run():
        app = web.Application()
        app.router.add_post(USAGE_PATH, take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        spool = Spool(tmp_path / "spool")
        spool.start()
        try:
            async with Control(f"http://127.0.0.1:{runner.addresses[0][1]}", {}) as control:
                uploader = Uploader(spool, control, tmp_path / "rejected", Metrics(), spoken)
                for one in events:
                    await spool.append(one)
                await spool.checkpoint()
                for path in (tmp_path / "spool").glob("*.spool"):
                    path.write_bytes(damage(path.read_bytes()))
                await uploader.send_all()
        finally:
            await asyncio.to_thread(spool.close)
            await runner.cleanup()

    asyncio.run(run())
    return got


def test_a_console_of_version_1_gets_version_1(tmp_path):
    one = event(usage={"input": 3, "audio": 2}, person_id="p-1", service_tier="flex", target_id="b-1")
    [(version, body)] = sent(tmp_path, one, spoken=lambda: 1)
    assert version is None
    [told] = decode(v1_usage.UsageBatch, body).events
    assert (told.tokens, told.backend_id) == (v1_usage.TokenCounts(input=3, audio=2), "b-1")
    again = v1_usage.as_current(told)
    assert (again.usage, again.target_id, again.person_id) == (one.usage, "b-1", None)


def test_a_console_of_version_2_gets_everything(tmp_path):
    one = event(usage={"search": 3}, person_id="p-1")
    [(version, body)] = sent(tmp_path, one, spoken=lambda: 2)
    assert version == "2"
    assert decode(UsageBatch, body).events == [one]


@pytest.mark.timeout(60)
def test_a_kind_that_version_1_lacks_waits_for_the_upgrade(tmp_path):
    spoken = iter([1, 1])
    one = event(usage={"search": 3})
    [(version, body)] = sent(tmp_path, one, spoken=lambda: next(spoken, 2))
    assert version == "2"
    assert decode(UsageBatch, body).events == [one]
    assert next(spoken, None) is None
    assert not (tmp_path / "rejected").exists()
