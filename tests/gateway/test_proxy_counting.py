"""Tokens made disjoint, streams looked into, backends chosen: the parts that need no process to be tried."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.secrets import GATEWAY_TOKEN, looks_like_key, new_key_secret, new_secret
from gateway.contract import (
    ConfigSnapshot,
    ContractError,
    RouteConfig,
    decode,
    encode,
)
from gateway.proxy.auth import client_address, read_headers
from gateway.proxy.ids import new_call_id, trace_id
from gateway.proxy.index import Index
from gateway.proxy.metrics import Metrics
from gateway.proxy.names import Names
from gateway.proxy.routing import Router
from gateway.proxy.settings import SettingsError, read_settings
from gateway.proxy.streaming import EventStream
from tests.gateway.targets import target


def a_route(*backends, model="public", **fields):
    snapshot = ConfigSnapshot(
        revision=1,
        issued_at="",
        keys=[],
        routes=[RouteConfig(model=model, modes=["chat"], targets=list(backends), **fields)],
    )
    return Index(decode(ConfigSnapshot, encode(snapshot))).routes[model]


def backend(id="b", **fields):
    return target(**{"id": id, "url": f"http://{id}/v1", "upstream_model": "own", **fields})


def chunk(**content):
    return b"data: " + orjson.dumps(content) + b"\n\n"


STREAM = (
    chunk(model="own", choices=[{"delta": {"role": "assistant", "content": ""}}])
    + chunk(model="own", choices=[{"delta": {"content": 'say "model":"own" and "usage":{'}}])
    + chunk(model="own", choices=[{"delta": {"content": "two"}}], usage=None)
    + chunk(model="own", choices=[{"delta": {}, "finish_reason": "stop"}])
    + chunk(model="own", choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2})
    + b"data: [DONE]\n\n"
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=30), hides=st.booleans(), windows=st.booleans())
def test_a_stream_is_the_same_however_it_is_cut(cuts, hides, windows):
    whole = STREAM.replace(b"\n", b"\r\n") if windows else STREAM
    route = a_route(backend())
    stream = EventStream(Names(route.groups[0][0], "public"), hides_usage=hides)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    out = b"".join(stream.feed(whole[a:b]) for a, b in pairwise(edges)) + stream.end()
    assert stream.is_done
    assert stream.delivered.pieces == 2
    assert (stream.reported.prompt, stream.reported.completion) == (1, 2)
    assert not stream.is_partial
    assert b"[DONE]" not in out
    events = [orjson.loads(line[5:]) for line in out.split(b"\n") if line.startswith(b"data:")]
    assert len(events) == (4 if hides else 5)
    assert {event["model"] for event in events} == {"public"}
    assert events[1]["choices"][0]["delta"]["content"] == 'say "model":"own" and "usage":{'


def test_backends_are_tried_by_priority_and_weight():
    route = a_route(
        backend("rare", weight=1),
        backend("often", weight=9),
        backend("never", weight=0),
        backend("last", priority=5),
    )
    router = Router(Metrics())
    orders = [[one.id for one in router.candidates(route)] for _ in range(2000)]
    assert {order[-1] for order in orders} == {"last"}
    assert all("never" not in order and len(order) == 3 for order in orders)
    assert 0.85 < sum(order[0] == "often" for order in orders) / 2000 < 0.95


def test_a_failing_backend_is_ejected_probed_and_trusted_again():
    now = [0.0]
    router, route = Router(Metrics(), clock=lambda: now[0]), a_route(backend())
    (one,) = router.candidates(route)

    def admits():
        return list(router.candidates(route)) == [one]

    for _ in range(3):
        assert admits()
        router.failed(one, "connect")
    assert not admits()
    now[0] = 1.0
    assert admits()  # the probe
    assert not admits()  # and only one
    router.failed(one, "connect")
    now[0] = 2.9
    # Twice as long this time.
    assert not admits()
    now[0] = 3.0
    assert admits()
    router.answered(one)
    router.succeeded(one)
    assert admits()
    assert admits()
    for _ in range(2):
        router.failed(one, "connect")
    assert admits()


def test_an_address_behind_trusted_proxies_is_the_nearest_that_is_not_one():
    settings = read_settings({**ENVIRONMENT, "GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8"})
    forwarded = {"x-forwarded-for": "6.6.6.6, 203.0.113.9, 10.1.1.1"}
    assert client_address("10.0.0.1", forwarded, settings.trusted_proxies) == "203.0.113.9"
    assert client_address("198.51.100.7", forwarded, settings.trusted_proxies) == "198.51.100.7"
    assert client_address("10.0.0.1", {}, settings.trusted_proxies) == "10.0.0.1"
    # The nearest proxy may add a line of its own.
    lines = [(b"x-forwarded-for", one) for one in (b"6.6.6.6", b"203.0.113.9", b"10.1.1.1")]
    headers = read_headers([*lines, (b"accept", b"a"), (b"accept", b"b")])
    assert client_address("10.0.0.1", headers, settings.trusted_proxies) == "203.0.113.9"
    assert headers["accept"] == "b"


ENVIRONMENT = {
    "GATEWAY_ID": "gw-1",
    "GATEWAY_TOKEN": new_secret(GATEWAY_TOKEN),
    "GATEWAY_CONTROL_URL": "http://127.0.0.1:8000",
    "GATEWAY_STATE_DIR": "/nowhere",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, None) for name in ENVIRONMENT],
        ("GATEWAY_TOKEN", "qmg_short"),
        ("GATEWAY_TOKEN_FILE", "/nowhere/at/all"),
        ("GATEWAY_PORT", "80a"),
        ("GATEWAY_PORT", "70000"),
        ("GATEWAY_CONTROL_URL", "127.0.0.1:8000"),
        ("GATEWAY_CONTROL_URL", "http://host/path"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("GATEWAY_DRAIN_SECONDS", "-1"),
        ("GATEWAY_LOG_LEVEL", "loud"),
        ("GATEWAY_ID", "a b"),
        ("GATEWAY_REDIS_URL", "127.0.0.1:6379"),
        ("GATEWAY_REDIS_URL", "https://127.0.0.1:6379"),
        ("GATEWAY_LIMITS_FAIL_OPEN", "maybe"),
        ("GATEWAY_LIMITS_LEASE_SECONDS", "0"),
    ],
)
def test_a_wrong_setting_is_named(name, value):
    environment = {**ENVIRONMENT, name: value} if value is not None else {**ENVIRONMENT, name: ""}
    with pytest.raises(SettingsError, match=name):
        read_settings(environment)


def test_a_key_is_recognized_by_prefix_and_checksum():
    secret = new_key_secret()
    assert looks_like_key(secret)
    assert not looks_like_key(secret[:-1] + ("0" if secret[-1] != "0" else "1"))
    assert not looks_like_key(new_secret(GATEWAY_TOKEN))
    assert not looks_like_key("")
    assert not looks_like_key("qm_é")


def test_call_ids_are_uuid7_in_the_order_of_their_milliseconds():
    ids = [new_call_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(one[14] == "7" and one[19] in "89ab" for one in ids)
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)


@pytest.mark.parametrize("header", [None, "", "00-0-1-01", f"00-{'0' * 32}-1-01", f"00-{'g' * 32}-1-01"])
def test_a_malformed_traceparent_is_no_trace(header):
    assert trace_id(header) is None


def test_a_message_with_an_unknown_field_is_refused_with_its_place():
    with pytest.raises(ContractError, match=r"\$\.keys\[0\]"):
        decode(ConfigSnapshot, b'{"revision":1,"issued_at":"","routes":[],"keys":[{"surprise":1}]}')
