"""A client may say anything in its call: that passes, or is refused as its own fault, and is never a fault of ours."""

import json

import pytest

from gateway.contract import ConfigSnapshot, SettingsConfig
from gateway.proxy.dialects.anthropic_backend.request import MessagesModel, messages_request
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Index
from gateway.proxy.messages_calls import put_call_apart
from tests.gateway.test_odd_answers import Called, variants_of

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
PAGES = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "f"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
TEXT = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
USED = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
COMMON = {
    "model": "m", "max_tokens": 5, "temperature": 1, "top_p": 1, "stop": ["a"], "stream": True, "user": "u",
    "messages": [
        {"role": "system", "content": "s", "name": "n"}, {"role": "user", "content": [TEXT, PICTURE, PAGES]},
        {"role": "assistant", "content": None, "tool_calls": [USED]},
        {"role": "tool", "tool_call_id": "t", "content": "r"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}], "parallel_tool_calls": True, "service_tier": "auto",
    "tool_choice": {"type": "function", "function": {"name": "f"}}, "stream_options": {"include_usage": True},
    "reasoning_effort": "low",
}  # fmt: skip
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
CHAT = {
    **COMMON, "messages": [*COMMON["messages"], {"role": "user", "content": [SOUND]}], "n": 1, "seed": 1,
    "response_format": SCHEMA, "logprobs": True, "top_logprobs": 2, "prompt_cache_key": "k", "metadata": {"a": "b"},
    "modalities": ["text"], "audio": {"voice": "a", "format": "wav"}, "prediction": {"type": "content", "content": "x"},
}  # fmt: skip
SHOWN = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
MESSAGES = {
    "model": "m", "max_tokens": 5, "system": [TEXT], "temperature": 1, "top_k": 1, "stop_sequences": ["a"],
    "messages": [
        {"role": "user", "content": [TEXT, SHOWN, {**DOCUMENT, "title": "t", "context": "c"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "x", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": [TEXT], "is_error": False}],
        },
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}], "stream": True,
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "auto",
}  # fmt: skip
RESPONSES = {
    "model": "m", "instructions": "x", "max_output_tokens": 5, "tool_choice": "auto", "store": False, "stream": True,
    "input": [
        {
            "role": "user", "type": "message",
            "content": [
                {"type": "input_text", "text": "x"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "f"},
            ],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}], "include": [], "metadata": {},
    "text": {"format": {"type": "text"}, "verbosity": "low"}, "reasoning": {"effort": "low", "summary": "auto"},
}  # fmt: skip
CALLS = {
    "chat": ("/v1/chat/completions", CHAT),
    "messages for chat": ("/v1/chat/completions", COMMON),
    "chat for messages": ("/v1/messages", MESSAGES),
    "messages": ("/v1/messages", MESSAGES),
    "response": ("/v1/responses", RESPONSES),
    "completion": (
        "/v1/completions",
        {"model": "m", "prompt": ["x", [1, 2]], "max_tokens": 5, "suffix": "s", "n": 1},
    ),
    "embedding": (
        "/v1/embeddings",
        {"model": "m", "input": ["x", [1]], "dimensions": 5, "encoding_format": "float"},
    ),
    "rerank": ("/v1/rerank", {"model": "m", "query": "x", "documents": ["a", {"text": "b"}], "top_n": 1}),
    "moderation": ("/v1/moderations", {"model": "m", "input": [{"type": "text", "text": "x"}, PICTURE]}),
    "image": (
        "/v1/images/generations",
        {"model": "m", "prompt": "x", "n": 1, "size": "1024x1024", "quality": "low"},
    ),
    "speech": (
        "/v1/audio/speech",
        {"model": "m", "input": "x", "voice": "a", "response_format": "mp3", "speed": 1},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_nothing_that_a_call_says_is_our_fault(name):
    path, body = CALLS[name]
    called = Called(path, {}, name)
    settings = SettingsConfig(separation_key="k")
    index = Index(
        ConfigSnapshot(revision=1, issued_at="", keys=[], routes=[called.route.config], settings=settings)
    )

    def sent(said):
        parsed = called.endpoint.read(json.dumps(said).encode(), {})
        called.endpoint.fit(parsed, {}, index, called.route)
        parsed.estimate(called.route, None, 10)
        fields = put_call_apart(parsed, index.separation, "tenant").fields(called.backend.config)
        if not name.startswith("messages"):
            return parsed.body.encode(fields)
        if parsed.relayed is not None:
            return parsed.relayed.payload("up")
        return messages_request(parsed.body.encode(), MessagesModel("up"))

    assert sent(body)
    statuses = {400}
    for place, odd in variants_of(body):
        try:
            sent(odd)
        except Refusal as refusal:
            statuses.add(refusal.status)
        except Exception as error:
            raise AssertionError(f"{name} fails at {place}") from error
    assert statuses == {400}
