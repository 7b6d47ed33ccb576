"""A stream of a Messages backend reaches clients of OpenAI's dialect whole, counted once, and however it is cut."""

import itertools
import json

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.contract import BackendConfig, TokenCounts
from gateway.proxy.dialects.anthropic_backend.answer import FINISH_REASONS, chat_completion
from gateway.proxy.dialects.anthropic_backend.errors import chat_error, chat_status
from gateway.proxy.dialects.anthropic_backend.request import MessagesModel, messages_request
from gateway.proxy.dialects.anthropic_backend.stream import MessagesToChunks
from gateway.proxy.dialects.common import Identity
from gateway.proxy.evidence import bounds_of, count_tokens
from gateway.proxy.index import Backend
from gateway.proxy.names import Names
from gateway.proxy.streaming import EventStream, StreamTooStrange
from gateway.proxy.usage import read_usage
from gateway.proxy.whole_answers import read_answer
from tests.gateway.dialects.typed import data_lines, require_messages_call, sse, stand_in

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
    *tool(5, "whole", input={"a": 2**70}),
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
        ("toolu_5", "whole", {"a": 2**70}),
    ],
}


def chunks_of(pieces):
    translator = MessagesToChunks(WHO)
    return b"".join([*map(translator.feed, pieces), translator.end()])


def read(pieces, *, hides_usage=False):
    """What a client gets, and what the gateway knows, of a stream that comes in these pieces."""
    backend = Backend(
        BackendConfig(id="b", url="https://api.example.com/v1", upstream_model="claude-sonnet-5-5")
    )
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
                       may_bring_more=lambda: False, may_think=True)  # fmt: skip
    return count_tokens(stream_or_answer.reported, bounds, stream_or_answer.delivered)


COUNTS = TokenCounts(input=9, cache_read=50, cache_write=30, output=32, reasoning=8)


def test_the_events_of_a_short_stream():
    head = {
        "id": "chatcmpl-0192-call",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "aurora",
    }

    def chunk(delta, reason=None):
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    stream = chunks_of([sse(start(), *text(0, "hi ", "there"), *end())])
    assert data_lines(stream) == [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "hi "}),
        chunk({"content": "there"}),
        chunk({}, "stop"),
        {**head, "choices": [], "usage": WHOLE_USAGE},
        "[DONE]",
    ]


def test_everything_that_a_model_may_send_reaches_the_client():
    sent, stream, _ = read([sse(*EVENTS)])
    chunks = data_lines(sent)
    assert said_in(chunks) == SAID
    for one in chunks:
        ChatCompletionChunk.model_validate(one)
    assert [one["usage"] for one in chunks if "usage" in one] == [WHOLE_USAGE]
    assert stream.is_finished
    assert stream.is_certain
    assert not stream.may_bring_more
    assert counted(stream) == (COUNTS, True)


def test_usage_is_hidden_from_a_client_that_did_not_ask_and_counted_all_the_same():
    sent, stream, _ = read([sse(*EVENTS)], hides_usage=True)
    assert b"usage" not in sent
    assert counted(stream) == (COUNTS, True)


@given(st.sets(st.integers(1, len(sse(*EVENTS)) - 1), max_size=40), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_is_the_same_however_its_bytes_are_cut(cuts, line_end):
    whole = sse(*EVENTS).replace(b"\n", line_end)
    places = [0, *sorted(cuts), len(whole)]
    pieces = [whole[one:other] for one, other in itertools.pairwise(places)]
    assert chunks_of(pieces) == chunks_of([sse(*EVENTS)])
    assert counted(read(pieces)[1]) == (COUNTS, True)


def test_byte_by_byte_it_is_the_same_too():
    whole = sse(*EVENTS)
    pieces = [whole[at : at + 1] for at in range(len(whole))]
    assert chunks_of(pieces) == chunks_of([whole])


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.lists(st.text(min_size=1), max_size=5))
def test_any_words_survive(words, ideas):
    events = [start(), *thoughts(0, "s", *ideas), *text(1, *words), *end()]
    said = said_in(data_lines(read([sse(*events)])[0]))
    assert said["content"] == "".join(words)
    assert said["reasoning_content"] == "".join(ideas)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=5), st.data())
def test_any_arguments_survive(arguments, data):
    written = json.dumps(arguments, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(0, len(written)))
    sent, _, _ = read([sse(start(), *tool(0, "f", written[:cut], written[cut:]), *end("tool_use"))])
    assert said_in(data_lines(sent))["tools"] == [("toolu_0", "f", arguments)]


NUMBERS = st.integers(0, 5000)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_no_token_is_lost_or_doubled(uncached, read_, five, hour, thinking):
    usage = {
        "input_tokens": uncached, "cache_read_input_tokens": read_, "cache_creation_input_tokens": five + hour,
        "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}, "output_tokens": 2,
    }  # fmt: skip
    last = {"output_tokens": thinking + 3, "output_tokens_details": {"thinking_tokens": thinking}}
    # Some servers repeat the numbers of the prompt at the end, some send zeros there.
    for repeated in (
        {},
        {name: usage[name] for name in usage if name != "output_tokens"},
        {"input_tokens": 0},
    ):
        _, stream, translator = read(
            [sse(start(usage), *text(0, "hi there friend"), *end(usage={**repeated, **last}))]
        )
        told = stream.reported
        assert (told.prompt, told.completion, told.total) == (
            uncached + read_ + five + hour,
            thinking + 3,
            uncached + read_ + five + hour + thinking + 3,
        )
        assert (told.cache_read, told.cache_write, told.reasoning, told.is_clean) == (
            read_,
            five + hour,
            thinking,
            True,
        )
        assert translator.usage_so_far["total_tokens"] == told.total


def test_a_stream_that_breaks_off_reports_its_prompt_and_no_end():
    """The first event's number of output tokens stands for nothing."""
    _, stream, translator = read([sse(start(), *text(0, "half an ans")[:2])])
    assert not stream.is_finished
    assert stream.reported is None
    assert translator.usage_so_far == {
        "prompt_tokens": 89,
        "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 30},
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    assert read_usage({"usage": translator.usage_so_far}).prompt == 89
    assert MessagesToChunks(WHO).usage_so_far is None


def test_a_stream_without_its_last_event_is_whole():
    sent, stream, _ = read([sse(start(), *text(0, "hi there"), *end()[:1])])
    assert stream.is_finished
    assert counted(stream)[0].output == 32
    assert [one["usage"] for one in data_lines(sent) if "usage" in one] == [WHOLE_USAGE]
    # The same if the server omits the last empty line.
    whole = sse(start(), *text(0, "hi there"), *end())
    assert chunks_of([whole[:-2]]) == chunks_of([whole])


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded_error", 503), ("rate_limit_error", 429), ("api_error", 500), ("invalid_request_error", 400),
        ("authentication_error", 401), ("permission_error", 403), ("billing_error", 402), ("timeout_error", 504),
        ("new_error", 502),
    ],
)  # fmt: skip
def test_an_error_in_a_stream_ends_it(kind, status):
    error = {"type": "error", "error": {"type": kind, "message": "Overloaded"}, "request_id": "req_of_theirs"}
    sent, stream, _ = read([sse(start(), *text(0, "half"), error, *text(1, "more"))])
    assert stream.error.status == status
    assert b"more" not in sent
    assert b"req_of_theirs" not in sent
    assert b"Overloaded" not in sent


@pytest.mark.parametrize("garbage", [b"data: oops\n\n", b'{"detail": "Not Found"}\n\n', b"data: [1]\n\n"])
def test_what_is_no_stream_of_messages_is_left_to_the_gateways_judgment(garbage):
    _, stream, _ = read([garbage])
    assert stream.error is not None or not stream.has_choice


def test_events_of_kinds_that_are_not_known_are_left_out():
    odd = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}},
        {"type": "content_block_delta", "index": 77, "delta": {"type": "text_delta", "text": "lost"}},
        {"type": "content_block_delta", "index": [], "delta": []},
        {"type": "brand_new", "of": "next year"},
    ]
    events = text(0, "hi")
    assert chunks_of([sse(start(), *events[:1], *odd, *events[1:], *end())]) == chunks_of(
        [sse(start(), *events, *end())]
    )


def test_an_event_that_never_ends_is_given_up():
    with pytest.raises(StreamTooStrange):
        MessagesToChunks(WHO).feed(b"data: " + b"x" * (16 * 1024 * 1024))


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
    {"type": "tool_use", "id": "toolu_3", "name": "weather", "input": {"town": "Köln", "n": 2**70}},
    {"type": "tool_use", "id": "toolu_4", "name": "now", "input": {}},
]


def test_a_whole_answer():
    completion = json.loads(chat_completion(message(CONTENT, "tool_use"), WHO))
    ChatCompletion.model_validate(completion)
    arguments = [
        call["function"].pop("arguments") for call in completion["choices"][0]["message"]["tool_calls"]
    ]
    assert list(map(json.loads, arguments)) == [{"town": "Köln", "n": 2**70}, {}]
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
