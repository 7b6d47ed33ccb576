"""Pictures, documents, thoughts and cached tokens from both official clients to backends of both dialects."""

import base64
import json

import pytest

from gateway.contract import RouteConfig
from gateway.proxy.dialects.anthropic_client.parsed import parse_messages
from gateway.proxy.index import Route
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.responses.parsed import parse_responses
from tests.gateway.scripted_backend import add_route, chunk, plain
from tests.gateway.test_calls_to_providers import MESSAGE, MODEL, outside, sse, target
from tests.gateway.test_messages_api import DONE, END, say, stream

__all__ = ["outside"]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"p" * 30).decode()
PDF = base64.b64encode(b"%PDF-1.7 " + b"d" * 30).decode()
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
NOTE = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A note."}}
ASKED = {"type": "text", "text": "What is it?"}
MESSAGE_OF_MEDIA = [{"role": "user", "content": [PICTURE, DOCUMENT, NOTE, ASKED]}]
CHAT_PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
CHAT_FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
CHAT_OF_MEDIA = [{"role": "user", "content": [CHAT_PICTURE, CHAT_FILE, ASKED]}]
THOUGHT = {"type": "thinking", "thinking": "A cat?", "signature": "c2lnbmVk"}
CACHED = {
    "input_tokens": 12,
    "output_tokens": 9,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
}
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5},
}
THINKING = sse(
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": CACHED | {"output_tokens": 1}},
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "A cat?"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "c2lnbmVk"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "It is a cat."}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
)
WHOLE = {**MESSAGE, "content": [THOUGHT, {"type": "text", "text": "It is a cat."}], "usage": CACHED}
COUNTED = {"input": 12, "cache_read": 5, "cache_write": 3, "output": 9}


@pytest.fixture
def key_to(shared_rig, outside):
    """A key for a model behind a provider of a dialect."""

    def key(dialect):
        if dialect == "anthropic":
            return add_route(shared_rig, MODEL, target(shared_rig, outside, dialect))
        shared_rig.routes.append(RouteConfig(model=MODEL, modes=["chat"], targets=[outside.backend()]))
        return shared_rig.new_key(models=[MODEL])

    return key


@pytest.mark.parametrize("is_streamed", [False, True])
def test_anthropics_client_at_a_chat_backend(shared_rig, outside, key_to, is_streamed):
    key = key_to("chat")
    thought = {"content": "It is a cat.", "reasoning_content": "A cat?"}
    if is_streamed:
        pieces = [
            chunk(choices=[{"index": 0, "delta": {name: text}, "finish_reason": None}])
            for name, text in (("reasoning_content", "A cat?"), ("content", "It is a cat."))
        ]
        outside.says(events=[*pieces, chunk(**END), chunk(choices=[], usage=USAGE), DONE])
        answer, texts = stream(shared_rig, key, MODEL, messages=MESSAGE_OF_MEDIA)
        assert texts == ["It is a cat."]
    else:
        message = {"role": "assistant", **thought}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        outside.says(plain(choices=[choice], usage=USAGE))
        answer = say(shared_rig, key, MODEL, messages=MESSAGE_OF_MEDIA)
    [turn] = outside.asked[-1][1]["messages"]
    kinds = [part["type"] for part in turn["content"]]
    assert kinds == ["image_url", "file", "text", "text"]
    assert turn["content"][0]["image_url"]["url"] == CHAT_PICTURE["image_url"]["url"]
    assert turn["content"][1]["file"]["file_data"] == CHAT_FILE["file"]["file_data"]
    assert "A note." in turn["content"][2]["text"]
    shown = {block.type: block for block in answer.content}
    assert (shown["thinking"].thinking, shown["text"].text) == ("A cat?", "It is a cat.")
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (15, 5, 9)
    (event,) = shared_rig.events(key, 1)
    assert (event.usage, event.is_exact) == ({"input": 15, "cache_read": 5, "output": 9}, True)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_anthropics_client_at_a_messages_backend(shared_rig, outside, key_to, is_streamed):
    key = key_to("anthropic")
    fields = {"messages": MESSAGE_OF_MEDIA, "max_tokens": 4000}
    fields["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    if is_streamed:
        outside.says(events=THINKING)
        answer, _ = stream(shared_rig, key, MODEL, **fields)
    else:
        outside.says(WHOLE)
        answer = say(shared_rig, key, MODEL, **fields)
    sent = outside.asked[-1][1]
    assert (sent["messages"], sent["thinking"]) == (MESSAGE_OF_MEDIA, fields["thinking"])
    thought, text = answer.content
    assert (thought.thinking, thought.signature, text.text) == ("A cat?", "c2lnbmVk", "It is a cat.")
    usage = answer.usage
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (5, 3)
    (event,) = shared_rig.events(key, 1)
    assert (event.usage, event.is_exact) == (COUNTED, True)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_openais_client_at_a_messages_backend(shared_rig, outside, key_to, is_streamed):
    key = key_to("anthropic")
    fields = {"messages": CHAT_OF_MEDIA, "model": MODEL, "max_tokens": 4000}
    create = shared_rig.client(key).chat.completions.create
    if is_streamed:
        outside.says(events=THINKING)
        pieces = list(create(**fields, stream=True, stream_options={"include_usage": True}))
        deltas = [piece.choices[0].delta for piece in pieces if piece.choices]
        text = "".join(delta.content or "" for delta in deltas)
        thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        usage = pieces[-1].usage
    else:
        outside.says(WHOLE)
        answer = create(**fields)
        message, usage = answer.choices[0].message, answer.usage
        text, thought = message.content, message.reasoning_content
    [turn] = outside.asked[-1][1]["messages"]
    picture, document, asked = turn["content"]
    assert (picture, document["source"], asked["text"]) == (PICTURE, DOCUMENT["source"], "What is it?")
    assert (text, thought) == ("It is a cat.", "A cat?")
    assert (usage.prompt_tokens, usage.completion_tokens) == (20, 9)
    assert usage.prompt_tokens_details.cached_tokens == 5
    (event,) = shared_rig.events(key, 1)
    assert (event.usage, event.is_exact) == (COUNTED, True)


def test_openais_client_at_a_chat_backend_has_its_parts_passed_as_they_are(shared_rig, outside, key_to):
    key = key_to("chat")
    create = shared_rig.client(key).chat.completions.create
    create(model=MODEL, messages=CHAT_OF_MEDIA, logprobs=True, top_logprobs=2, n=1)
    sent = outside.asked[-1][1]
    assert (sent["messages"], sent["logprobs"], sent["top_logprobs"]) == (CHAT_OF_MEDIA, True, 2)


@pytest.mark.parametrize("words", [10, 64_000])
def test_media_may_have_few_tokens_and_words_may_not(words):
    """Sixteen thumbnails have some 4 tokens each at Qwen's models, and a second of speech ten at OpenAI's."""
    data, text = base64.b64encode(b"p" * 90).decode(), "word " * (words // 5)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    inputs = [{"type": "input_image", "image_url": f"data:image/png;base64,{data}"}] * 16
    calls = (
        (lambda raw: parse_request(raw, "chat"), {"messages": turn([CHAT_PICTURE] * 16, text)}),
        (parse_messages, {"messages": turn([picture] * 16, text), "max_tokens": 9}),
        (parse_responses, {"input": [{"role": "user", "content": [*inputs, {"type": "input_text", "text": text}]}]}),
    )  # fmt: skip
    for parse, call_of in calls:
        parsed = parse(json.dumps({"model": "m", **call_of}).encode())
        bounds = parsed.bounds(Route(RouteConfig(model="m", modes=["chat"]), ()), 1)
        assert bounds.input_estimate > 16_000
        assert words // 64 <= bounds.input_least < words // 64 + 60


def turn(parts, text):
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def test_a_thumbnail_is_billed_as_its_backend_counts_it(shared_rig, outside, key_to):
    key = key_to("chat")
    outside.says(plain(usage={"prompt_tokens": 26, "completion_tokens": 6, "total_tokens": 32}))
    asked = turn([CHAT_PICTURE] * 3, "What?")
    shared_rig.client(key).chat.completions.create(model=MODEL, messages=asked)
    (event,) = shared_rig.events(key, 1)
    assert (event.usage, event.is_exact) == ({"input": 26, "output": 6}, True)
