"""Whatever a client sends, the gateway answers in its client's shape, and never with a fault of its own."""

import contextlib
import json
import socket

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contract import ConfigSnapshot, ProviderConfig, RouteConfig, SettingsConfig
from gateway.proxy.dialects.anthropic_client.parsed import parse_messages
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Index
from gateway.proxy.messages_calls import fit_messages, put_call_apart
from gateway.proxy.separation import Separation
from tests.gateway.proxy_fixtures import MODEL, VECTORS, ask, wait_until
from tests.gateway.targets import target

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [
    "model",
    "messages",
    "input",
    "stream",
    "stream_options",
    "max_tokens",
    "n",
    "tools",
    "stop",
    "usage",
    "choices",
]
bodies = st.dictionaries(st.sampled_from(FIELDS), values) | values


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=bodies,
    model=st.sampled_from([MODEL, VECTORS, None]),
    path=st.sampled_from(["chat/completions", "embeddings", "messages", "messages/count_tokens"]),
)
def test_no_body_makes_the_gateway_fail(shared_rig, body, model, path):
    if not hasattr(shared_rig, "fuzz_key"):
        shared_rig.fuzz_key = shared_rig.new_key()
    if isinstance(body, dict) and model:
        body = {**body, "model": model}
    headers = {"authorization": f"Bearer {shared_rig.fuzz_key}"}
    answer = requests.post(f"{shared_rig.gateway.url}/v1/{path}", json=body, headers=headers, timeout=60)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        shape = {"message", "type"} if path.startswith("messages") else {"message", "type", "param", "code"}
        assert set(answer.json()["error"]) == shape


_blocks = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["text", "image", "document", "tool_use", "tool_result", "thinking", "search_result"]
        )
    },
    optional=dict.fromkeys(
        ("text", "source", "id", "name", "input", "content", "tool_use_id", "title"), values
    ),
)
_contents = st.text(max_size=8) | st.lists(_blocks, max_size=3)
_turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": _contents}
)
_settings = (
    "system",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "metadata",
    "stop_sequences",
)


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    messages=st.lists(_turns, min_size=1, max_size=3),
    others=st.dictionaries(st.sampled_from(_settings), values, max_size=3),
)
def test_no_message_makes_the_translation_fail(dialect, messages, others):
    own = "anthropic" if dialect == "messages" else "openai_compatible"
    one = target(id="t", url="https://x.example/v1", upstream_model="u", provider=ProviderConfig(dialect=own))
    index = Index(ConfigSnapshot(
        revision=1, issued_at="2026-01-01T00:00:00Z", keys=[], prices=[], settings=SettingsConfig(),
        routes=[RouteConfig(model="m", modes=["chat"], targets=[one])],
    ))  # fmt: skip
    body = {"model": "m", "max_tokens": 5, "messages": messages, **others}
    with contextlib.suppress(Refusal):
        parsed = parse_messages(json.dumps(body).encode())
        fit_messages(parsed, {}, index, index.routes["m"])
        put_call_apart(parsed, Separation("k"), "tenant")
        assert (parsed.relayed is None) is (dialect == "chat")


def test_deep_nesting_is_no_fault(shared_rig):
    headers = {"authorization": f"Bearer {shared_rig.new_key()}"}
    for depth in (500, 900, 20_000):
        content = "[" * depth + "]" * depth
        body = f'{{"model":"{MODEL}","messages":[{{"role":"user","content":{content}}}]}}'
        answer = requests.post(
            f"{shared_rig.gateway.url}/v1/chat/completions", data=body, headers=headers, timeout=60
        )
        assert answer.status_code == 400, answer.text


def test_strange_requests_leave_the_gateway_well(shared_rig):
    for raw in (
        b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + b"a: " + b"b" * 1_000_000 + b"\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n" * 50,
        b"GET /%ff%00/../v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", shared_rig.gateway.port)) as connection:
            connection.settimeout(5)
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(100)
            except OSError:
                # Hung up on us, and rightly.
                continue
    assert shared_rig.gateway.status("/healthz") == 200
    assert ask(shared_rig.client())


def test_a_body_that_never_ends_is_given_up_with_its_connection(shared_rig):
    secret = shared_rig.new_key()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
    head += f"authorization: Bearer {secret}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", shared_rig.gateway.port))
    connection.sendall(head.encode() + b"{")
    connection.close()
    line = 'llm_requests_total{model="",status="incomplete_body"}'
    wait_until(lambda: shared_rig.gateway.metric(line) >= 1, what="the end of waiting")


def test_a_reply_is_json_whatever_is_asked_for(shared_rig):
    answer = requests.get(f"{shared_rig.gateway.url}/v1/models/ünknown%20model", timeout=60)
    assert json.loads(answer.content)["error"]["code"] == "invalid_api_key"
