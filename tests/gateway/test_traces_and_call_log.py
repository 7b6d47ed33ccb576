"""The trace of a call goes to the backend and into the ledger; each answered call is one line in the log."""

import json
import uuid
from types import SimpleNamespace

import pytest
import requests

from gateway.proxy import call_log, logs
from gateway.proxy.errors import Refusal
from gateway.proxy.tracing import read_trace
from tests.gateway.proxy_fixtures import MODEL, ask, wait_until
from tests.gateway.test_proxy_spool import event

HEX = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{HEX}-00f067aa0ba902b7-01"


def test_x_trace_id_is_recorded_and_reaches_the_backend(shared_rig):
    for sent, recorded in (
        (HEX, HEX),
        (HEX.upper(), HEX),
        (str(uuid.UUID(HEX)), HEX),
        ("checkout-4711", "checkout-4711"),
    ):
        secret = shared_rig.new_key()
        ask(shared_rig.client(secret, default_headers={"X-Trace-ID": sent}))
        (event,) = shared_rig.events(secret, 1)
        assert event.trace_id == recorded
        headers = shared_rig.engine.seen()["last"]["headers"]
        assert headers["x-trace-id"] == sent
        version, trace, span, flags = headers["traceparent"].split("-")
        assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
        assert trace == HEX or recorded == "checkout-4711"


def test_traceparent_wins():
    trace = read_trace({"traceparent": PARENT, "x-trace-id": "mine", "tracestate": "a=b"})
    assert trace.id == HEX
    assert trace.headers == {"traceparent": PARENT, "tracestate": "a=b", "x-trace-id": HEX}
    assert read_trace({"traceparent": PARENT}).headers == {"traceparent": PARENT}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{HEX}-{'0' * 16}-01",
        f"00-{HEX}-zz-01",
        PARENT + "\x00",
    ],
)
def test_a_traceparent_that_is_none_is_left_out(parent):
    assert read_trace({"traceparent": parent, "tracestate": "a=b"}).headers == {}
    assert read_trace({"traceparent": parent, "x-trace-id": HEX}).id == HEX


@pytest.mark.parametrize("sent", ["a b", "=cmd()", "-x", "x" * 65, "ü", "a\tb", "a/b", "{}", '"'])
def test_another_x_trace_id_is_refused(shared_rig, sent):
    with pytest.raises(Refusal, match="X-Trace-ID") as refused:
        read_trace({"x-trace-id": sent})
    assert (refused.value.status, refused.value.code) == (400, "invalid_trace_id")


def lines_of(rig, call_id):
    lines = rig.gateway.process.output().splitlines()
    return [json.loads(line) for line in lines if call_id in line and '"call_answered"' in line]


def test_each_answered_call_is_one_line_without_content_and_secrets(shared_rig):
    secret = shared_rig.new_key()
    headers = {"authorization": f"Bearer {secret}", "x-trace-id": HEX}
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "a very private prompt"}],
        "max_tokens": 5,
    }
    for is_stream in (False, True):
        answer = requests.post(
            f"{shared_rig.gateway.url}/v1/chat/completions",
            json=body | {"stream": is_stream, "user": "ada@example.com"},
            headers=headers,
            timeout=60,
        )
        assert answer.status_code == 200
        call_id = answer.headers["x-request-id"]
        [line] = wait_until(
            lambda call_id=call_id: lines_of(shared_rig, call_id), what="the line of the call"
        )
        key = next(key for key in shared_rig.keys if key.key_id == shared_rig.key_id(secret))
        told = {
            name: line[name]
            for name in ("tenant", "project", "key", "model", "status", "http_status", "trace")
        }
        assert told == {
            "tenant": "aurora-bank",
            "project": "fraud",
            "key": key.prefix,
            "model": MODEL,
            "status": "ok",
            "http_status": 200,
            "trace": HEX,
        }
        assert (line["usage"]["output"], line["stream"], line["exact"]) == (5, is_stream, True)
        assert line["target"].startswith("engine-")
        assert line["latency_ms"] >= 0
    output = shared_rig.gateway.process.output()
    for private in ("a very private prompt", secret, "ada@example.com"):
        assert private not in output


@pytest.mark.parametrize("worker", [0, 2])
def test_the_line_says_everything_that_is_known_and_who_wrote_it(monkeypatch, worker):
    lines, written = logs._Lines(), []
    lines.configure("info", "gw-1", worker)
    monkeypatch.setattr(call_log, "lines", lines)
    monkeypatch.setattr(lines, "add", written.append)
    config = SimpleNamespace(tenant_slug="aurora-bank", project_slug="fraud", prefix="qm_abcde")
    one = event(model='a "model"', trace_id=HEX, first_token_ms=3, is_stream=True)
    call_log.log_answered(one, SimpleNamespace(config=config))
    (text,) = written
    line = json.loads(text)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "call_answered",
        "level": "info",
        "gateway": "gw-1",
        **({"worker": 2} if worker else {}),
        "call": one.call_id,
        "tenant": "aurora-bank",
        "project": "fraud",
        "key": "qm_abcde",
        "model": 'a "model"',
        "target": "b",
        "status": "ok",
        "http_status": 200,
        "usage": {"input": 3, "output": 4},
        "exact": True,
        "stream": True,
        "latency_ms": 5,
        "first_token_ms": 3,
        "trace": HEX,
    }
