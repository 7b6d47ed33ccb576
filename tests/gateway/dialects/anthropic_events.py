"""What a Messages backend sends, for the tests; and what the gateway makes of it."""

import json

from gateway.proxy.dialects.anthropic_backend.stream import MessagesToChunks
from gateway.proxy.dialects.common import Identity
from gateway.proxy.evidence import count_tokens
from gateway.proxy.names import Names
from gateway.proxy.streaming import EventStream
from gateway.proxy.usage_bounds import bounds_of
from tests.gateway.targets import address

WHO = Identity("0192-call", "aurora", 1_790_000_000)
SECRETS = ("msg_of_theirs", "claude-sonnet-5-5", "req_of_theirs")
USAGE = {
    "input_tokens": 9,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 1,
    "service_tier": "standard",
}
LAST_USAGE = {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 8}}
WHOLE_USAGE = {
    "prompt_tokens": 89,
    "completion_tokens": 40,
    "total_tokens": 129,
    "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 8},
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "service_tier": "standard",
}


def start(usage=USAGE):
    message = {
        "id": "msg_of_theirs", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    return {"type": "message_start", "message": message}


def block(index, begun, *deltas):
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": one} for one in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index, *words):
    deltas = ({"type": "text_delta", "text": word} for word in words)
    return block(index, {"type": "text", "text": ""}, *deltas)


def thoughts(index, signature, *words):
    deltas = [{"type": "thinking_delta", "thinking": word} for word in words]
    signed = {"type": "signature_delta", "signature": signature}
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signed)


def tool(index, name, *pieces, **begun):
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    return block(
        index,
        {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}, **begun},
        *deltas,
    )


def end(reason="end_turn", usage=LAST_USAGE):
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


EVENTS = [
    start(),
    {"type": "ping"},
    *thoughts(0, "c2lnbmVk", "Let me ", "look. "),
    *block(1, {"type": "redacted_thinking", "data": "c2VjcmV0"}),
    *text(2, "Grüße ", "aus ", 'Köln "quoted" \\ and\nmore'),
    *tool(3, "weather", "", '{"town": "K', 'öln", "n": 12345678901234567890123}'),
    *tool(4, "now"),
    *tool(5, "whole", input={"a": 2**70 + 1}),
    *end("tool_use"),
]
SAID = {
    "content": 'Grüße aus Köln "quoted" \\ and\nmore',
    "reasoning_content": "Let me look. ",
    "thinking_blocks": [
        {"index": 0, "type": "thinking", "characters": 13, "signature": "c2lnbmVk"},
        {"index": 1, "type": "redacted_thinking", "encrypted_content": "c2VjcmV0"},
    ],
    "tools": [
        ("toolu_3", "weather", {"town": "Köln", "n": 12345678901234567890123}),
        ("toolu_4", "now", {}),
        ("toolu_5", "whole", {"a": 2**70 + 1}),
    ],
}


def chunks_of(pieces):
    translator = MessagesToChunks(WHO)
    return b"".join([*map(translator.feed, pieces), translator.end()])


def message(content, reason="end_turn", **more):
    usage = {**USAGE, **LAST_USAGE}
    return json.dumps(
        {"id": "msg_of_theirs", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5",
         "content": content, "stop_reason": reason, "stop_sequence": None, "usage": usage, **more}
    ).encode()  # fmt: skip


CONTENT = [
    {"type": "thinking", "thinking": "Let me look. ", "signature": "c2lnbmVk"},
    {"type": "redacted_thinking", "data": "c2VjcmV0"},
    {"type": "text", "text": "Grüße "},
    {"type": "text", "text": "aus Köln", "citations": None},
    {"type": "tool_use", "id": "toolu_3", "name": "weather", "input": {"town": "Köln", "n": 2**70 + 1}},
    {"type": "tool_use", "id": "toolu_4", "name": "now", "input": {}},
]


def read(pieces, *, hides_usage=False):
    """What a client gets, and what the gateway knows, of a stream that comes in these pieces."""
    backend = address(id="b", url="https://api.example.com/v1", upstream_model="claude-sonnet-5-5")
    stream = EventStream(Names(backend, "aurora"), hides_usage=hides_usage)
    translator = MessagesToChunks(WHO)
    sent = b"".join(stream.feed(translator.feed(piece)) for piece in pieces)
    sent += stream.feed(translator.end()) + stream.end()
    return sent, stream, translator


def said_in(chunks):
    """The whole message that a client puts together."""
    deltas = [choice["delta"] for one in chunks if one != "[DONE]" for choice in one["choices"]]
    tools = {}
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            known = tools.setdefault(call["index"], {"arguments": ""})
            known |= {"id": call.get("id", known.get("id"))}
            known["name"] = call["function"].get("name", known.get("name"))
            known["arguments"] += call["function"]["arguments"]
    return {
        "content": "".join(delta.get("content", "") for delta in deltas),
        "reasoning_content": "".join(delta.get("reasoning_content", "") for delta in deltas),
        "thinking_blocks": [one for delta in deltas for one in delta.get("thinking_blocks", ())],
        "tools": [(one["id"], one["name"], json.loads(one["arguments"])) for _, one in sorted(tools.items())],
    }


def counted(stream_or_answer):
    bounds = bounds_of(90, 120, named_output=0, longest_output=None, choices=1, is_embedding=False,
                       may_bring_more=False, may_think=True)  # fmt: skip
    return count_tokens(stream_or_answer.reported, bounds, stream_or_answer.delivered)


COUNTS = {"input": 9, "cache_read": 50, "cache_write": 10, "cache_write_1h": 20, "output": 32, "reasoning": 8}
