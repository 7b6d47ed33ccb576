"""What happens when the engine dies or the client goes away."""

import contextlib

import openai
import pytest

from gateway.contract import RouteConfig, SettingsConfig
from tests.gateway.proxy_fixtures import (
    MODEL,
    Engine,
    ask,
    limit,
    wait_until,
)


def test_a_client_that_hangs_up_stops_the_engine_frees_its_slot_and_is_recorded(new_rig, limits_environment):
    rig = new_rig("--token-ms", "20", **limits_environment)
    secret = rig.new_key(limits=[limit("concurrent_calls", 1)])
    client = rig.client(secret)
    stream = ask(client, stream=True, max_tokens=3000)  # a minute of them
    pieces = [next(stream) for _ in range(6)]
    with pytest.raises(openai.RateLimitError, match="calls at the same time") as refused:
        ask(client)
    assert refused.value.code == "rate_limit_exceeded"
    stream.close()
    wait_until(lambda: rig.gateway.metric("llm_active_calls") == 0, what="the end of the call")
    (event,) = rig.events(secret, 1)
    assert (event.status, event.is_exact, event.is_stream) == ("cancelled", False, True)
    assert len(pieces) - 1 <= event.usage.get("output", 0) < 1500
    wait_until(lambda: rig.engine.seen()["aborted"] == 1, what="the engine noticing")
    assert ask(client, max_tokens=2)


def test_a_client_that_hangs_up_on_a_plain_call_is_recorded(new_rig, limits_environment):
    rig = new_rig("--latency-ms", "3000", **limits_environment)
    secret = rig.new_key(limits=[limit("concurrent_calls", 1)])
    with pytest.raises(openai.APITimeoutError):
        ask(rig.client(secret).with_options(timeout=0.3))
    (event,) = rig.events(secret, 1)
    assert (event.status, event.http_status, event.is_exact) == ("cancelled", 499, False)


def test_an_engine_that_fails_before_answering_is_a_502_and_the_call_is_on_record(configured_rig):
    rig = configured_rig
    secret = rig.new_key()
    for fault in ("status=503", "status=500", "die-after=0"):
        rig.engine.fail_next(fault)
        with pytest.raises(openai.InternalServerError) as refused:
            ask(rig.client(secret))
        assert (refused.value.status_code, refused.value.code) == (502, "backend_failed")
        assert rig.engine.url not in refused.value.message
    assert ask(rig.client(secret))
    events = rig.events(secret, 4)
    assert [(event.status, event.http_status) for event in events] == [("error", 502)] * 3 + [("ok", 200)]
    assert [event.tokens for event in events[:3]] == [0, 0, 0]


def test_an_engine_that_dies_in_a_stream_ends_it_with_an_error(configured_rig):
    rig = configured_rig
    secret = rig.new_key()
    rig.engine.fail_next("die-after=5")
    stream = ask(rig.client(secret), stream=True, max_tokens=50)
    with pytest.raises(openai.APIError, match="stopped in the middle"):
        list(stream)
    (event,) = rig.events(secret, 1)
    assert (event.status, event.is_exact) == ("error", False)
    # Three bytes a token, rather too many than too few.
    assert 5 <= event.usage.get("output", 0) <= 10


def test_a_stream_that_ends_too_early_is_not_taken_for_a_whole_one(configured_rig):
    rig = configured_rig
    secret = rig.new_key()
    rig.engine.fail_next("end-after=5")
    stream = ask(rig.client(secret), stream=True, max_tokens=50)
    with pytest.raises(openai.APIError, match="stopped in the middle"):
        list(stream)
    (event,) = rig.events(secret, 1)
    assert (event.status, event.is_exact) == ("error", False)
    # Three bytes a token, rather too many than too few.
    assert 5 <= event.usage.get("output", 0) <= 10


def test_an_engine_that_falls_silent_is_given_up(configured_rig):
    rig = configured_rig
    rig.settings = SettingsConfig(idle_timeout_seconds=1)
    secret = rig.new_key()
    rig.engine.fail_next("stall-after=5")
    stream = ask(rig.client(secret), stream=True, max_tokens=50)
    with pytest.raises(openai.APIError, match="stopped in the middle"):
        list(stream)
    rig.settings = SettingsConfig(response_timeout_seconds=1)
    rig.publish()
    rig.engine.fail_next("stall-after=0")
    with pytest.raises(openai.InternalServerError) as refused:
        ask(rig.client(secret))
    assert (refused.value.status_code, refused.value.code) == (504, "backend_timeout")
    assert [event.http_status for event in rig.events(secret, 2)] == [200, 504]
    wait_until(lambda: rig.engine.seen()["aborted"] >= 1, what="the engine noticing")


def test_a_dead_engine_is_a_503_and_calls_work_again_when_it_is_back(new_rig, limits_environment):
    rig = new_rig(**limits_environment)
    # Which no failed call may keep.
    secret = rig.new_key(limits=[limit("concurrent_calls", 1)])
    client = rig.client(secret)
    ask(client)
    rig.engine.process.kill()
    for _ in range(5):
        with pytest.raises(openai.InternalServerError) as refused:
            ask(client)
        assert refused.value.status_code in (502, 503)
    assert (refused.value.status_code, refused.value.code) == (503, "no_backend_available")
    assert refused.value.response.headers["retry-after"]
    rig.engine.start()

    def works():
        with contextlib.suppress(openai.InternalServerError):
            return ask(client)

    wait_until(works, what="the recovery")


def test_another_backend_answers_before_the_first_byte(new_rig):
    rig = new_rig()
    second = Engine(rig.directory)
    try:
        backends = [rig.engine.backend(priority=0), second.backend(priority=1)]
        rig.routes[0] = RouteConfig(model=MODEL, modes=["chat"], targets=backends)
        secret = rig.new_key()
        client = rig.client(secret)
        ask(client)
        rig.engine.fail_next("status=503")
        ask(client)
        rig.engine.process.kill()
        ask(client, stream=True).close()
        used = [event.target_id for event in rig.events(secret, 3)]
        assert used == [backends[0].id, backends[1].id, backends[1].id]
    finally:
        second.process.kill()


def test_missing_usage_is_estimated_and_called_inexact(configured_rig):
    rig = configured_rig
    secret = rig.new_key()
    for is_stream in (False, True):
        rig.engine.fail_next("no-usage")
        answer = ask(rig.client(secret), stream=is_stream, max_tokens=12)
        list(answer) if is_stream else None
    plain, streamed = rig.events(secret, 2)
    assert not plain.is_exact
    assert plain.usage.get("input", 0) > 0
    assert plain.usage.get("output", 0) > 0
    assert (streamed.is_exact, streamed.usage.get("output", 0)) == (False, 12)
