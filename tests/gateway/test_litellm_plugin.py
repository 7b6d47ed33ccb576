"""A real LiteLLM proxy with our plugin: the same keys, models, limits and ledger as behind our own gateway."""

import json
import time

import msgspec
import openai
import pytest
import requests

from gateway.contract import RouteConfig
from tests.gateway.litellm_rig import MASTER_KEY, MESSAGES, PluginRig
from tests.gateway.proxy_fixtures import limit, wait_until
from tests.gateway.scripted_backend import USAGE, ScriptedBackend, add_route, chunk, plain
from tests.patience import overload

END = {**chunk(), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
WHOLE = [chunk(), chunk(), END, {**chunk(), "choices": [], "usage": USAGE}, b"data: [DONE]\n\n"]


@pytest.fixture(scope="session")
def plugin_rig_in_session(tmp_path_factory):
    rig = PluginRig(
        tmp_path_factory.mktemp("litellm"),
        # What an operator of LiteLLM might have, and what must not lead a call out of its regions.
        fallbacks=[{"bound": ["elsewhere"]}],
    )
    rig.lite.start()
    yield rig
    rig.close()


@pytest.fixture
def rig(plugin_rig_in_session):
    rig = plugin_rig_in_session
    rig.backend.says(plain())
    rig.backend.asked.clear()
    return rig


def post(rig, secret, path="/v1/chat/completions", **body):
    headers = {"authorization": f"Bearer {secret}"}
    return requests.post(f"{rig.lite.url}{path}", json=body, headers=headers, timeout=60)


def test_a_call_is_answered_and_recorded_once_with_exact_tokens(rig):
    key = add_route(rig, "aurora", rig.backend.backend())
    answer = rig.client(key).chat.completions.with_raw_response.create(model="aurora", messages=MESSAGES)
    assert answer.parse().choices[0].message.content == "hi there friend"
    [event] = rig.events(key, 1)
    assert (event.status, event.http_status, event.is_exact) == ("ok", 200, True)
    assert event.usage == {"input": 12, "output": 6}
    assert (event.model, event.target_id) == ("aurora", rig.backend.id)
    assert event.config_revision == rig.revision
    assert answer.headers["x-request-id"] == event.call_id
    # No caller learns where a model is.
    assert str(rig.backend.port) not in str(answer.headers)
    assert rig.control.acks[-1].kind == "litellm"


def test_a_stream_is_passed_as_it_comes_and_recorded_once(rig):
    key = add_route(rig, "aurora", rig.backend.backend())
    rig.backend.says(events=WHOLE)
    # LiteLLM's first stream takes seconds, whoever asks.
    asked = list(rig.chat(key, "aurora", stream=True, stream_options={"include_usage": True}))
    assert asked[-1].usage.completion_tokens == 6
    rig.backend.says(events=[chunk(), 1.5, *WHOLE])
    stream = rig.chat(key, "aurora", stream=True)
    next(iter(stream))
    first_at = time.monotonic()
    pieces = list(stream)
    assert time.monotonic() - first_at > 0.5, "the first piece waited for the others"
    # It did not ask for usage.
    assert all(piece.choices for piece in pieces)
    for event in rig.events(key, 2):
        assert (event.status, event.is_stream, event.is_exact) == ("ok", True, True)
        assert event.usage == {"input": 12, "output": 6}
        assert event.first_token_ms is not None
    assert rig.backend.asked[-1][1]["stream_options"]["include_usage"] is True


def test_cached_tokens_and_vectors_are_counted_in_their_kinds(rig):
    key = add_route(rig, "aurora", rig.backend.backend())
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 5}}
    rig.backend.says(plain(usage=usage))
    rig.chat(key, "aurora")
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
    numbers = {"prompt_tokens": 7, "total_tokens": 7}
    rig.backend.says({"object": "list", "model": "x", "data": [vector], "usage": numbers})
    rig.client(key).embeddings.create(model="aurora", input="hello there", encoding_format="float")
    chat, embedding = rig.events(key, 2)
    assert chat.usage == {"input": 7, "cache_read": 5, "output": 6}
    assert embedding.usage == {"input": 7}


def test_a_revoked_key_is_refused_at_once(rig):
    key = add_route(rig, "aurora", rig.backend.backend())
    rig.chat(key, "aurora")
    rig.revoke(key)
    began = time.monotonic()

    def is_refused():
        return post(rig, key, model="aurora", messages=MESSAGES).status_code == 401

    wait_until(is_refused, what="the refusal")
    # A second or so; this machine may be busy.
    assert time.monotonic() - began < 4 * overload()
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        rig.chat(key, "aurora")


def test_a_key_and_a_grant_end_by_themselves(rig):
    add_route(rig, "aurora", rig.backend.backend())
    ended = rig.new_key(models=["aurora"], expires_at=int(time.time()) - 1)
    with pytest.raises(openai.AuthenticationError, match="has expired"):
        rig.chat(ended, "aurora")
    past = rig.new_key(models=["aurora"], grant_ends={"aurora": int(time.time()) - 1})
    with pytest.raises(openai.NotFoundError):
        rig.chat(past, "aurora")


def test_a_key_is_used_from_its_networks_only(rig):
    add_route(rig, "aurora", rig.backend.backend())
    elsewhere = rig.new_key(models=["aurora"], networks=["198.51.100.0/24"])
    headers = {"authorization": f"Bearer {elsewhere}", "x-forwarded-for": "198.51.100.7"}
    body = {"model": "aurora", "messages": MESSAGES}
    answer = requests.post(f"{rig.lite.url}/v1/chat/completions", json=body, headers=headers)
    assert (answer.status_code, "may not be used from 127.0.0.1" in answer.text) == (401, True)


def test_only_granted_models_are_found_and_listed(rig):
    key = add_route(rig, "aurora", rig.backend.backend())
    add_route(rig, "other", rig.backend.backend(id="other-target"))
    for name in ("other", "unknown", "other-target", "openai/up-scripted"):
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            rig.chat(key, name)
    assert [model.id for model in rig.client(key).models.list()] == ["aurora"]
    without = rig.new_key(models=[])
    assert list(rig.client(without).models.list()) == []
    assert rig.backend.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        {"fallbacks": ["other"]},
        {"api_base": "http://127.0.0.1:1"},
        {"mock_response": "free of charge"},
        {"metadata": {"user_api_key_metadata": {"quartermaster_call": "x"}}},
        {"extra_body": {"cache_salt": "x"}},
        {"num_retries": 50},
        {"guardrails": ["none"]},
        {"tags": ["other"]},
        {"cache_salt": "x"},
        {"tools": [{"type": "mcp", "server_url": "http://10.0.0.1/"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/"}}]}]},
    ],
)  # fmt: skip
def test_what_litellm_itself_would_obey_is_refused_by_name(rig, fields):
    key = add_route(rig, "aurora", rig.backend.backend())
    answer = post(rig, key, **{"model": "aurora", "messages": MESSAGES, **fields})
    # LiteLLM refuses some itself, with a bare 500 where it has no database.
    assert answer.status_code in (400, 500), answer.text
    assert rig.backend.asked == []


@pytest.mark.parametrize(
    "header",
    ["x-litellm-num-retries", "X-LiteLLM-Timeout", "x-litellm-stream-timeout", "x-litellm-disable-callbacks"],
)
def test_no_header_makes_litellm_try_again_or_give_up_early(rig, header):
    key = add_route(rig, "aurora", rig.backend.backend())
    rig.backend.says({"error": {"message": "Boom"}}, status=500)
    headers = {"authorization": f"Bearer {key}", header: "5"}
    body = {"model": "aurora", "messages": MESSAGES}
    answer = requests.post(f"{rig.lite.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert len(rig.backend.asked) == 0
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, header.lower())
    rig.backend.says(plain())
    headers = {"authorization": f"Bearer {key}", "x-litellm-session-id": "5"}
    assert requests.post(f"{rig.lite.url}/v1/chat/completions", json=body, headers=headers, timeout=60).ok


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/responses"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/messages"),
        ("POST", "/engines/aurora/chat/completions"),
        ("POST", "/openai/deployments/aurora/chat/completions"),
        ("GET", "/key/info"),
        ("GET", "/model/info"),
        ("GET", "/health"),
    ],
)
def test_nothing_passes_that_is_not_metered(rig, method, path):
    key = add_route(rig, "aurora", rig.backend.backend())
    for secret in (key, MASTER_KEY):
        headers = {"authorization": f"Bearer {secret}"}
        body = {"model": "aurora", "messages": MESSAGES, "input": "x", "max_tokens": 5}
        answer = requests.request(method, f"{rig.lite.url}{path}", json=body, headers=headers)
        assert answer.status_code in (401, 404), (path, answer.text)
    assert rig.backend.asked == []


def test_limits_hold_and_are_given_back(rig):
    add_route(rig, "aurora", rig.backend.backend())
    key = rig.new_key(models=["aurora"], limits=[limit("requests_per_minute", 2)])
    first = rig.client(key).chat.completions.with_raw_response.create(model="aurora", messages=MESSAGES)
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    rig.chat(key, "aurora")
    with pytest.raises(openai.RateLimitError, match="requests per minute"):
        rig.chat(key, "aurora")
    # The answer had six tokens: the rest of what it reserved is free again.
    key = rig.new_key(models=["aurora"], limits=[limit("tokens_per_minute", 150)])
    for _ in range(3):
        rig.chat(key, "aurora", max_tokens=80)


def test_a_client_that_hangs_up_is_recorded_as_cancelled_and_frees_its_slot(rig):
    add_route(rig, "aurora", rig.backend.backend())
    key = rig.new_key(models=["aurora"], limits=[limit("concurrent_calls", 1)])
    rig.backend.says(events=[chunk(), 0.1, chunk(), 30.0])
    stream = rig.chat(key, "aurora", stream=True)
    next(iter(stream))
    with pytest.raises(openai.RateLimitError, match="at the same time"):
        rig.chat(key, "aurora")
    stream.close()
    [event] = rig.events(key, 1, 20)
    assert (event.status, event.is_exact) == ("cancelled", False)
    assert event.usage["output"] >= 1
    rig.backend.says(plain())
    rig.chat(key, "aurora")


def test_a_client_that_hangs_up_before_a_plain_answer_is_billed_once_for_all_of_it(rig):
    """LiteLLM completes it: one of the things that the plugin cannot promise (docs/litellm.md)."""
    key = add_route(rig, "aurora", rig.backend.backend())
    body = json.dumps(plain()).encode()
    rig.backend.says(events=[0.7, body])
    rig.backend._answer = (200, {"content-type": "application/json"}, rig.backend._answer[2])
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{rig.lite.url}/v1/chat/completions",
            json={"model": "aurora", "messages": MESSAGES},
            headers={"authorization": f"Bearer {key}"},
            timeout=0.3,
        )
    [event] = rig.events(key, 1)
    assert (event.status, event.usage) == ("ok", {"input": 12, "output": 6})


def test_a_failed_call_is_recorded_once(rig):
    key = add_route(rig, "aurora", rig.backend.backend())
    rig.backend.says({"error": {"message": "out of memory"}}, status=500)
    with pytest.raises(openai.InternalServerError):
        rig.chat(key, "aurora")
    rig.backend.says(events=[chunk(), 0.1, None])
    with pytest.raises(openai.APIError):
        list(rig.chat(key, "aurora", stream=True))
    whole, cut_off = rig.events(key, 2)
    assert (whole.status, whole.usage) == ("error", {})
    assert cut_off.status == "error"


def test_no_call_leaves_its_tenants_regions_whatever_litellm_falls_back_to(rig):
    abroad = ScriptedBackend()
    try:
        rig.routes = [
            RouteConfig(
                model="bound",
                modes=["chat"],
                targets=[
                    rig.backend.backend(id="in-eu", region="eu-west-1"),
                    abroad.backend(id="in-us", region="us-east-1", priority=1),
                ],
            ),
            RouteConfig(model="elsewhere", modes=["chat"], targets=[abroad.backend(id="us-2", region="us-east-1")]),
        ]  # fmt: skip
        key = rig.new_key(models=["bound", "elsewhere"], regions=["eu"])
        assert rig.chat(key, "bound").choices
        with pytest.raises(openai.NotFoundError):
            rig.chat(key, "elsewhere")
        rig.backend.says({"error": {"message": "down"}}, status=503)
        for _ in range(3):
            with pytest.raises(openai.APIStatusError):
                rig.chat(key, "bound")
        assert abroad.asked == []
        free = rig.new_key(models=["bound"])
        # Its own route does fall back.
        assert rig.chat(free, "bound").choices
        assert len(abroad.asked) == 1
    finally:
        abroad.close()


def test_tenants_are_kept_apart_at_engines(rig):
    key = add_route(rig, "aurora", rig.backend.backend(cache_key_field="cache_salt"))
    rig.chat(key, "aurora", user="alice")
    body = rig.backend.asked[-1][1]
    assert len(body["cache_salt"]) == 43
    # LiteLLM passes this name to some providers only.
    assert body.get("user") != "alice"
    other = rig.new_key(models=["aurora"])
    rig.keys[-1] = msgspec.structs.replace(rig.keys[-1], tenant_id="0199-other")
    rig.publish()
    rig.chat(other, "aurora", user="alice")
    assert rig.backend.asked[-1][1]["cache_salt"] != body["cache_salt"]


def test_a_killed_litellm_loses_and_repeats_nothing(tmp_path):
    rig = PluginRig(tmp_path)
    try:
        rig.lite.start()
        key = add_route(rig, "aurora", rig.backend.backend())
        rig.control.down()
        for _ in range(3):
            rig.chat(key, "aurora")
        rig.backend.says(events=[chunk(), chunk(), 60.0])
        stream = rig.chat(key, "aurora", stream=True)
        next(iter(stream))
        rig.lite.kill()
        rig.control.up()
        assert rig.control.events == {}
        rig.lite.start()
        events = rig.events(key, 4)
        assert sorted(event.status for event in events) == ["cancelled", "ok", "ok", "ok"]
        assert all(event.usage["input"] for event in events)
        rig.backend.says(plain())
        rig.chat(key, "aurora")
        rig.events(key, 5)
        assert len(rig.control.deliveries) == len({event.call_id for event in rig.control.deliveries}) == 5
        rig.lite.terminate()
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert key.encode() not in written
    finally:
        rig.close()
