"""A connection to a backend is kept, and may have been closed there: that is nobody's error."""

import time

import openai
import pytest
import requests

from gateway.contract import RouteConfig
from tests.gateway.proxy_fixtures import MODEL, ask
from tests.gateway.raw_backend import RawBackend


@pytest.fixture
def road_to(new_rig):
    backends = []

    def build(**options):
        backends.append(RawBackend(**options))
        rig = new_rig()
        rig.routes[0] = RouteConfig(model=MODEL, modes=["chat"], targets=[backends[-1].backend()])
        return rig, backends[-1]

    yield build
    for backend in backends:
        backend.close()


def test_no_call_fails_because_a_backend_closes_idle_connections(road_to):
    rig, backend = road_to(idle_seconds=0.005)
    client = rig.client()
    for number in range(200):
        assert ask(client).choices[0].message.content == "hi"
        # Around the moment at which the backend closes.
        time.sleep((number % 10) / 1000)
    assert backend.connections > 20


@pytest.mark.parametrize("closes", ["unread", "read"])
def test_a_call_over_a_dead_connection_is_sent_once_more(road_to, closes):
    rig, _ = road_to(closes=closes)
    secret = rig.new_key()
    client = rig.client(secret)
    for _ in range(6):
        assert ask(client)
    assert {event.status for event in rig.events(secret, 6)} == {"ok"}
    assert rig.gateway.metric("llm_gateway_calls_resent_total") >= 1
    assert rig.gateway.metric("llm_backend_failures_total") == 0


def test_the_clients_bytes_reach_the_backend(road_to):
    rig, backend = road_to()
    raw = (
        b'{ "z":123456789012345678901234567890, "model":"%s","y":1e400, "x":1,"x":2,'
        b' "messages" : [{"role":"user","content":"\\u65e5\\/"}], "v":-0.0 }' % MODEL.encode()
    )
    headers = {"authorization": f"Bearer {rig.new_key()}"}
    answer = requests.post(f"{rig.gateway.url}/v1/chat/completions", data=raw, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert backend.bodies == [raw.replace(MODEL.encode(), b"own")]


def test_a_call_that_was_answered_in_part_is_not_sent_again(road_to):
    rig, backend = road_to(closes="half")
    client = rig.client()
    ask(client)
    with pytest.raises(openai.InternalServerError) as refused:
        ask(client)
    assert refused.value.status_code == 502
    assert len(backend.bodies) == 2


def test_a_backend_that_hangs_up_on_a_new_connection_is_not_asked_twice(road_to):
    rig, backend = road_to(closes="always")
    with pytest.raises(openai.InternalServerError):
        ask(rig.client())
    assert len(backend.bodies) == 1
