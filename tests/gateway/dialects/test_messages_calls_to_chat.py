"""A Messages call becomes exactly the chat call that means the same, or is refused by the name of what has no equal."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.providers.dialects import DIALECTS
from gateway.proxy.body import Body
from gateway.proxy.dialects.anthropic_client.fields import IDLE
from gateway.proxy.dialects.anthropic_client.relay import check_call, passed_call, passed_headers, user_of
from gateway.proxy.dialects.anthropic_client.request import (
    ChatModel,
    chat_request,
    count_answer,
    count_tokens,
)
from gateway.proxy.errors import Refusal
from tests.gateway.dialects.test_chat_calls_to_messages import JSON, WEATHER, WEATHER_THERE
from tests.gateway.dialects.typed import require_chat_call, require_messages_call

PLAIN = ChatModel("gpt-4o")
THINKER = ChatModel("gpt-5", takes_effort=True, keeps_thoughts=True)
HELLO = [{"role": "user", "content": "hello"}]


def translated(messages=HELLO, model=PLAIN, **fields):
    call = {"model": "public-name", "max_tokens": 100, "messages": messages, **fields}
    chat = json.loads(chat_request(json.dumps(call).encode(), model))
    for message in chat["messages"]:
        # Known to other servers only.
        message.pop("reasoning_content", None)
    return require_chat_call(chat)


def messages_of(*messages, model=PLAIN):
    call = {"model": "m", "max_tokens": 1, "messages": messages}
    return json.loads(chat_request(json.dumps(call).encode(), model))["messages"]


def refused(messages=HELLO, model=PLAIN, **fields):
    with pytest.raises(Refusal) as caught:
        translated(messages, model, **fields)
    assert caught.value.status == 400
    return caught.value


def test_the_smallest_call():
    assert translated() == {"model": "gpt-4o", "max_tokens": 100, "messages": HELLO}


def test_a_call_with_everything():
    content = [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aWNvbg=="}},
        {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.jpg"}},
        {"type": "document", "title": "plan.pdf", "context": "of a house", "citations": {"enabled": True},
         "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
        {"type": "document", "title": "note", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
        {"type": "document", "source": {"type": "content", "content": "inner"}},
        {"type": "search_result", "title": "Ulm", "source": "https://ulm.example",
         "content": [{"type": "text", "text": "a town"}]},
    ]  # fmt: skip
    call = {
        "model": "public-name", "max_tokens": 300, "stream": True, "temperature": 0.5, "top_p": 0.9,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
                   {"type": "text", "text": "Be kind."}],
        "messages": [{"role": "user", "content": content}],
        "stop_sequences": ["END"], "tools": [WEATHER_THERE | {"strict": True}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "thinking": {"type": "adaptive"}, "metadata": {"user_id": "apart-7"}, "service_tier": "standard_only",
        "cache_control": {"type": "ephemeral"},
    }  # fmt: skip
    require_messages_call(call)
    assert translated(**{name: value for name, value in call.items() if name != "model"}, model=THINKER) == {
        "model": "gpt-5", "max_tokens": 300, "stream": True, "stream_options": {"include_usage": True},
        "temperature": 0.5, "top_p": 0.9,
        "messages": [
            {"role": "system", "content": "Be brief.\n\nBe kind."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aWNvbg=="}},
                {"type": "image_url", "image_url": {"url": "https://pictures.example/a.jpg"}},
                {"type": "text", "text": "of a house"},
                {"type": "file", "file": {"filename": "plan.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
                {"type": "text", "text": "note"},
                {"type": "text", "text": "Grüße"},
                {"type": "text", "text": "inner"},
                {"type": "text", "text": "Ulm\nhttps://ulm.example\na town"},
            ]},
        ],
        "stop": ["END"],
        "tools": [{"type": "function", "function": WEATHER["function"] | {"strict": True}}],
        "tool_choice": "required", "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "schema": {"type": "object"}, "strict": True}},
        "reasoning_effort": "high", "user": "apart-7", "service_tier": "default",
    }  # fmt: skip


def test_parallel_tool_calls_and_their_results():
    history = [
        *HELLO,
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Both towns.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "c2VjcmV0"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"town": "Ulm", "id": 2**70 + 1}},
            {"type": "tool_use", "id": "toolu_2", "name": "map", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain", "is_error": True},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [
                {"type": "text", "text": "a map"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aWNvbg=="}},
            ]},
            {"type": "text", "text": "And tomorrow?"},
        ]},
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Sun."},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]},
    ]  # fmt: skip
    chat = messages_of(*history, model=THINKER)
    arguments = [call["function"].pop("arguments") for call in chat[1]["tool_calls"]]
    assert list(map(json.loads, arguments)) == [{"town": "Ulm", "id": 2**70 + 1}, {}]
    assert chat == [
        *HELLO,
        {"role": "assistant", "content": "I look.", "reasoning_content": "Both towns.", "tool_calls": [
            {"id": "toolu_1", "type": "function", "function": {"name": "weather"}},
            {"id": "toolu_2", "type": "function", "function": {"name": "map"}},
        ]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "a map"},
        {"role": "user", "content": [
            {"type": "text", "text": "From the result of tool call toolu_2:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aWNvbg=="}},
            {"type": "text", "text": "And tomorrow?"},
        ]},
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Sun."},
        {"role": "tool", "tool_call_id": "toolu_1", "content": ""},
    ]  # fmt: skip
    assert "reasoning_content" not in messages_of(*history)[1]


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 32_000}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "xhigh"),
    ],
)
def test_thinking_becomes_an_effort_where_a_model_takes_one(fields, effort):
    assert translated(model=THINKER, **fields).get("reasoning_effort") == effort
    assert "reasoning_effort" not in translated(**fields)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "weather"}, {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"parallel_tool_calls": False}),
    ],
)  # fmt: skip
def test_tool_choice(choice, expected):
    chat = translated(tools=[WEATHER_THERE], tool_choice=choice)
    assert {name: chat[name] for name in ("tool_choice", "parallel_tool_calls") if name in chat} == expected


def test_a_provider_gets_the_names_that_it_knows():
    assert "max_completion_tokens" in translated(model=ChatModel("m", DIALECTS["openai"]))
    mistral = translated(model=ChatModel("m", DIALECTS["mistral"]), stream=True, metadata={"user_id": "u"})
    assert mistral == {"model": "m", "max_tokens": 100, "messages": HELLO, "stream": True}
    assert refused(model=ChatModel("m", DIALECTS["openai"]), top_k=4).param == "top_k"
    engine = chat_request(
        json.dumps({"max_tokens": 9, "messages": HELLO, "top_k": 4}).encode(),
        ChatModel("m", DIALECTS["vllm"]),
    )
    assert json.loads(engine)["top_k"] == 4


def test_gemini_gets_a_word_for_the_signatures_that_messages_have_no_place_for():
    calls = [{"type": "tool_use", "id": f"t{n}", "name": "f", "input": {}} for n in range(2)]
    history = [*HELLO, {"role": "assistant", "content": calls}]
    first, second = messages_of(*history, model=ChatModel("m", DIALECTS["gemini"]))[1]["tool_calls"]
    assert first["extra_content"] == {"google": {"thought_signature": "skip_thought_signature_validator"}}
    assert "extra_content" not in second
    assert "extra_content" not in messages_of(*history)[1]["tool_calls"][0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("container", "c_1"), ("mcp_servers", [{"url": "https://m.example"}]), ("inference_geo", "us"),
        ("speed", "fast"), ("fallbacks", [{}]), ("thread", {}), ("brand_new", 1), ("diagnostics", {}),
        ("context_management", {"edits": [{"type": "clear_tool_uses_20250919"}]}),
        ("max_tokens", 0), ("stop_sequences", "END"), ("service_tier", "batch"), ("temperature", "hot"),
        ("output_config", {"task_budget": {}}), ("output_config", {"effort": "some"}), ("tool_choice", []),
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}]), ("tools", [{"name": "no schema"}]),
        ("tools", [{"type": "bash_20250124", "name": "bash"}]), ("tools", [WEATHER_THERE | {"defer_loading": True}]),
        ("system", [{"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}]),
    ],
)  # fmt: skip
def test_what_has_no_equal_is_refused_by_name(name, value):
    refusal = refused(**{name: value})
    assert refusal.param.startswith(name)


@pytest.mark.parametrize(
    ("name", "value"), [(name, one) for name, idle in IDLE.items() for one in (*idle, None)]
)
def test_fields_that_ask_for_nothing_are_omitted(name, value):
    assert translated(**{name: value}) == translated()


def test_forgetting_thoughts_asks_for_nothing_where_none_are_sent():
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}]
    assert translated(context_management={"edits": edits}) == translated()


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "messages[0].content[0].source.type"),
        ({"type": "document", "source": {"type": "url", "url": "https://a.example"}},
         "messages[0].content[0].source.type"),
        ({"type": "container_upload", "file_id": "f"}, "messages[0].content[0].type"),
        ({"type": "tool_result"}, "messages[0].content[0].tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference", "tool_name": "x"}]},
         "messages[0].content[0].content[0].type"),
    ],
)  # fmt: skip
def test_a_block_that_has_no_equal_is_refused_by_its_path(block, param):
    assert refused([{"role": "user", "content": [block]}]).param == param


def test_a_block_of_a_servers_tool_is_refused_in_an_answer_too():
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    assert refused([{"role": "assistant", "content": [block]}]).param == "messages[0].content[0].type"


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_arguments_of_any_tool_survive(arguments):
    block = {"type": "tool_use", "id": "t", "name": "f", "input": arguments}
    call = messages_of({"role": "assistant", "content": [block]})[0]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == arguments


@given(st.dictionaries(st.sampled_from(
    ["messages", "system", "max_tokens", "stop_sequences", "temperature", "tools", "tool_choice", "output_config",
     "thinking", "stream", "metadata", "service_tier", "top_k", "context_management", "speed"]), JSON))  # fmt: skip
def test_nonsense_is_refused_and_never_fails_otherwise(fields):
    raw = json.dumps({"model": "m", "max_tokens": 5, "messages": HELLO, **fields}).encode()
    for model in (PLAIN, THINKER):
        with contextlib.suppress(Refusal):
            assert json.loads(chat_request(raw, model))["model"] == model.name
    with contextlib.suppress(Refusal):
        body = Body(raw)
        check_call(body)
        assert json.loads(passed_call(body, "claude", user_of(body)))["model"] == "claude"


def test_the_size_of_a_prompt_is_estimated_without_a_maximum():
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 3000}]}).encode()
    tokens = count_tokens(raw, PLAIN)
    assert 900 < tokens < 1200
    assert count_answer(tokens) == b'{"input_tokens":%d}' % tokens


RAW = b"""{ "model" : "public", "max_tokens": 12, "stream": true, "messages": [
  {"role": "user", "content": "Gr\\u00fc\\u00dfe 1.0000000000000000000001"} ], "metadata": {"user_id": "anna"},
  "tools": [{"name": "f", "input_schema": {"big": 123456789012345678901234567890}},
            {"type": "bash_20250124", "name": "bash"}],
  "temperature": 1e0, "thinking": {"type": "adaptive"}}"""


def test_a_call_to_a_messages_backend_keeps_the_clients_bytes():
    body = Body(RAW)
    check_call(body)
    assert user_of(body) == "anna"
    assert passed_call(body, "claude-x", "apart-1") == RAW.replace(b'"public"', b'"claude-x"').replace(
        b'{"user_id": "anna"}', b'{"user_id":"apart-1"}'
    )
    assert passed_call(body, "claude-x", None) == RAW.replace(b'"public"', b'"claude-x"')


def test_thoughts_of_other_models_are_not_sent_to_anthropic():
    """The gateway gives them an empty signature, which Anthropic would refuse."""
    own = {"type": "thinking", "thinking": "mine", "signature": "c2ln"}
    said = [{"type": "thinking", "thinking": "theirs", "signature": ""}, own, {"type": "text", "text": "ok"}]
    call = {"model": "m", "max_tokens": 1, "messages": [*HELLO, {"role": "assistant", "content": said}]}
    passed = json.loads(passed_call(Body(json.dumps(call).encode()), "claude", None))
    assert passed["messages"] == [*HELLO, {"role": "assistant", "content": said[1:]}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("container", "c"), ("speed", "fast"),
        ("mcp_servers", [{}]), ("inference_geo", "eu"), ("fallbacks", [{}]), ("brand_new", 1), ("user_profile_id", "u"),
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}]),
        ("tools", [{"type": "code_execution_20260521", "name": "code_execution"}]),
    ],
)  # fmt: skip
def test_what_is_not_metered_or_not_the_tenants_does_not_reach_a_messages_backend(name, value):
    call = {"model": "m", "max_tokens": 1, "messages": HELLO, name: value}
    with pytest.raises(Refusal) as caught:
        check_call(Body(json.dumps(call).encode()))
    assert caught.value.param.startswith(name)


def test_harmless_fields_and_tools_of_clients_do():
    call = {
        "model": "m", "max_tokens": 0, "messages": HELLO, "speed": "standard", "context_management": {"edits": []},
        "tools": [WEATHER_THERE, {"type": "custom", "name": "c"}, {"type": "text_editor_20250728", "name": "e"}],
    }  # fmt: skip
    check_call(Body(json.dumps(call).encode()))


@pytest.mark.parametrize(
    ("version", "betas", "expected"),
    [
        ("2023-06-01", None, {"anthropic-version": "2023-06-01"}),
        ("2026-10-21", "context-1m-2025-08-07, oauth-2025-04-20",
         {"anthropic-version": "2026-10-21", "anthropic-beta": "context-1m-2025-08-07"}),
        ("latest", "a\r\nx-evil: 1", {}),
        (None, "oauth-2025-04-20", {}),
    ],
)  # fmt: skip
def test_only_well_formed_headers_of_the_client_are_passed_on(version, betas, expected):
    assert passed_headers(version, betas) == expected
