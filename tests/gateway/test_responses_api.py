"""The Responses API with the official client: items, metered to the token, and nothing is stored."""

import json

import openai
import pytest
import requests
from pydantic import BaseModel

from gateway.contract import ProviderConfig
from tests.gateway.proxy_fixtures import limit, wait_until
from tests.gateway.responses import (
    CALL,
    KINDS,
    MESSAGE,
    MODEL,
    PICTURE,
    TEXT,
    USAGE,
    WEATHER,
    ask,
    post,
    responding,
    response,
)
from tests.gateway.scripted_backend import OWN_NAME, scripted_backend


@pytest.fixture
def backend(shared_rig):
    with responding(shared_rig) as backend:
        yield backend


# --- plain ---


def test_an_answer_is_the_clients_own_and_exactly_metered(shared_rig, backend):
    options = {"instructions": "Be brief.", "max_output_tokens": 100, "reasoning": {"effort": "low"}}
    answer = ask(backend, **options)
    assert (answer.output_text, answer.model, answer.status) == ("Hello there, friend.", MODEL, "completed")
    assert answer.id == f"resp_{answer._request_id}", "nobody can use the backend's"
    assert (answer.usage.input_tokens_details.cached_tokens, answer.usage.total_tokens) == (8, 65)
    assert backend.paths == ["/v1/responses"]
    assert backend.asked[-1][1] == {"model": OWN_NAME, "input": "Hello", **options, "store": False}
    (seen,) = shared_rig.events(backend.key, 1)
    assert (seen.usage, seen.is_exact, seen.status, seen.is_stream) == (KINDS, True, "ok", False)


def test_tools_of_the_client_go_both_ways(backend):
    backend.says(response(CALL))
    first = ask(backend, "Weather in Oslo?", tools=[WEATHER], tool_choice="required")
    call = first.output[0]
    assert (call.name, json.loads(call.arguments), call.call_id) == ("weather", {"city": "Oslo"}, "call_1")
    backend.says(response(MESSAGE))
    conversation = [
        {"role": "user", "content": "Weather in Oslo?"},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    assert ask(backend, conversation, tools=[WEATHER]).output_text
    assert backend.asked[-1][1]["input"] == conversation
    assert backend.asked[-1][1]["tools"] == [WEATHER]


def test_pictures_files_and_structured_output_pass(shared_rig, backend):
    class Greeting(BaseModel):
        text: str

    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PICTURE, "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
    ]
    words = {**TEXT, "text": '{"text":"hi"}'}
    usage = {**USAGE, "input_tokens": 3000, "total_tokens": 3025}
    backend.says(response({**MESSAGE, "content": [words]}, usage=usage))
    given = [{"role": "user", "content": content}]
    answer = backend.client.responses.parse(model=MODEL, input=given, text_format=Greeting)
    assert answer.output_parsed == Greeting(text="hi")
    sent = backend.asked[-1][1]
    assert (sent["input"], sent["text"]["format"]["name"]) == (given, "Greeting")
    assert shared_rig.events(backend.key, 1)[0].is_exact, "a file may bring more than its text"


def test_probabilities_and_hidden_reasoning_pass(backend):
    probable = [{"token": "Hello", "bytes": [72], "logprob": -0.1, "top_logprobs": []}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA/secret=="}
    backend.says(response(thought, {**MESSAGE, "content": [{**TEXT, "logprobs": probable}]}))
    include = ["reasoning.encrypted_content", "message.output_text.logprobs"]
    answer = ask(backend, include=include, top_logprobs=1)
    assert answer.output[0].encrypted_content == "gAAA/secret=="
    assert answer.output[1].content[0].logprobs[0].token == "Hello"
    backend.says(response(MESSAGE))
    ask(
        backend,
        [{"role": "user", "content": "x"}, answer.output[0].to_dict(), {"role": "user", "content": "y"}],
    )
    assert backend.asked[-1][1]["input"][1]["encrypted_content"] == "gAAA/secret=="


def test_an_answer_cut_at_its_maximum_is_complete(shared_rig, backend):
    backend.says(response(MESSAGE, status="incomplete", incomplete_details={"reason": "max_output_tokens"}))
    assert ask(backend).incomplete_details.reason == "max_output_tokens"
    assert shared_rig.events(backend.key, 1)[0].status == "ok"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (response(status="failed", error={"code": "server_error", "message": "Boom at 10.0.0.7."}), 502),
        (response(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow down."}), 429),
        (response(MESSAGE, status="in_progress"), 502),
        (response(status="queued"), 502),
        ({"id": "x", "object": "response", "status": "completed"}, 502),
        ([], 502),
        (b"{", 502),
    ],
)
def test_an_answer_that_is_none_is_an_error(shared_rig, backend, answer, status):
    backend.says(answer)
    with pytest.raises(openai.APIStatusError) as failed:
        ask(backend)
    assert failed.value.status_code == status
    assert "10.0.0.7" not in str(failed.value)
    assert shared_rig.events(backend.key, 1)[0].status == "error"


def test_errors_of_the_backend_are_the_clients_exceptions(backend):
    for status, exception in (
        (400, openai.BadRequestError),
        (429, openai.RateLimitError),
        (500, openai.APIStatusError),
    ):
        backend.says({"error": {"message": "No.", "type": "x", "code": None, "param": None}}, status=status)
        with pytest.raises(exception):
            ask(backend)


def test_nothing_of_the_backend_reaches_the_client(shared_rig, backend):
    other = {
        "billing": {"payer": OWN_NAME},
        "kv_transfer_params": {"host": "10.0.0.7"},
        "input_messages": ["secret"],
    }
    backend.says(
        response({**MESSAGE, "id": OWN_NAME, "node": "n1"}, prompt_cache_key="theirs", user="theirs", **other)
    )
    text = post(shared_rig, backend, {"user": "ada", "prompt_cache_key": "mine"}).text
    answer = json.loads(text)
    assert (answer["user"], answer["prompt_cache_key"]) == ("ada", "mine"), "as the client sent them"
    sent = backend.asked[-1][1]
    assert sent["user"] != "ada"
    assert sent["user"] not in text
    assert not [word for word in (OWN_NAME, "10.0.0.7", "theirs", "secret", "n1") if word in text]


# --- refused by name ---

ITEM = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"store": True}, "store"),
        ({"store": "no"}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"moderation": {"model": "omni"}}, "moderation"),
        (
            {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
            "prompt_cache_options.comparison_response_id",
        ),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [ITEM, {"id": "msg_1"}]}, "input[1]"),
        ({"input": [ITEM, {"type": "reasoning", "id": "rs_1", "summary": []}]}, "input[1]"),
        ({"input": [ITEM, {"type": "image_generation_call", "id": "ig_1"}]}, "input[1].type"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, None),
        (
            {
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_image", "image_url": "http://10.0.0.1/a.png"}],
                    }
                ]
            },
            None,
        ),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [WEATHER, {"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[1].type"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_url": "http://10.0.0.1"}]}, "tools[0].type"),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "tools[0].environment"),
        ({"tools": ["weather"]}, "tools[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"stream": 1}, "stream"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"model": None}, "model"),
    ],
)
def test_what_is_stored_unmetered_or_wrong_is_refused_by_name(shared_rig, backend, body, param):
    refused = post(shared_rig, backend, body)
    assert refused.status_code == 400, refused.text
    assert param is None or refused.json()["error"]["param"] == param
    assert backend.asked == []


def test_what_asks_for_nothing_passes(shared_rig, backend):
    nothing = {
        "store": None,
        "previous_response_id": None,
        "conversation": None,
        "background": False,
        "prompt": None,
    }
    assert post(
        shared_rig, backend, {**nothing, "tools": [{"type": "shell", "environment": {"type": "local"}}]}
    ).ok
    assert backend.asked[-1][1]["store"] is False


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_no_stored_answer_can_be_fetched_or_deleted(shared_rig, backend, method):
    ask(backend)
    for path in ("resp_theirs", "resp_theirs/input_items", "resp_theirs/cancel"):
        refused = requests.request(
            method,
            f"{shared_rig.gateway.url}/v1/responses/{path}",
            headers={"authorization": f"Bearer {backend.key}"},
        )
        code = "unknown_url" if "/" in path else "response_not_found"
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, code)
    with pytest.raises(openai.NotFoundError):
        backend.client.responses.retrieve("resp_theirs")
    assert len(backend.asked) == 1


# --- limits, targets ---


def test_limits_hold(shared_rig, backend):
    client = shared_rig.client(shared_rig.new_key(models=[MODEL], limits=[limit("tokens_per_day", 2000)]))
    with pytest.raises(openai.RateLimitError) as refused:
        client.responses.create(model=MODEL, input="x", max_output_tokens=5000)
    assert refused.value.code == "insufficient_quota"
    assert client.responses.create(model=MODEL, input="x", max_output_tokens=100).output_text
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model=MODEL, input="word " * 8000, max_output_tokens=10)
    assert len(backend.asked) == 1


def test_only_targets_that_speak_it_are_asked(shared_rig):
    before = shared_rig.settings
    shared_rig.settings = type(before)(allowed_networks=["127.0.0.0/8"])
    with scripted_backend(shared_rig, MODEL, modes=["chat", "responses"]) as backend:
        client = shared_rig.client(backend.key)
        for dialect, speaks in (("mistral", False), ("anthropic", False), ("openai", True), ("vllm", True)):
            shared_rig.routes[-1].targets[0] = backend.backend(provider=ProviderConfig(dialect=dialect))
            shared_rig.publish()
            backend.says(response(MESSAGE))
            if speaks:
                assert client.responses.create(model=MODEL, input="x").output_text
                continue
            with pytest.raises(
                openai.BadRequestError, match="answers at /v1/chat/completions, not here"
            ) as refused:
                client.responses.create(model=MODEL, input="x")
            assert refused.value.code == "wrong_endpoint"
        assert len(backend.asked) == 2
    shared_rig.settings = before
    shared_rig.publish()


def test_a_tenants_value_keeps_its_cache_apart(shared_rig, backend):
    shared_rig.routes[-1].targets[0] = backend.backend(cache_key_field="cache_salt")
    shared_rig.settings, before = type(shared_rig.settings)(separation_key="k"), shared_rig.settings
    shared_rig.publish()
    ask(backend)
    salt = backend.asked[-1][1]["cache_salt"]
    assert len(salt) == 43
    with pytest.raises(openai.BadRequestError, match="cache_salt"):
        ask(backend, extra_body={"cache_salt": "mine"})
    shared_rig.routes[-1].targets[0] = backend.backend()
    shared_rig.settings = before
    shared_rig.publish()


def test_calls_are_counted_in_the_metrics(shared_rig, backend):
    ask(backend)
    line = f'llm_tokens_total{{model="{MODEL}",type="reasoning"}}'
    wait_until(lambda: shared_rig.gateway.metric(line) >= 20, what="the metric")
