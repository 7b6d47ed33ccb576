"""Two gateways that share a real Redis call one provider: limits hold, and a kill -9 loses and invents nothing."""

from __future__ import annotations

import openai
import pytest

from tests.gateway.proxy_fixtures import Gateway, limit, wait_until
from tests.gateway.scripted_backend import ScriptedBackend, chunk, plain
from tests.gateway.test_calls_to_providers import LOOPBACK, MODEL, SECRET, route_to, vars_of
from tests.gateway.test_proxy_redis import _is_known

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def outside():
    backend = ScriptedBackend("outside")
    yield backend
    backend.close()


@pytest.fixture
def two(new_rig, limits_server, tmp_path, outside):
    """A rig whose gateway shares limits with a second one."""
    environment = {"GATEWAY_REDIS_URL": limits_server.url, "GATEWAY_LIMITS_LEASE_SECONDS": "3"}
    rig = new_rig(**environment)
    rig.settings = type(rig.settings)(**{**vars_of(rig.settings), "allowed_networks": LOOPBACK})
    (tmp_path / "second").mkdir()
    second = Gateway(rig.control, tmp_path / "second", GATEWAY_ID="gw-2", **environment)
    second.start()
    yield rig, second
    second.process.kill()


def test_a_limit_holds_over_both_and_a_kill_loses_and_invents_nothing(two, outside):
    rig, second = two
    outside.says(plain())
    route_to(rig, outside)
    key = rig.new_key(models=[MODEL], limits=[limit("requests_per_minute", 6)])
    wait_until(lambda: _is_known(second, key), what="the key in the second gateway")

    def call(gateway, **fields):
        return gateway.client(key).chat.completions.create(model=MODEL, messages=HELLO, **fields)

    for gateway in (rig.gateway, second, rig.gateway, second):
        assert call(gateway).usage.total_tokens == 18
    outside.says(events=[chunk(), chunk(), 60.0])
    stream = call(rig.gateway, stream=True)
    next(iter(stream))
    rig.gateway.process.kill()
    with pytest.raises(openai.APIError):
        list(stream)
    outside.says(plain())
    # With the private key in its directory it opens the same sealed credential.
    rig.gateway.start()
    assert call(rig.gateway).usage.total_tokens == 18
    for gateway in (rig.gateway, second):
        with pytest.raises(openai.RateLimitError, match="6 requests per minute"):
            call(gateway)
    assert {headers["authorization"] for headers, _body in outside.asked} == {f"Bearer {SECRET}"}
    assert len(outside.asked) == 6
    events = rig.events(key, 6)
    whole = [event for event in events if event.status == "ok"]
    assert [(event.usage["input"], event.usage["output"], event.is_exact) for event in whole] == [
        (12, 6, True)
    ] * 5
    # The call that was killed is on record too, with an estimate.
    [killed] = [event for event in events if event.status != "ok"]
    assert (killed.status, killed.is_exact, killed.is_stream) == ("cancelled", False, True)
    assert {event.target_id for event in events} == {outside.id}
