"""Whole answers of a Messages backend, and OpenAI's own client in front of one."""

import json

import openai
import pytest
from openai.types.chat import ChatCompletion

from gateway.proxy.dialects.anthropic_backend.answer import FINISH_REASONS, chat_completion
from gateway.proxy.dialects.anthropic_backend.errors import chat_error, chat_status
from gateway.proxy.dialects.anthropic_backend.request import MessagesModel, messages_request
from gateway.proxy.whole_answers import read_answer
from tests.gateway.dialects.anthropic_events import (
    CONTENT,
    COUNTS,
    EVENTS,
    SAID,
    SECRETS,
    WHO,
    WHOLE_USAGE,
    counted,
    end,
    message,
    read,
    start,
    text,
    thoughts,
)
from tests.gateway.dialects.typed import require_messages_call, sse, stand_in


def test_a_whole_answer():
    completion = json.loads(chat_completion(message(CONTENT, "tool_use"), WHO))
    ChatCompletion.model_validate(completion)
    arguments = [
        call["function"].pop("arguments") for call in completion["choices"][0]["message"]["tool_calls"]
    ]
    assert list(map(json.loads, arguments)) == [{"town": "Köln", "n": 2**70 + 1}, {}]
    assert completion == {
        "id": "chatcmpl-0192-call",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "aurora",
        "service_tier": "default",
        "usage": WHOLE_USAGE,
        "choices": [{"index": 0, "logprobs": None, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Grüße aus Köln", "refusal": None,
            "reasoning_content": "Let me look. ",
            "thinking_blocks": SAID["thinking_blocks"],
            "tool_calls": [
                {"id": "toolu_3", "type": "function", "function": {"name": "weather"}},
                {"id": "toolu_4", "type": "function", "function": {"name": "now"}},
            ],
        }}],
    }  # fmt: skip


def test_a_whole_answer_is_accepted_and_counted_as_the_stream_of_it():
    answer = read_answer(chat_completion(message(CONTENT, "tool_use"), WHO), "chat")
    assert counted(answer) == (COUNTS, True)
    assert answer.is_certain
    assert not any(one.encode() in answer.content for one in SECRETS)


def test_a_thought_is_counted_once():
    """Its signature and its size go beside its words, not the words again."""
    plain = [
        {"type": "thinking", "thinking": "x" * 300, "signature": "s" * 900},
        {"type": "text", "text": "y" * 30},
    ]
    assert read_answer(chat_completion(message(plain), WHO), "chat").delivered.bytes == 330
    _, stream, _ = read([sse(start(), *thoughts(0, "s" * 900, "x" * 300), *text(1, "y" * 30), *end())])
    assert stream.delivered.bytes == 330


@pytest.mark.parametrize(("reason", "expected"), FINISH_REASONS.items())
def test_why_an_answer_ended(reason, expected):
    completion = json.loads(chat_completion(message([{"type": "text", "text": "hi"}], reason), WHO))
    assert completion["choices"][0]["finish_reason"] == expected
    _, stream, _ = read([sse(start(), *text(0, "hi"), *end(reason))])
    assert stream.is_finished


def test_an_answer_that_did_not_end_says_so():
    answer = read_answer(chat_completion(message([{"type": "text", "text": "hi"}], None), WHO), "chat")
    assert not answer.is_certain


def test_an_error_instead_of_an_answer():
    content = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert json.loads(chat_completion(json.dumps(content).encode(), WHO)) == chat_error(content)
    assert chat_error(content) == {
        "error": {
            "message": "Overloaded",
            "type": "server_error",
            "param": None,
            "code": "overloaded",
            "status": 503,
        }
    }
    assert (chat_status(529), chat_status(429)) == (503, 429)


@pytest.mark.parametrize("original", [b"oops", b"[]", b'{"choices": []}', b'{"content": "text"}'])
def test_what_is_no_answer_stays_as_it_is(original):
    assert chat_completion(original, WHO) == original


@pytest.fixture
def client_of():
    """OpenAI's client in front of a translated Messages backend that answers with these events, or this answer."""

    def made(events=(), whole=b"", seen=None):
        def answer(path, headers, body):
            assert path == "/v1/chat/completions"
            call = json.loads(messages_request(body, MessagesModel("claude-sonnet-5-5")))
            require_messages_call(call)
            if seen is not None:
                seen.append(call)
            if not call.get("stream"):
                content = read_answer(chat_completion(whole, WHO), "chat").content
                return (
                    200,
                    {"content-type": "application/json", "content-length": str(len(content))},
                    [content],
                )
            stream = sse(*events)
            pieces = [stream[at : at + 7] for at in range(0, len(stream), 7)]
            return 200, {"content-type": "text/event-stream"}, [read(pieces)[0], b"data: [DONE]\n\n"]

        return stand_in(answer)

    return made


def test_openais_client_puts_a_stream_together(client_of):
    with client_of(EVENTS) as url:
        client = openai.OpenAI(api_key="sk-test", base_url=f"{url}/v1", max_retries=0)
        with client.chat.completions.stream(
            model="aurora",
            messages=[{"role": "user", "content": "hello"}],
            stream_options={"include_usage": True},
        ) as stream:
            completion = stream.get_final_completion()
    said = completion.choices[0].message
    assert said.content == SAID["content"]
    assert said.model_extra["reasoning_content"] == SAID["reasoning_content"]
    assert said.model_extra["thinking_blocks"] == SAID["thinking_blocks"]
    assert [
        (one.id, one.function.name, json.loads(one.function.arguments)) for one in said.tool_calls
    ] == SAID["tools"]
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage.prompt_tokens_details.cached_tokens == 50
    assert completion.usage.completion_tokens_details.reasoning_tokens == 8
    assert completion.usage.total_tokens == 129


def test_openais_client_sends_an_answer_back_and_its_thoughts_stay_signed(client_of):
    seen = []
    with client_of(whole=message(CONTENT, "tool_use"), seen=seen) as url:
        client = openai.OpenAI(api_key="sk-test", base_url=f"{url}/v1", max_retries=0)
        messages = [{"role": "user", "content": "hello"}]
        said = client.chat.completions.create(model="aurora", messages=messages).choices[0].message
        results = [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in said.tool_calls]
        client.chat.completions.create(model="aurora", messages=[*messages, said, *results])
    back = seen[1]["messages"][1]["content"]
    assert back == [
        *CONTENT[:2],
        {"type": "text", "text": "Grüße aus Köln"},
        *CONTENT[4:],
    ]
