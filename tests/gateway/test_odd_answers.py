"""A backend may say anything in its answer: that passes, or is the fault of the backend, and never one of ours."""

import copy
import json

import pytest

from deployments.providers.dialects import DIALECTS
from gateway.contract import RouteConfig
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.dialects.common import Identity
from gateway.proxy.endpoints import ENDPOINTS
from gateway.proxy.errors import Refusal, error_event
from gateway.proxy.index import Backend, Route
from gateway.proxy.names import Names
from gateway.proxy.streaming import StreamTooStrange
from gateway.proxy.whole_answers import BrokenAnswer
from tests.gateway.targets import target

# Digits that are no number to `int`, two signs, what cannot be a key of a dictionary, and so on.
ODD = ["²", "--5", "٣", "", "429", "NaN", "\ud800", [], [1, "x", {}], [None], {}, {"a": []}, {"type": []}, None, True,
       1e308, -1, 2**70, 429]  # fmt: skip
USAGE = {
    "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip
SAID = {
    "error": None,
    "code": 0,
    "status": "ok",
    "base_resp": {"status_code": 0, "status_msg": "ok"},
    "message": "x",
}
TOOL = {"id": "t", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}}
DELTA = {"role": "assistant", "content": "hi", "tool_calls": [TOOL], "reasoning_content": "x"}
CHOICE = {"index": 0, "logprobs": {"content": [{"token": "h", "logprob": -1}]}, "finish_reason": "stop"}
HEAD = {"id": "c", "created": 1, "model": "up", "service_tier": "default", "usage": USAGE, **SAID}
CHAT = {
    **HEAD,
    "choices": [{**CHOICE, "message": {**DELTA, "refusal": None, "annotations": [], "audio": {"data": "A"}}}],
}
CHUNK = {**HEAD, "choices": [{**CHOICE, "delta": DELTA}]}
TEXT = {
    **HEAD,
    "choices": [{"index": 0, "text": "hi", "logprobs": {"tokens": ["a"]}, "finish_reason": "stop"}],
}
MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "model": "up", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [
        {"type": "text", "text": "hi", "citations": []}, {"type": "thinking", "thinking": "x", "signature": "s"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ],
    "usage": {
        "input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 1}, "service_tier": "standard",
    },
}  # fmt: skip
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": []}},
    {
        "type": "content_block_start", "index": 0,
        "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]  # fmt: skip
SPOKEN = {"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}
RESPONSE = {
    "id": "r", "object": "response", "created_at": 1, "model": "up", "status": "completed", "error": None,
    "incomplete_details": None, "previous_response_id": None,
    "output": [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "x"}], "content": []},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [SPOKEN]},
        {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"},
    ],
    "usage": {
        "input_tokens": 9, "output_tokens": 3, "total_tokens": 12, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}  # fmt: skip
RESPONSE_EVENTS = [
    {"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": RESPONSE["output"][1]},
    {
        "type": "response.output_text.delta",
        "item_id": "m",
        "output_index": 0,
        "content_index": 0,
        "delta": "hi",
    },
    {"type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 2, "delta": "{}"},
    {"type": "response.completed", "response": RESPONSE},
]
EMBEDDING = {"model": "up", "data": [{"index": 0, "embedding": [0.1]}], "usage": {"prompt_tokens": 3}}
RANKS = {
    "id": "r", "results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}],
    "usage": {"total_tokens": 3}, "meta": {"billed_units": {"search_units": 1}},
}  # fmt: skip
VERDICT = {
    "id": "m",
    "results": [{"flagged": False, "category_scores": {"a": 0.1}}],
    "usage": {"prompt_tokens": 3},
}
PICTURE = {
    "created": 1, "data": [{"b64_json": "AAAA", "revised_prompt": "y"}], "size": "1024x1024", "quality": "low",
    "output_format": "png",
    "usage": {"input_tokens": 3, "output_tokens": 5, "input_tokens_details": {"text_tokens": 3}},
}  # fmt: skip
ASKED = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
PLAIN = {
    "chat": ("/v1/chat/completions", ASKED, CHAT),
    "chat for messages": ("/v1/messages", ASKED, CHAT),
    "messages for chat": ("/v1/chat/completions", ASKED, MESSAGE),
    "messages": ("/v1/messages", ASKED, MESSAGE),
    "completion": ("/v1/completions", {"prompt": "x"}, TEXT),
    "response": ("/v1/responses", {"input": "x"}, RESPONSE),
    "embedding": ("/v1/embeddings", {"input": "x"}, EMBEDDING),
    "rerank": ("/v1/rerank", {"query": "x", "documents": ["a", "b"]}, RANKS),
    "moderation": ("/v1/moderations", {"input": "x"}, VERDICT),
    "image": ("/v1/images/generations", {"prompt": "x"}, PICTURE),
}
STREAMED = {
    "chat": ("/v1/chat/completions", ASKED, [CHUNK]),
    "chat for messages": ("/v1/messages", ASKED, [CHUNK]),
    "messages for chat": ("/v1/chat/completions", ASKED, MESSAGE_EVENTS),
    "messages": ("/v1/messages", ASKED, MESSAGE_EVENTS),
    "completion": ("/v1/completions", {"prompt": "x"}, [TEXT]),
    "response": ("/v1/responses", {"input": "x"}, RESPONSE_EVENTS),
}
BACKENDS_OWN_FAULT = FailedAnswer, BrokenAnswer, StreamTooStrange, Refusal


def places_in(value, place=()):
    yield place
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_in(inner, (*place, name))


def variants_of(answer):
    """The answer with something odd at one place."""
    for place in places_in(answer):
        for odd in ODD:
            if not place:
                yield place, odd
                continue
            changed = inner = copy.deepcopy(answer)
            for name in place[:-1]:
                inner = inner[name]
            inner[place[-1]] = odd
            yield place, changed


class Called:
    """A call that a backend answers, without sockets."""

    def __init__(self, path, body, name):
        dialect = DIALECTS["anthropic"] if name.startswith("messages") else None
        url = "http://backend/v1"
        self.endpoint = ENDPOINTS[path]
        self.backend = Backend(target(url=url, id="b", upstream_model="up"), url, dialect=dialect)
        modes, groups = [self.endpoint.mode], ((self.backend,),)
        self.route = Route(RouteConfig(model="m", modes=modes, targets=[self.backend.config]), groups)
        self.body = json.dumps({"model": "m", **body}).encode()

    def told(self):
        return self.endpoint.read(self.body, {}), Names(self.backend, "m"), Identity("id", "m", 1)

    def answered(self, content):
        parsed, names, identity = self.told()
        plain = self.endpoint.read_answer(parsed, names, content, identity)
        self.endpoint.write_answer(parsed, self.backend, content, plain, names, identity)
        self.endpoint.count(parsed, self.route, plain)

    def streamed(self, content):
        parsed, names, identity = self.told()
        stream = self.endpoint.stream(parsed, self.backend, names, identity)
        stream.opened("text/event-stream")
        for step in (lambda: stream.feed(content), stream.end, stream.last_words):
            try:
                step()
            except BACKENDS_OWN_FAULT:
                break
        for is_failed in (True, False):
            stream.counted(parsed, self.route, is_failed=is_failed)
        stream.failed(error_event("x", "x"))


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_that_an_answer_says_is_our_fault(name):
    path, body, answer = PLAIN[name]
    called = Called(path, body, name)
    called.answered(json.dumps(answer).encode())
    for place, odd in variants_of(answer):
        try:
            called.answered(json.dumps(odd).encode())
        except BACKENDS_OWN_FAULT:
            pass
        except Exception as error:
            raise AssertionError(f"{name} fails at {place}") from error


@pytest.mark.parametrize("name", STREAMED)
def test_nor_what_an_event_says(name):
    path, body, events = STREAMED[name]
    called = Called(path, {**body, "stream": True}, name)

    def written(events, names):
        lines = [f"event: {one['type']}\n" if "type" in one else "" for one in names]
        ends = "" if "type" in names[0] else "data: [DONE]\n\n"
        texts = [f"{line}data: {json.dumps(event)}\n\n" for line, event in zip(lines, events, strict=True)]
        return ("".join(texts) + ends).encode()

    called.streamed(written(events, events))
    for at, event in enumerate(events):
        for place, odd in variants_of(event):
            try:
                called.streamed(written([*events[:at], odd, *events[at + 1 :]], events))
            except Exception as error:
                raise AssertionError(f"{name} fails at {(at, *place)}") from error
