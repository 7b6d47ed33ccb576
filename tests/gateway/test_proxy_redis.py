"""Real gateways that share limits, and what their clients see when one of them, or the server that counts, goes."""

import asyncio
import contextlib
import uuid

import openai
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.contract.signatures import Pin
from gateway.proxy.settings import read_settings
from launcher.demo import Ports, application_environment, services
from launcher.local import LocalDirectory
from tests.gateway.proxy_fixtures import Gateway, ask, limit, wait_until


def test_two_gateways_share_a_limit_and_a_killed_one_frees_its_slot(new_rig, limits_server, tmp_path):
    # On a busy machine a gateway may pause for longer than a second.
    environment = {"GATEWAY_REDIS_URL": limits_server.url, "GATEWAY_LIMITS_LEASE_SECONDS": "3"}
    rig = new_rig("--token-ms", "50", **environment)
    (tmp_path / "second").mkdir()
    second = Gateway(rig.control, tmp_path / "second", GATEWAY_ID="gw-2", **environment)
    second.start()
    try:
        three = rig.new_key(limits=[limit("requests_per_minute", 3)])
        slot = rig.new_key(limits=[limit("concurrent_calls", 1)])
        wait_until(lambda: _is_known(second, slot), what="the key in the second gateway")

        one, other = rig.gateway.client(three), second.client(three)
        for client in (one, other, one):
            ask(client, max_tokens=2)
        with pytest.raises(openai.RateLimitError, match="3 requests per minute") as refused:
            ask(other)
        assert 50 < int(refused.value.response.headers["retry-after"]) <= 60

        stream = ask(rig.gateway.client(slot), stream=True, max_tokens=400)
        # Four seconds: longer than a lease.
        for _ in range(80):
            next(stream)
        with pytest.raises(openai.RateLimitError, match="calls at the same time"):
            ask(second.client(slot))
        rig.gateway.process.kill()
        with pytest.raises(openai.RateLimitError):
            ask(second.client(slot))
        wait_until(lambda: _passes(second.client(slot)), what="the end of the lease")
    finally:
        second.process.kill()


def test_without_the_server_limited_keys_are_refused_and_others_go_on(new_rig, own_limits_server):
    rig = new_rig(
        "--token-ms", "10", GATEWAY_REDIS_URL=own_limits_server.url, GATEWAY_LIMITS_LEASE_SECONDS="1"
    )
    limited = rig.new_key(limits=[limit("requests_per_minute", 1000), limit("concurrent_calls", 10)])
    soft = rig.new_key(limits=[limit("requests_per_minute", 1, is_hard=False)])
    free = rig.new_key()
    client = rig.client(limited)
    stream = ask(client, stream=True, max_tokens=30)
    next(stream)
    own_limits_server.stop()
    assert list(stream)[-1].choices[0].finish_reason == "length"

    with pytest.raises(openai.InternalServerError, match="cannot check the limits") as refused:
        ask(client)
    assert (refused.value.status_code, refused.value.code) == (503, "limits_unavailable")
    assert refused.value.response.headers["retry-after"] == "1"
    assert ask(rig.client(free), max_tokens=2)
    assert ask(rig.client(soft), max_tokens=2)
    assert rig.gateway.status("/readyz") == 200
    assert rig.gateway.metric("llm_gateway_limits_up") == 0
    rig.publish()
    assert "Limits cannot be checked" in rig.control.acks[-1].problem

    own_limits_server.start()
    for _ in range(20):
        assert ask(client, max_tokens=2)
    assert rig.gateway.metric("llm_gateway_limits_up") == 1
    own_limits_server.stop()
    # Connections in the pool are dead, and nobody has noticed.
    own_limits_server.start()
    for _ in range(5):
        assert ask(client, max_tokens=2)
    assert len(rig.events(limited, 26)) == 26
    password = own_limits_server.url.split("@")[0].rpartition(":")[2]
    assert password not in rig.gateway.process.output()


def test_calls_pass_without_the_server_where_that_is_wanted(new_rig, own_limits_server):
    own_limits_server.stop()
    rig = new_rig(GATEWAY_REDIS_URL=own_limits_server.url, GATEWAY_LIMITS_FAIL_OPEN="true")
    client = rig.client(rig.new_key(limits=[limit("requests_per_minute", 1)]))
    ask(client)
    ask(client)
    assert rig.gateway.metric("llm_calls_without_limits_total") == 2
    assert rig.gateway.process.output().count('"event":"call_without_limits"') == 2
    own_limits_server.start()
    ask(client)
    with pytest.raises(openai.RateLimitError):
        ask(client)


def test_a_client_that_hangs_up_while_limits_are_settled_is_on_record(new_rig, own_limits_server):
    rig = new_rig("--latency-ms", "1500", GATEWAY_REDIS_URL=own_limits_server.url)
    secret = rig.new_key(limits=[limit("concurrent_calls", 1)])

    async def until(name):
        async with asyncio.timeout(60):
            while not (await asyncio.to_thread(rig.engine.seen))[name]:
                await asyncio.sleep(0.01)

    async def hang_up():
        client = openai.AsyncOpenAI(base_url=f"{rig.gateway.url}/v1", api_key=secret, max_retries=0)
        async with client:
            call = asyncio.create_task(ask(client))
            await until("calls")
            own_limits_server.client.client_pause(6000)
            await until("finished")
            # The gateway has the answer and is settling.
            await asyncio.sleep(1)
            call.cancel()
            await asyncio.wait({call})

    asyncio.run(hang_up())
    (event,) = rig.events(secret, 1)
    assert event.status == "ok"


def test_the_demo_gives_its_gateway_the_redis_that_it_was_given(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://:secret@limits.example:6380/2")
    monkeypatch.setenv("GATEWAY_LIMITS_FAIL_OPEN", "true")
    local = LocalDirectory(tmp_path)
    local.create()
    # Loading the demo's data writes this.
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    (tmp_path / "gateway" / "config-keys").write_text(str(Pin(str(uuid.UUID(int=1)), public)))
    ports = Ports(8000, 8080)
    (gateway,) = (
        one for one in services(application_environment(local, ports), ports) if one.name == "gateway"
    )
    settings = read_settings(gateway.command.environment)
    assert settings.redis_url == "redis://:secret@limits.example:6380/2"
    assert settings.limits_fail_open
    assert [pin.public for pin in settings.config_keys] == [public]


def _is_known(gateway, secret):
    with contextlib.suppress(openai.AuthenticationError):
        return gateway.client(secret).models.list()


def _passes(client):
    with contextlib.suppress(openai.RateLimitError):
        return ask(client, max_tokens=2)
