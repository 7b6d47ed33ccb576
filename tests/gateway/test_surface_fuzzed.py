"""Damaged calls at every path of the gateway: each gets an answer in its client's shape, and none is a fault of ours.

FUZZ_EXAMPLES sets how many calls each test makes; `make fuzz` makes many.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from random import Random

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.contract import ENDPOINTS, RouteConfig
from tests.gateway.any_backend import AnyBackend
from tests.gateway.proxy_fixtures import ask
from tests.gateway.served import IMAGE, MODERATION, RERANK, SOUND, SPEECH

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
MODEL = "aurora-fuzzed"
PICTURE = {"url": "data:image/png;base64,iVBORw0KGgo="}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": PICTURE}],
    },
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALLS = {
    "/v1/chat/completions": {
        "messages": TURNS, "max_tokens": 9, "n": 1, "stream": False, "stream_options": None, "tools": [TOOL],
        "tool_choice": "auto", "stop": ["x"], "temperature": 0.5, "logprobs": False, "metadata": {"a": "b"},
        "response_format": {"type": "text"},
    },
    "/v1/completions": {"prompt": ["Tell", "me"], "max_tokens": 9, "n": 1, "stream": False, "echo": False},
    "/v1/responses": {
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
        "store": False, "stream": False, "max_output_tokens": 9, "tools": [], "reasoning": {"effort": "low"},
    },
    "/v1/embeddings": {"input": ["one", "two"], "encoding_format": "float", "dimensions": 3},
    "/v1/messages": {
        "max_tokens": 9, "system": [{"type": "text", "text": "Be brief."}], "stream": False,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto"},
    },
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/rerank": RERANK,
    "/v1/moderations": MODERATION,
    "/v1/audio/speech": SPEECH,
    "/v1/images/generations": IMAGE,
}  # fmt: skip
ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.1, 1e308, "", "\0", "x", "\ud800", "é" * 50,
    "data:", "[DONE]",
    "http://127.0.0.1/", [], {}, [[]], [None], [{}], {"": ""}, {"type": "text"}, {"type": None}, [1, 2], [[1], ["a"]],
    "1", "true",    {"role": "user"}, {"role": "tool", "content": []}, {"$ref": "#"},
]  # fmt: skip
RAW = [
    b"",
    b"NaN",
    b"Infinity",
    b"\xff",
    b"\x00",
    b"{",
    b"]",
    b'"',
    b",",
    b"\\u",
    b"[" * 300,
    b'{"model":"x"},',
    b" ",
    b"\xef\xbb\xbf",
]
LINES = [b"\r\n", b"\n", b"\r", b": ", b" HTTP/1.1\r\n", b"0\r\n\r\n"]
HEADERS = {
    "content-type": [
        "application/json", "text/plain", "application/json; charset=utf-16", "multipart/form-data", "", "x" * 300,
    ],
    "accept": ["text/event-stream", "*/*", "image/png", ";;q=x"],
    "accept-encoding": ["gzip", "br", "identity;q=0", ""],
    "content-encoding": ["gzip", "identity", "x"],
    "expect": ["100-continue", "x"],
    "anthropic-version": ["2023-06-01", "x", ""],
    "anthropic-beta": ["x,y,,", ""],
    "traceparent": ["00-zz-zz-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", ""],
    "x-request-id": ["x" * 500, "ü", "a\tb", ""],
    "x-routing-strategy": ["stable", "cheapest", "nothing", ""],
    "x-api-key": ["x", ""],
    "range": ["bytes=0-1"],
    "connection": ["close", "upgrade"],
    "transfer-encoding": ["identity"],
}  # fmt: skip


def places_in(document, place=()):
    """Where a document can be damaged."""
    yield place
    inner = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for name, value in inner:
        yield from places_in(value, (*place, name))


def damaged(random, document):
    """A copy with one place taken away, replaced, repeated, or wrapped."""
    document = json.loads(json.dumps(document))
    place = random.choice(list(places_in(document)))
    odd = random.choice(ODD)
    if not place:
        return odd if random.random() < 0.1 else document
    owner = document
    for name in place[:-1]:
        owner = owner[name]
    last = place[-1]
    match random.randrange(5):
        case 0:
            del owner[last]
        case 1:
            owner[last] = [owner[last]]
        case 2 if isinstance(owner, list):
            owner.extend([owner[last]] * random.choice([1, 40]))
        case _:
            owner[last] = odd
    return document


def written(random, document):
    """Its bytes, sometimes with some that do not belong there, or with a field twice."""
    content = json.dumps(document).encode()
    choice = random.random()
    if choice < 0.15:
        at = random.randrange(len(content) + 1)
        return content[:at] + random.choice(RAW) + content[at + random.randrange(3) :]
    if choice < 0.2:
        return content[: random.randrange(len(content) + 1)]
    if choice < 0.25 and content.startswith(b"{"):
        return b'{"stream":true,"model":"' + MODEL.encode() + b'",' + content[1:]
    return content


@pytest.fixture(scope="module")
def rig(shared_rig):
    backend = AnyBackend("any")
    modes = sorted(set(ENDPOINTS.values()))
    for mode in modes:
        shared_rig.routes.append(
            RouteConfig(
                model=f"{MODEL}-{mode}",
                modes=[mode],
                targets=[backend.backend(id=f"any-{mode}", modes=[mode])],
            )
        )
    shared_rig.fuzzed_key = shared_rig.new_key(models=[f"{MODEL}-{mode}" for mode in modes])
    yield shared_rig
    shared_rig.routes = [route for route in shared_rig.routes if not route.model.startswith(MODEL)]
    shared_rig.publish()
    backend.close()


@pytest.fixture(autouse=True)
def _no_fault_of_ours(rig):
    """The gateway's log says if something was raised that nobody expected."""
    before = len(rig.gateway.process.output())
    yield
    log = rig.gateway.process.output()[before:]
    faults = [line for line in log.splitlines() if '_failed"' in line and '"exception"' in line]
    assert faults == []
    assert rig.gateway.status("/readyz") == 200


def checked(answer, path, raw=b""):
    """An answer of ours: no 5xx, an error in the client's shape, a request id."""
    assert answer.status_code < 500, (answer.status_code, answer.text, raw)
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        error = answer.json()["error"]
        # What is no HTTP is refused before anybody reads the path.
        is_anthropic = path.startswith("/v1/messages") and error.get("code") != "invalid_http"
        shape = {"message", "type"} if is_anthropic else {"message", "type", "param", "code"}
        assert set(error) == shape, (answer.status_code, answer.text)


def model_at(path):
    return f"{MODEL}-{ENDPOINTS.get(path, 'chat')}"


fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("path", CALLS)
@fuzzed
@given(seed=st.integers(0, 2**32))
@example(seed=0)
def test_no_damaged_call_makes_the_gateway_fail(rig, path, seed):
    random = Random(seed)
    document = {"model": model_at(path), **CALLS[path]}
    if "stream" in document:
        document["stream"] = random.random() < 0.5
    for _ in range(random.choice([0, 1, 1, 2, 3])):
        if not isinstance(document, dict):
            break
        document = damaged(random, document)
    headers = {"authorization": f"Bearer {rig.fuzzed_key}", "content-type": "application/json"}
    for name in random.sample(sorted(HEADERS), random.choice([0, 0, 1, 2])):
        headers[name] = random.choice(HEADERS[name]).encode()
    raw = written(random, document)
    answer = requests.post(rig.gateway.url + path, data=raw, headers=headers, timeout=60)
    checked(answer, path, raw)


def test_each_undamaged_call_is_answered(rig):
    """Or the calls above would find nothing but refusals."""
    headers = {"authorization": f"Bearer {rig.fuzzed_key}"}
    for path, fields in CALLS.items():
        answer = requests.post(
            rig.gateway.url + path, json={"model": model_at(path), **fields}, headers=headers, timeout=60
        )
        assert answer.status_code == 200, (path, answer.text)


@pytest.mark.parametrize("kind", [["message"], {}, 1, None], ids=str)
def test_a_type_that_is_no_text_is_refused_by_name(rig, kind):
    """Found by the test above: it was looked up in a set."""
    body = {"model": model_at("/v1/responses"), "input": [{"type": kind, "content": "Hello"}]}
    headers = {"authorization": f"Bearer {rig.fuzzed_key}"}
    answer = requests.post(f"{rig.gateway.url}/v1/responses", json=body, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input[0].type")


@fuzzed
@given(seed=st.integers(0, 2**32))
def test_no_damaged_form_makes_the_gateway_fail(rig, seed):
    random, path = Random(seed), "/v1/audio/transcriptions"
    sound = SOUND[: random.choice([0, 1, 43, 44, 200, len(SOUND)])]
    fields = {
        "model": model_at(path),
        "response_format": random.choice(["json", "text", "x", ""]),
        "stream": random.choice(["true", "false", "1"]),
    }
    for name in random.sample(sorted(fields), random.choice([0, 1, 1, 2])):
        fields[name] = random.choice(["", "\0", "x" * 300, "ü", "a\r\nb"])
    names = random.choice(["file", "file", "file", "File", "", 'a"b'])
    prepared = requests.Request(
        "POST",
        rig.gateway.url + path,
        data=fields,
        files={names: (random.choice(["a.wav", "", "../../x", "a\r\nb", "ü.wav"]), sound)},
        headers={"authorization": f"Bearer {rig.fuzzed_key}"},
    ).prepare()
    if random.random() < 0.5:
        body = bytearray(prepared.body)
        for _ in range(random.choice([1, 2, 8])):
            at = random.randrange(min(len(body), 700))
            body[at : at + random.randrange(4)] = random.choice(RAW)
        prepared.prepare_body(bytes(body), None)
    if random.random() < 0.2:
        prepared.headers["content-type"] = random.choice(
            [
                "multipart/form-data",
                "multipart/form-data; boundary=",
                "multipart/form-data; boundary=" + "x" * 100,
            ]
        )
    with requests.Session() as session:
        checked(session.send(prepared, timeout=60), path)


@fuzzed
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"]),
    pieces=st.lists(
        st.sampled_from(
            ["v1", "chat", "completions", "models", "messages", "responses", "count_tokens", "", ".", "..", "%2e",
             "%00", "%ff", "ü", "a" * 300, "resp_1", "cancel", "input_items", "audio", "speech", ";x", "?a=b&a", "*"]
        ),
        max_size=5,
    ),
    is_known=st.booleans(),
)  # fmt: skip
def test_no_path_or_method_makes_the_gateway_fail(rig, method, pieces, is_known):
    headers = {"authorization": f"Bearer {rig.fuzzed_key if is_known else 'sk-x'}"}
    path = "/" + "/".join(pieces)
    answer = requests.request(method, rig.gateway.url + path, headers=headers, timeout=60)
    assert answer.status_code < 500, (answer.status_code, answer.text)


@fuzzed
@given(seed=st.integers(0, 2**32))
def test_no_bytes_make_the_gateway_fail(rig, seed):
    """Heads that are damaged, cut, repeated and run together, on one connection."""
    random = Random(seed)
    body = json.dumps({"model": model_at("/v1/embeddings"), "input": "one"}).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {rig.fuzzed_key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    raw = bytearray((head + body) * random.choice([1, 1, 2, 3]))
    for _ in range(random.choice([0, 1, 2, 5])):
        at = random.randrange(len(raw))
        raw[at : at + random.randrange(4)] = random.choice(
            [*RAW, b"\r\n", b"\n", b"\r", b": ", b" HTTP/1.1\r\n", b"0\r\n\r\n"]
        )
    with socket.create_connection(("127.0.0.1", rig.gateway.port)) as connection:
        connection.settimeout(10)
        came = b""
        with contextlib.suppress(OSError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                came += piece
    assert b"HTTP/1.1 5" not in came, came


def test_afterwards_it_answers_and_counts_as_before(rig):
    assert ask(rig.client())
    assert len(rig.control.events) == len({event.call_id for event in rig.control.events.values()})
