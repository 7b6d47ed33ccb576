"""A chat call becomes exactly the Messages call that means the same, or is refused by the name of what has no equal."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.dialects.anthropic_backend.fields import IDLE, OMITTED
from gateway.proxy.dialects.anthropic_backend.request import MessagesModel, messages_request
from gateway.proxy.dialects.anthropic_backend.thinking import thinking_form
from gateway.proxy.errors import Refusal
from tests.gateway.dialects.typed import require_messages_call

NEW = MessagesModel("claude-sonnet-5-5", longest_answer=128_000)
OLD = MessagesModel("claude-haiku-4-5-20251001", longest_answer=64_000)
HELLO = [{"role": "user", "content": "hello"}]
ASKED = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
PDF = base64.b64encode(b"%PDF-1.7 ...").decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
WEATHER_THERE = {
    "name": "weather",
    "description": "The weather of a town",
    "input_schema": WEATHER["function"]["parameters"],
}


def translated(messages=HELLO, model=NEW, **fields):
    """The Messages call, checked against the types of Anthropic's client."""
    raw = json.dumps({"model": "public-name", "messages": messages, **fields}).encode()
    return require_messages_call(json.loads(messages_request(raw, model)))


def turns(*messages):
    return translated(list(messages))["messages"]


def refused(messages=HELLO, model=NEW, **fields):
    with pytest.raises(Refusal) as caught:
        translated(messages, model, **fields)
    assert caught.value.status == 400
    return caught.value


def test_the_smallest_call():
    assert translated() == {"model": "claude-sonnet-5-5", "max_tokens": 128_000, "messages": [ASKED]}


def test_a_call_with_everything():
    assert translated(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aWNvbg==", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://pictures.example/a.jpg"}},
                {"type": "file", "file": {"filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
            ]},
        ],
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=300,
        temperature=0.25,
        stop=["END", "STOP"],
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {
            "name": "answer", "strict": True, "schema": {"type": "object", "additionalProperties": False}}},
        user="apart-7",
        service_tier="default",
    ) == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 300,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aWNvbg=="}},
            {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.jpg"}},
            {"type": "document", "title": "plan.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ]}],
        "temperature": 0.25,
        "stop_sequences": ["END", "STOP"],
        "tools": [WEATHER_THERE],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"format": {"type": "json_schema",
                                     "schema": {"type": "object", "additionalProperties": False}}},
        "metadata": {"user_id": "apart-7"},
        "service_tier": "standard_only",
    }  # fmt: skip


def test_parallel_tool_calls_and_their_results():
    calls = [
        {"id": f"call_{town}", "type": "function",
         "function": {"name": "weather", "arguments": json.dumps({"town": town, "id": 2**70 + 1})}}
        for town in ("Ulm", "Köln")
    ]  # fmt: skip
    assert turns(
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_Ulm", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_Köln", "content": [{"type": "text", "text": "sun"}]},
        {"role": "user", "content": "And tomorrow?"},
    ) == [
        ASKED,
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "call_Ulm", "name": "weather", "input": {"town": "Ulm", "id": 2**70 + 1}},
            {"type": "tool_use", "id": SAFE_ID, "name": "weather", "input": {"town": "Köln", "id": 2**70 + 1}},
        ]},
        # All results stand in the turn after the calls, before anything else.
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_Ulm", "content": [{"type": "text", "text": "rain"}]},
            {"type": "tool_result", "tool_use_id": SAFE_ID, "content": [{"type": "text", "text": "sun"}]},
            {"type": "text", "text": "And tomorrow?"},
        ]},
    ]  # fmt: skip


# Anthropic takes no other characters; the same id always becomes the same.
SAFE_ID = "call_e5aecdd5a831a8b581370335"


def test_instructions_from_the_middle_move_into_the_system_prompt_in_their_order():
    call = translated(
        [
            {"role": "system", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            *HELLO,
            {"role": "assistant", "content": "hi"},
            {"role": "developer", "content": "three", "name": "operator"},
            {"role": "user", "content": "bye"},
        ]
    )
    assert [block["text"] for block in call["system"]] == ["one", "two", "three"]
    assert [turn["role"] for turn in call["messages"]] == ["user", "assistant", "user"]


def test_what_an_answer_carried_goes_back_as_it_came():
    assert turns(
        *HELLO,
        {
            "role": "assistant",
            "content": "Sunny.",
            "refusal": None,
            "annotations": [],
            "reasoning_content": "Let me think.And again.",
            "thinking_blocks": [
                {"index": 0, "type": "thinking", "characters": 13, "signature": "c2ln"},
                {"index": 1, "type": "redacted_thinking", "encrypted_content": "c2VjcmV0"},
                {"index": 2, "type": "thinking", "characters": 10, "signature": "bW9yZQ=="},
            ],
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": ""}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    )[1:] == [
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Let me think.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "c2VjcmV0"},
            {"type": "thinking", "thinking": "And again.", "signature": "bW9yZQ=="},
            {"type": "text", "text": "Sunny."},
            {"type": "tool_use", "id": "call_1", "name": "now", "input": {}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1"}]},
    ]  # fmt: skip


def test_thoughts_with_their_own_words_are_taken_too_and_unsigned_ones_left_out():
    """LiteLLM gives clients the words inside of each block."""
    block = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    said = {"role": "assistant", "content": "ok", "reasoning_content": "hm", "thinking_blocks": [block]}
    assert turns(*HELLO, said)[1]["content"] == [block, {"type": "text", "text": "ok"}]
    said["thinking_blocks"] = [{**block, "signature": ""}]
    assert turns(*HELLO, said)[1]["content"] == [{"type": "text", "text": "ok"}]


@pytest.mark.parametrize(
    "changed", [{"reasoning_content": "short"}, {"reasoning_content": None}, {"thinking_blocks": "none"}]
)
def test_thoughts_that_do_not_fit_their_words_are_refused(changed):
    block = {"index": 0, "type": "thinking", "characters": 13, "signature": "c2ln"}
    said = {
        "role": "assistant",
        "content": "ok",
        "reasoning_content": "Let me think.",
        "thinking_blocks": [block],
    }
    assert refused([*HELLO, {**said, **changed}]).param == "messages[1].thinking_blocks"


@pytest.mark.parametrize(
    ("data", "source"),
    [
        ("data:text/plain;charset=utf-8;base64," + base64.b64encode("Grüße".encode()).decode(),
         {"type": "text", "media_type": "text/plain", "data": "Grüße"}),
        ("data:application/json;base64,e30=", {"type": "text", "media_type": "text/plain", "data": "{}"}),
        ("https://files.example/a.pdf", {"type": "url", "url": "https://files.example/a.pdf"}),
    ],
)  # fmt: skip
def test_files(data, source):
    content = [{"type": "file", "file": {"file_data": data}}]
    assert turns({"role": "user", "content": content})[0]["content"] == [
        {"type": "document", "source": source}
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", None),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "tool", "name": "weather"}),
    ],
)
def test_tool_choice(choice, expected):
    assert translated(tools=[WEATHER], tool_choice=choice).get("tool_choice") == expected


def test_allowed_tools_leave_out_the_others():
    other = {"type": "function", "function": {"name": "other", "strict": True}}
    allowed = {
        "mode": "required",
        "tools": [{"type": "function", "function": {"name": "other"}}],
    }
    call = translated(tools=[WEATHER, other], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert call["tools"] == [
        {"name": "other", "input_schema": {"type": "object", "properties": {}}, "strict": True}
    ]
    assert call["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("effort", "model", "expected"),
    [
        ("none", NEW, {"thinking": {"type": "disabled"}}),
        ("minimal", NEW, {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}),
        ("high", NEW, {"thinking": ADAPTIVE, "output_config": {"effort": "high"}}),
        ("none", OLD, {}),
        ("medium", OLD, {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        ("max", OLD, {"thinking": {"type": "enabled", "budget_tokens": 32_000}}),
    ],
)  # fmt: skip
def test_reasoning_effort_becomes_what_the_model_takes(effort, model, expected):
    call = translated(model=model, reasoning_effort=effort)
    assert {name: call[name] for name in ("thinking", "output_config") if name in call} == expected


def test_a_budget_leaves_half_of_the_answer():
    call = translated(model=OLD, reasoning_effort="high", max_completion_tokens=3000)
    assert call["thinking"] == {"type": "enabled", "budget_tokens": 1500}
    assert refused(model=OLD, reasoning_effort="low", max_completion_tokens=2047).param == "reasoning_effort"


def test_a_loop_of_tools_whose_thoughts_the_client_dropped_goes_on_without_a_budget():
    """Anthropic refuses a budget there, and most clients of OpenAI's dialect drop what they do not know."""
    call = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "noon"}
    assert "thinking" not in translated([*HELLO, said, result], OLD, reasoning_effort="high")
    assert translated([*HELLO, said, result], NEW, reasoning_effort="high")["thinking"]["type"] == "adaptive"
    said |= {"reasoning_content": "hm", "thinking_blocks": [
        {"index": 0, "type": "thinking", "characters": 2, "signature": "c2ln"}]}  # fmt: skip
    assert translated([*HELLO, said, result], OLD, reasoning_effort="high")["thinking"]["type"] == "enabled"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("claude-haiku-4-5-20251001", "budget"), ("claude-opus-4-20250514", "budget"),
        ("claude-3-7-sonnet-latest", "budget"),
        ("anthropic.claude-opus-4-1-20250805-v1:0", "budget"), ("claude-sonnet-4-6", "adaptive"),
        ("claude-fable-5", "adaptive"), ("claude-mythos-preview", "adaptive"), ("our-deployment", "adaptive"),
        ("claude-opus-10-1", "adaptive"),
    ],
)  # fmt: skip
def test_how_a_model_thinks_follows_from_its_version(name, form):
    assert thinking_form(name) == form
    assert MessagesModel(name, thinking="budget").thinking_form == "budget"


def test_without_a_maximum_an_answer_may_be_as_long_as_the_model_allows():
    assert translated(model=MessagesModel("claude-x"))["max_tokens"] == 32_000
    assert translated(max_tokens=7)["max_tokens"] == 7
    assert translated(max_tokens=7, max_completion_tokens=9)["max_tokens"] == 9


def test_default_temperatures_are_left_out_since_newer_models_take_none():
    call = translated(temperature=1, top_p=1.0, top_k=-1)
    assert not {"temperature", "top_p", "top_k"} & set(call)
    assert translated(temperature=0, top_k=40)["temperature"] == 0
    assert refused(temperature=1.5).param == "temperature"
    assert refused(top_p=True).param == "top_p"


@pytest.mark.parametrize("name", OMITTED)
def test_fields_that_change_nothing_are_omitted(name):
    assert translated(**{name: {"any": "thing"}}) == translated()


@pytest.mark.parametrize(
    ("name", "value"), [(name, one) for name, idle in IDLE.items() for one in (*idle, None)]
)
def test_fields_that_ask_for_nothing_are_omitted(name, value):
    assert translated(**{name: value}) == translated()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2), ("n", True), ("logprobs", True), ("top_logprobs", 3), ("seed", 7), ("logit_bias", {"50": 1}),
        ("presence_penalty", 0.5), ("frequency_penalty", -1), ("verbosity", "low"), ("modalities", ["text", "audio"]),
        ("store", True), ("functions", [{"name": "f"}]), ("function_call", "auto"), ("web_search_options", {}),
        ("moderation", {"model": "m"}), ("service_tier", "flex"), ("top_kk", 3), ("guided_json", {}),
        ("response_format", {"type": "json_object"}), ("stop", [" \n"]), ("reasoning_effort", "hard"),
        ("thinking", "yes"), ("tools", [{"type": "custom", "custom": {"name": "c"}}]), ("max_tokens", 0),
        ("tool_choice", "required"), ("stop", 7), ("top_k", 1.5),
    ],
)  # fmt: skip
def test_what_has_no_equal_is_refused_by_name(name, value):
    refusal = refused(**{name: value})
    assert refusal.param.startswith(name)
    assert f"`{name}" in str(refusal)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}]},
         "messages[0].content[0].image_url.url"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
         "messages[0].content[0].file.file_data"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}]},
         "messages[0].content[0].file.file_data"),
        ({"role": "user", "content": " "}, "messages[0].content"),
        ({"role": "user", "content": 7}, "messages[0].content"),
        ({"role": "user", "content": "a", "mood": "good"}, "messages[0].mood"),
        ({"role": "user", "content": "a", "cache_control": {"type": "forever"}}, "messages[0].cache_control"),
        ({"role": "system", "content": [{"type": "image_url", "image_url": "https://a.example/b.png"}]},
         "messages[0].content"),
        ({"role": "function", "content": "a"}, "messages[0].role"),
        ({"role": "tool", "content": "a"}, "messages[0].tool_call_id"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages[0].function_call"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages[0].audio"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}, "messages[0].tool_calls[0]"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[1]"}}]},
         "messages[0].tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{" * 9}}]},
         "messages[0].tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [
            {"id": "c", "function": {"name": "f", "arguments": '{"a":' * 500 + "1" + "}" * 500}}]},
         "messages[0].tool_calls[0].function.arguments"),
    ],
)  # fmt: skip
def test_a_part_of_a_message_that_has_no_equal_is_refused_by_its_path(message, param):
    assert refused([message]).param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_arguments_of_any_tool_survive(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps(arguments)}}
    raw = json.dumps(
        {"model": "m", "messages": [*HELLO, {"role": "assistant", "tool_calls": [call]}]}
    ).encode()
    block = json.loads(messages_request(raw, NEW))["messages"][1]["content"][0]
    assert block["input"] == arguments


@given(st.dictionaries(st.sampled_from(
    ["messages", "max_tokens", "stop", "temperature", "tools", "tool_choice", "response_format", "thinking", "stream",
     "reasoning_effort", "user", "service_tier", "top_k", "n", "functions", "cache_control"]), JSON))  # fmt: skip
def test_nonsense_is_refused_and_never_fails_otherwise(fields):
    raw = json.dumps({"model": "m", "messages": HELLO, **fields}).encode()
    with contextlib.suppress(Refusal):
        assert json.loads(messages_request(raw, NEW))["model"] == NEW.name
