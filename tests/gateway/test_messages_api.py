"""Anthropic's own client calls models through the gateway, whichever dialect their backends speak."""

import anthropic
import pytest
import requests

from gateway.contract import RouteConfig
from tests.gateway.proxy_fixtures import limit, wait_until
from tests.gateway.scripted_backend import ScriptedBackend, add_route, chunk, plain, scripted_backend
from tests.gateway.test_calls_to_providers import (
    LOOPBACK,
    MESSAGE,
    MESSAGES,
    MODEL,
    SECRET,
    outside,
    sse,
    target,
    vars_of,
)

__all__ = ["outside"]
CHAT = "aurora-messages"
HELLO = [{"role": "user", "content": "hello"}]
DONE = b"data: [DONE]\n\n"
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USED = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}}
WORDS = [chunk("hi "), chunk("there "), chunk("friend"), chunk(**END), chunk(**USED), DONE]
WEATHER = {"name": "weather", "description": "of a city", "input_schema": {"type": "object"}}


@pytest.fixture
def chat(shared_rig):
    """A backend of OpenAI's dialect."""
    with scripted_backend(shared_rig, CHAT) as backend:
        yield backend


def client(rig, key, **options):
    return anthropic.Anthropic(base_url=rig.gateway.url, api_key=key, max_retries=0, timeout=60, **options)


def say(rig, key, model=CHAT, **fields):
    return client(rig, key).messages.create(**{"model": model, "max_tokens": 50, "messages": HELLO, **fields})


def stream(rig, key, model=CHAT, **fields):
    """The final message of a streamed call, and its texts as they came."""
    call = {"model": model, "max_tokens": 50, "messages": HELLO, **fields}
    with client(rig, key).messages.stream(**call) as came:
        texts = list(came.text_stream)
        return came.get_final_message(), texts


def post(rig, body, path="/v1/messages", **headers):
    return requests.post(f"{rig.gateway.url}{path}", json=body, headers=headers, timeout=60)


def tokens(event):
    return {kind: number for kind, number in event.usage.items() if number}


# --- in front of a chat backend ---


def test_a_message_is_answered_by_a_chat_backend_and_recorded_once(shared_rig, chat):
    answer = say(shared_rig, chat.key, system="Be brief.", metadata={"user_id": "u-1"})
    assert (answer.content[0].text, answer.stop_reason, answer.model) == ("hi there friend", "end_turn", CHAT)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 6)
    [(headers, body)] = chat.asked
    assert chat.paths == ["/v1/chat/completions"]
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert (body["model"], body["max_tokens"]) == ("up-scripted", 50)
    assert len(body["user"]) == 32
    assert "u-1" not in str(body)
    assert "x-api-key" not in headers
    assert "anthropic-version" not in headers
    [event] = shared_rig.events(chat.key, 1)
    assert (event.status, event.is_exact, event.is_stream, tokens(event)) == (
        "ok", True, False, {"input": 12, "output": 6},
    )  # fmt: skip
    assert answer.id == f"msg_{event.call_id}"
    assert answer._request_id == event.call_id


def test_a_streamed_message_is_answered_by_a_chat_backend_and_recorded_once(shared_rig, chat):
    chat.says(events=WORDS)
    final, texts = stream(shared_rig, chat.key)
    assert ("".join(texts), len(texts), final.stop_reason) == ("hi there friend", 3, "end_turn")
    assert (final.usage.input_tokens, final.usage.output_tokens) == (12, 6)
    assert chat.asked[0][1]["stream_options"] == {"include_usage": True}
    [event] = shared_rig.events(chat.key, 1)
    assert (event.status, event.is_exact, event.is_stream, tokens(event)) == (
        "ok", True, True, {"input": 12, "output": 6},
    )  # fmt: skip


@pytest.mark.parametrize("is_streamed", [False, True])
def test_tools_are_called_and_their_results_come_back(shared_rig, chat, is_streamed):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
    }
    if is_streamed:
        delta = {"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        chat.says(events=[chunk(choices=[delta]), chunk(choices=[end]), chunk(**USED), DONE])
        answer, _ = stream(shared_rig, chat.key, tools=[WEATHER])
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        chat.says(plain(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))
        answer = say(shared_rig, chat.key, tools=[WEATHER])
    [block] = answer.content
    assert (answer.stop_reason, block.name, block.input) == ("tool_use", "weather", {"city": "Rome"})
    assert chat.asked[0][1]["tools"][0]["function"]["name"] == "weather"
    chat.says(plain())
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
    asked_again = [
        *HELLO,
        {"role": "assistant", "content": [block.to_dict()]},
        {"role": "user", "content": [result]},
    ]
    say(shared_rig, chat.key, tools=[WEATHER], messages=asked_again)
    assert chat.asked[1][1]["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


def test_the_size_of_a_prompt_is_estimated_and_no_backend_is_asked(shared_rig, chat):
    count = client(shared_rig, chat.key).messages.count_tokens
    short = count(model=CHAT, messages=HELLO).input_tokens
    long = count(model=CHAT, messages=[{"role": "user", "content": "hello " * 400}]).input_tokens
    assert 0 < short < 100 < 600 < long
    assert chat.asked == []
    with pytest.raises(anthropic.NotFoundError):
        count(model="nobody-serves-me", messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match="tools"):
        count(model=CHAT, messages=HELLO, tools=[{"type": "web_search_20250305", "name": "web_search"}])


# --- refusals ---


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_key_is_taken_from_either_header(shared_rig, chat, header):
    value = f"Bearer {chat.key}" if header == "authorization" else chat.key
    body = {"model": CHAT, "max_tokens": 5, "messages": HELLO}
    answer = post(shared_rig, body, **{header: value})
    assert (answer.status_code, answer.json()["type"]) == (200, "message")
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    wrong = post(shared_rig, body, **{header: value + "x"})
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "authentication_error")


def test_errors_have_the_shape_that_anthropics_client_raises(shared_rig, chat):
    with pytest.raises(anthropic.AuthenticationError, match="Incorrect API key") as wrong:
        say(shared_rig, "qm_wrong")
    assert wrong.value.body["error"]["type"] == "authentication_error"
    assert wrong.value.body["request_id"] == wrong.value.request_id
    with pytest.raises(anthropic.NotFoundError, match="does not exist"):
        say(shared_rig, chat.key, model="other")
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        say(shared_rig, chat.key, max_tokens=-1)
    with pytest.raises(anthropic.BadRequestError, match="mcp_servers"):
        say(shared_rig, chat.key, extra_body={"mcp_servers": [{"url": "https://x.example"}]})
    with pytest.raises(anthropic.BadRequestError, match="of_next_year"):
        say(shared_rig, chat.key, extra_body={"of_next_year": 1})
    assert chat.asked == []
    unknown = post(shared_rig, {}, "/v1/messages/batches", **{"x-api-key": chat.key})
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
    assert "/v1/messages" in unknown.text


def test_a_key_for_some_endpoints_counts_tokens_only_with_messages(shared_rig, chat):
    key = shared_rig.new_key(models=[CHAT], endpoints=["/v1/messages"])
    assert say(shared_rig, key).content
    assert client(shared_rig, key).messages.count_tokens(model=CHAT, messages=HELLO).input_tokens
    other = shared_rig.new_key(models=[CHAT], endpoints=["/v1/chat/completions"])
    with pytest.raises(anthropic.PermissionDeniedError, match="/v1/chat/completions"):
        say(shared_rig, other)


def test_an_embedding_model_answers_elsewhere(shared_rig, chat):
    shared_rig.routes.append(RouteConfig(model="only-vectors", modes=["embedding"], targets=[chat.backend()]))
    key = shared_rig.new_key(models=["only-vectors"])
    with pytest.raises(anthropic.BadRequestError, match="/v1/embeddings"):
        say(shared_rig, key, model="only-vectors")
    shared_rig.routes.pop()
    shared_rig.publish()


@pytest.mark.parametrize(("status", "kind"), [
    (400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (500, anthropic.InternalServerError),
    (529, anthropic.InternalServerError),
])  # fmt: skip
def test_a_backends_errors_become_anthropics(shared_rig, chat, status, kind):
    chat.says({"error": {"message": "too long for up-scripted"}}, status=status)
    with pytest.raises(kind) as refused:
        say(shared_rig, chat.key)
    assert refused.value.body["type"] == "error"
    assert "up-scripted" not in str(refused.value)
    [event] = shared_rig.events(chat.key, 1)
    assert (event.status, tokens(event)) == ("error", {})


def test_a_stream_that_breaks_off_is_an_error_in_the_middle(shared_rig, chat):
    chat.says(events=[chunk("hi "), 0.3, None])
    with pytest.raises(anthropic.APIStatusError, match="stopped in the middle"):
        stream(shared_rig, chat.key)
    [event] = shared_rig.events(chat.key, 1)
    assert event.status == "error"


def test_limits_refuse_a_message_before_any_backend_is_asked(shared_rig, chat):
    key = shared_rig.new_key(models=[CHAT], limits=[limit("requests_per_minute", 1)])
    say(shared_rig, key)
    with pytest.raises(anthropic.RateLimitError) as refused:
        say(shared_rig, key)
    assert refused.value.body["error"]["type"] == "rate_limit_error"
    assert refused.value.response.headers["retry-after"]
    tight = shared_rig.new_key(models=[CHAT], limits=[limit("tokens_per_minute", 100)])
    with pytest.raises(anthropic.RateLimitError):
        say(shared_rig, tight, max_tokens=5000)
    assert len(chat.asked) == 1


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize(("kind", "source"), [
    ("image", {"type": "url", "url": "http://10.0.0.1/x.png"}),
    ("image", {"type": "file", "file_id": "file_1"}),
    ("document", {"type": "url", "url": "https://elsewhere.example/x.pdf"}),
])  # fmt: skip
def test_no_message_makes_a_server_fetch_a_url_or_a_stored_file(
    shared_rig, chat, outside, dialect, kind, source
):
    key, model = (chat.key, CHAT)
    if dialect == "messages":
        key, model = add_route(shared_rig, MODEL, target(shared_rig, outside, "anthropic")), MODEL
    with pytest.raises(anthropic.BadRequestError, match=r"content\[0\]\.(source|image_url)"):
        say(
            shared_rig, key, model, messages=[{"role": "user", "content": [{"type": kind, "source": source}]}]
        )
    assert (chat.asked, outside.asked) == ([], [])


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_a_client_that_hangs_up_is_billed_what_came(shared_rig, chat, outside, dialect):
    key, model, backend, events = chat.key, CHAT, chat, [chunk("hi "), chunk("there "), 30.0, DONE]
    if dialect == "messages":
        key, model = add_route(shared_rig, MODEL, target(shared_rig, outside, "anthropic")), MODEL
        backend, events = outside, [*MESSAGES[:4], 30.0]
    backend.says(events=events)
    with client(shared_rig, key).messages.stream(model=model, max_tokens=50, messages=HELLO) as came:
        assert next(iter(came.text_stream)) == "hi "
    [event] = shared_rig.events(key, 1)
    assert (event.status, event.is_exact) == ("cancelled", False)
    assert event.usage["output"] > 0
    if dialect == "messages":
        # The provider reported the prompt before the first word.
        assert (event.usage["input"], event.usage["cache_read"]) == (12, 5)


# --- in front of a Messages backend ---


@pytest.fixture
def relayed(shared_rig, outside):
    """A provider that speaks the Messages API."""
    outside.key = add_route(shared_rig, MODEL, target(shared_rig, outside, "anthropic"))
    outside.says(MESSAGE)
    return outside


def test_a_message_reaches_a_messages_backend_as_the_client_sent_it(shared_rig, relayed):
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}
    used = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"file_path": "/etc/hosts"}}
    fields = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [WEATHER],
        "messages": [
            *HELLO,
            {"role": "assistant", "content": [thought, used]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]},
        ],
        "extra_headers": {"anthropic-beta": "context-1m-2025-08-07", "x-other": "1"},
        "metadata": {"user_id": "u-1"},
    }
    answer = say(shared_rig, relayed.key, MODEL, **fields)
    assert (answer.content[0].text, answer.model) == ("hi there friend", MODEL)
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (12, 5)
    [(headers, body)] = relayed.asked
    assert relayed.paths == ["/v1/messages"]
    own = client(shared_rig, relayed.key).default_headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == (SECRET, own["anthropic-version"])
    assert headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert relayed.key not in str(headers)
    assert "x-other" not in headers
    for name in ("system", "tools", "messages"):
        assert body[name] == fields[name]
    assert body["model"] == "up-scripted"
    assert len(body["metadata"]["user_id"]) == 32
    [event] = shared_rig.events(relayed.key, 1)
    assert (event.status, event.is_exact, tokens(event)) == (
        "ok", True, {"input": 12, "cache_read": 5, "output": 6},
    )  # fmt: skip
    assert answer.id == f"msg_{event.call_id}"


def test_a_stream_of_a_messages_backend_is_passed_on_and_counted(shared_rig, relayed):
    relayed.says(events=MESSAGES)
    final, texts = stream(shared_rig, relayed.key, MODEL)
    assert (texts, final.stop_reason, final.model) == (["hi ", "there ", "friend"], "end_turn", MODEL)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (12, 6)
    [event] = shared_rig.events(relayed.key, 1)
    assert (event.status, event.is_exact, event.is_stream, tokens(event)) == (
        "ok", True, True, {"input": 12, "cache_read": 5, "output": 6},
    )  # fmt: skip


def test_a_passed_stream_ends_once_and_only_after_it_is_recorded(shared_rig, relayed):
    relayed.says(events=[b"".join(MESSAGES)])
    body = {"model": MODEL, "max_tokens": 5, "messages": HELLO, "stream": True}
    answer = post(shared_rig, body, **{"x-api-key": relayed.key})
    assert answer.text.count("message_stop") == 2
    assert answer.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert "msg_theirs" not in answer.text
    assert "up-scripted" not in answer.text


def test_an_error_in_a_passed_stream_is_told_once_without_names(shared_rig, relayed):
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "up-scripted is busy"}}
    relayed.says(events=[*MESSAGES[:3], 0.3, *sse(error)])
    body = {"model": MODEL, "max_tokens": 5, "messages": HELLO, "stream": True}
    answer = post(shared_rig, body, **{"x-api-key": relayed.key})
    assert answer.text.count("event: error\n") == 1
    assert "up-scripted" not in answer.text
    assert "message_stop" not in answer.text
    [event] = shared_rig.events(relayed.key, 1)
    assert event.status == "error"


def test_what_is_not_metered_is_refused_by_name_at_a_messages_backend(shared_rig, relayed):
    for name, fields in {
        "speed": {"extra_body": {"speed": "fast"}},
        "container": {"extra_body": {"container": "c_1"}},
        "of_next_year": {"extra_body": {"of_next_year": 1}},
        "metadata.tenant": {"extra_body": {"metadata": {"tenant": "x"}}},
        "tools": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    }.items():
        with pytest.raises(anthropic.BadRequestError, match=name):
            say(shared_rig, relayed.key, MODEL, **fields)
    assert relayed.asked == []


def test_only_backends_that_can_take_a_message_are_asked(shared_rig, outside):
    second = ScriptedBackend("second")
    messages = target(shared_rig, outside, "anthropic")
    outside.says(MESSAGE)
    key = add_route(shared_rig, MODEL, second.backend(), with_priority(messages, 1))
    paged = [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain",
              "data": "words"}, "citations": {"enabled": True}}]}]  # fmt: skip
    bash = {"type": "bash_20250124", "name": "bash"}
    assert say(shared_rig, key, MODEL, messages=paged).content[0].text == "hi there friend"
    assert (len(second.asked), len(outside.asked)) == (1, 0)
    assert say(shared_rig, key, MODEL, tools=[bash]).content[0].text == "hi there friend"
    assert (len(second.asked), len(outside.asked)) == (1, 1)
    second.says({"error": {"message": "x"}}, status=529)
    assert say(shared_rig, key, MODEL).content[0].text == "hi there friend"
    assert outside.asked[1][1]["messages"] == HELLO
    second.close()


def with_priority(one, priority):
    return type(one)(**{**vars_of(one), "priority": priority})


def test_a_gateway_that_ends_says_so_in_the_clients_dialect(new_rig):
    rig = new_rig(GATEWAY_DRAIN_SECONDS="1")
    backend = ScriptedBackend()
    rig.settings = type(rig.settings)(**{**vars_of(rig.settings), "allowed_networks": LOOPBACK})
    key = add_route(rig, CHAT, backend.backend())
    backend.says(events=[chunk("hi "), 30.0, DONE])
    with client(rig, key).messages.stream(model=CHAT, max_tokens=50, messages=HELLO) as came:
        words = iter(came.text_stream)
        assert next(words) == "hi "
        rig.gateway.process.popen.terminate()
        with pytest.raises(anthropic.APIStatusError, match="shutting down"):
            list(words)
    backend.close()
    wait_until(lambda: rig.gateway.process.popen.poll() is not None, what="the end")
