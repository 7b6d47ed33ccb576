"""A stream of a Messages backend reaches clients of OpenAI's dialect whole, counted once, and however it is cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from gateway.proxy.dialects.anthropic_backend.stream import MessagesToChunks
from gateway.proxy.dialects.common import EventReader
from gateway.proxy.streaming import StreamTooStrange
from gateway.proxy.usage import read_usage
from tests.gateway.dialects.anthropic_events import (
    COUNTS,
    EVENTS,
    SAID,
    SECRETS,
    WHO,
    WHOLE_USAGE,
    chunks_of,
    counted,
    end,
    read,
    said_in,
    start,
    text,
    thoughts,
    tool,
)
from tests.gateway.dialects.typed import data_lines, sse


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
    assert not any(one.encode() in chunks_of([sse(*EVENTS)]) for one in SECRETS)
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
        "service_tier": "standard",
    }
    assert read_usage({"usage": translator.usage_so_far}).prompt == 89
    assert MessagesToChunks(WHO).usage_so_far is None


def test_a_stream_without_its_last_event_is_whole():
    sent, stream, _ = read([sse(start(), *text(0, "hi there"), *end()[:1])])
    assert stream.is_finished
    assert counted(stream)[0]["output"] == 32
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
    assert b"more" not in chunks_of([sse(start(), *text(0, "half"), error, *text(1, "more"))])
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


def test_nothing_follows_the_end_of_a_message():
    whole = [start(), *text(0, "hi"), *end()]
    assert chunks_of([sse(*whole, *text(1, "more"), *end())]) == chunks_of([sse(*whole)])


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_data_of_several_lines_are_one_wherever_they_are_cut(line_end):
    event = b': note\nevent: a\ndata: {"a":\ndata:1}\nid: 7\n\ndata: 2\n\n'.replace(b"\n", line_end)
    for cut in range(len(event)):
        reader = EventReader()
        assert reader.feed(event[:cut]) + reader.feed(event[cut:]) + reader.end() == [b'{"a":\n1}', b"2"]


def test_an_event_that_never_ends_is_given_up():
    with pytest.raises(StreamTooStrange):
        MessagesToChunks(WHO).feed(b"data: " + b"x" * (16 * 1024 * 1024))
