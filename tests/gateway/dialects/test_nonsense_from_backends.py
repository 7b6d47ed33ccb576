"""Whatever a backend sends, no translation fails by itself: the gateway's own checks decide what it was."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.dialects.anthropic_backend.answer import chat_completion
from gateway.proxy.dialects.anthropic_backend.errors import chat_error
from gateway.proxy.dialects.anthropic_backend.stream import MessagesToChunks
from gateway.proxy.dialects.anthropic_client.answer import message
from gateway.proxy.dialects.anthropic_client.relay import MessagesRelay, passed_answer
from gateway.proxy.dialects.anthropic_client.stream import ChunksToMessages
from gateway.proxy.whole_answers import read_answer
from tests.gateway.dialects.anthropic_events import WHO, read
from tests.gateway.dialects.test_chat_calls_to_messages import JSON
from tests.gateway.dialects.test_chunks_to_messages import events_of

KINDS = st.sampled_from([
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop", "ping", "error", "text", "thinking", "redacted_thinking", "tool_use", "text_delta",
    "input_json_delta", "signature_delta", "thinking_delta", "new",
])  # fmt: skip
NAMES = st.sampled_from([
    "message", "content_block", "delta", "usage", "index", "error", "text", "thinking", "signature", "data", "input",
    "partial_json", "id", "name", "stop_reason", "output_tokens", "input_tokens", "cache_creation", "content",
    "output_tokens_details",
])  # fmt: skip
EVENT = st.recursive(
    JSON,
    lambda inner: st.fixed_dictionaries({"type": KINDS}, optional={}).flatmap(
        lambda kind: st.dictionaries(NAMES, inner, max_size=4).map(lambda rest: {**rest, **kind})
    ),
    max_leaves=12,
)
CHAT_NAMES = st.sampled_from([
    "choices", "message", "delta", "content", "refusal", "reasoning", "reasoning_content", "tool_calls", "function",
    "function_call", "name", "arguments", "index", "id", "usage", "prompt_tokens", "completion_tokens",
    "finish_reason", "stop_reason", "error",
])  # fmt: skip
CHUNK = st.recursive(
    JSON,
    lambda inner: st.dictionaries(CHAT_NAMES, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=12,
)


def wire(events):
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events)


@given(st.lists(EVENT, max_size=6))
def test_any_events_of_a_messages_backend(events):
    read([wire(events)])
    relay = MessagesRelay(WHO, str)
    relay.feed(wire(events))
    relay.end()
    translator = MessagesToChunks(WHO)
    translator.feed(wire(events))
    json.dumps(translator.usage_so_far)


@given(st.lists(CHUNK.map(lambda choice: {"choices": [choice]}) | CHUNK, max_size=6))
def test_any_chunks(chunks):
    translator = ChunksToMessages(WHO)
    events_of(translator.feed(wire(chunks)) + translator.end())


@given(
    EVENT
    | st.dictionaries(NAMES, EVENT, max_size=5)
    | st.lists(EVENT).map(lambda content: {"content": content})
)
def test_any_whole_answer_of_a_messages_backend(answer):
    original = json.dumps(answer).encode()
    chat_error(answer)
    with contextlib.suppress(FailedAnswer):
        read_answer(chat_completion(original, WHO), "chat")
    with contextlib.suppress(ValueError):
        passed_answer(original, WHO)


@given(st.dictionaries(CHAT_NAMES, CHUNK, max_size=5), CHUNK)
def test_any_completion_that_the_gateway_accepts(said, usage):
    choice = {"index": 0, "message": said, "finish_reason": "stop", **said}
    original = json.dumps({"choices": [choice], "usage": usage}).encode()
    with contextlib.suppress(FailedAnswer):
        content = read_answer(original, "chat").content
        assert json.loads(message(content, WHO))["role"] == "assistant"
