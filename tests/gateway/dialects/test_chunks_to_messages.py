"""An answer of a backend of OpenAI's dialect reaches Anthropic's clients whole, in order, and however it is cut."""

import itertools
import json

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.dialects.anthropic_client.answer import STOP_REASONS, message, messages_usage
from gateway.proxy.dialects.anthropic_client.errors import messages_error
from gateway.proxy.dialects.anthropic_client.stream import ChunksToMessages
from gateway.proxy.names import Names
from gateway.proxy.streaming import EventStream
from gateway.proxy.usage import read_usage
from tests.gateway.dialects import anthropic_events as theirs
from tests.gateway.dialects.typed import adapter
from tests.gateway.targets import address

WHO = theirs.WHO
HELLO = [{"role": "user", "content": "hello"}]
USAGE = {
    "prompt_tokens": 89,
    "completion_tokens": 40,
    "total_tokens": 129,
    "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
MESSAGES_USAGE = {
    "input_tokens": 9,
    "cache_read_input_tokens": 50,
    "cache_creation_input_tokens": 30,
    "output_tokens": 40,
    "output_tokens_details": {"thinking_tokens": 8},
}

NO_USAGE = {
    "input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "output_tokens": 0,
}


def chunk(delta, reason=None, **more):
    return {"id": "c-of-theirs", "object": "chat.completion.chunk", "created": 1, "model": "org/own-name",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason, **more}]}  # fmt: skip


def call(index, arguments=None, **more):
    function = {"arguments": arguments} if arguments is not None else {}
    if "name" in more:
        function["name"] = more.pop("name")
    return {"tool_calls": [{"index": index, "function": function, **more}]}


def stream_of(*chunks):
    lines = (
        one if isinstance(one, bytes) else b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks
    )
    return b"".join(lines)


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Let me "}),
    b": waiting\n\n",
    chunk({"reasoning": "look. "}),
    chunk({"content": "Grüße "}),
    chunk({"content": "aus Köln"}),
    chunk(call(0, "", name="weather", id="call_0")),
    chunk(call(0, '{"town": "K')),
    # A second call begins before the first has ended.
    chunk(call(1, None, id="call_1")),
    chunk(call(1, '{"n": 1234567890', name="count")),
    chunk(call(0, 'öln"}')),
    chunk(call(1, "1234567890123}")),
    chunk(call(2, name="now", id="call_2")),
    chunk({"content": "Done."}),
    chunk({}, "tool_calls"),
    {"id": "c-of-theirs", "choices": [], "usage": USAGE},
    b"data: [DONE]\n\n",
]
CONTENT = [
    {"type": "thinking", "thinking": "Let me look. ", "signature": ""},
    {"type": "text", "text": "Grüße aus Köln"},
    {"type": "tool_use", "id": "call_0", "name": "weather", "input": {"town": "Köln"}},
    {"type": "tool_use", "id": "call_1", "name": "count", "input": {"n": 12345678901234567890123}},
    {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
    {"type": "text", "text": "Done."},
]


def read(pieces):
    """The events for a client, as the gateway makes them: counted and renamed first."""
    backend = address(id="b", url="http://gpu-node-7:8000", upstream_model="org/own-name")
    stream = EventStream(Names(backend, "aurora"), hides_usage=False)
    translator = ChunksToMessages(WHO)
    sent = b"".join(translator.feed(stream.feed(piece)) for piece in pieces)
    return sent + translator.feed(stream.end()) + translator.end(), stream


def events_of(sent):
    """Each event, checked: its name is its type."""
    events = []
    for part in sent.split(b"\n\n"):
        lines = part.split(b"\n")
        if not part or part == b":":
            continue
        event = json.loads(lines[1].removeprefix(b"data: "))
        assert lines[0] == b"event: " + event["type"].encode()
        events.append(event)
    return events


def content_of(events):
    """What a client puts together, which sees one block at a time, in order."""
    blocks, texts = (
        [],
        {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"},
    )
    opened = None
    for event in events:
        if event["type"] == "content_block_start":
            assert opened is None
            assert event["index"] == len(blocks)
            opened = {**event["content_block"], "pieces": ""}
        elif event["type"] == "content_block_delta":
            assert event["index"] == len(blocks)
            opened["pieces"] += event["delta"][texts[event["delta"]["type"]]]
        elif event["type"] == "content_block_stop":
            pieces = opened.pop("pieces")
            if opened["type"] == "tool_use":
                opened["input"] = json.loads(pieces or "{}")
            else:
                opened[opened["type"]] = pieces
            blocks.append(opened)
            opened = None
    assert opened is None
    return blocks


def test_the_events_of_a_short_stream():
    sent, _ = read([stream_of(chunk({"role": "assistant", "content": "hi "}), chunk({"content": "there"}),
                              chunk({}, "length"), {"choices": [], "usage": USAGE}, b"data: [DONE]\n\n")])  # fmt: skip
    events = events_of(sent)
    assert events == [
        {"type": "message_start", "message": {
            "id": "msg_0192-call", "type": "message", "role": "assistant", "model": "aurora", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": NO_USAGE}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "there"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
         "usage": MESSAGES_USAGE},
        {"type": "message_stop"},
    ]  # fmt: skip
    for event in events:
        adapter(RawMessageStreamEvent).validate_python(event)


def test_everything_that_a_model_may_send_reaches_the_client_one_block_at_a_time():
    sent, stream = read([stream_of(*CHUNKS)])
    events = events_of(sent)
    assert content_of(events) == CONTENT
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"] == MESSAGES_USAGE
    assert stream.is_finished
    assert b"own-name" not in sent
    assert b"of-theirs" not in sent


WHOLE = stream_of(*CHUNKS)


@given(st.sets(st.integers(1, len(WHOLE) - 1), max_size=40))
def test_a_stream_is_the_same_however_its_bytes_are_cut(cuts):
    places = [0, *sorted(cuts), len(WHOLE)]
    translator = ChunksToMessages(WHO)
    pieces = [translator.feed(WHOLE[one:other]) for one, other in itertools.pairwise(places)]
    uncut = ChunksToMessages(WHO)
    assert b"".join(pieces) + translator.end() == uncut.feed(WHOLE) + uncut.end()


@given(
    st.lists(st.tuples(st.sampled_from(["content", "reasoning_content"]), st.text(min_size=1)), max_size=8)
)
def test_any_words_survive_in_their_order(said):
    chunks = [
        chunk({"role": "assistant"}),
        *(chunk({name: words}) for name, words in said),
        chunk({}, "stop"),
    ]
    blocks = content_of(events_of(read([stream_of(*chunks)])[0]))
    expected = [
        ("text" if name == "content" else "thinking", "".join(words for _, words in group))
        for name, group in itertools.groupby(said, key=lambda one: one[0])
    ]
    assert [(block["type"], block[block["type"]]) for block in blocks] == expected


@given(
    st.lists(
        st.dictionaries(st.text(max_size=4), st.integers() | st.text() | st.none(), max_size=4), max_size=4
    ),
    st.randoms(),
)
def test_arguments_of_calls_survive_however_their_pieces_are_mixed(inputs, random):
    pieces = []
    for index, one in enumerate(inputs):
        written = json.dumps(one)
        cut = random.randint(0, len(written))
        pieces.append(
            [call(index, written[:cut], name=f"f{index}", id=f"call_{index}"), call(index, written[cut:])]
        )
    order = [index for index in range(len(inputs)) for _ in range(2)]
    random.shuffle(order)
    deltas = [pieces[index].pop(0) for index in order]
    sent, _ = read([stream_of(chunk({"role": "assistant"}), *map(chunk, deltas), chunk({}, "tool_calls"))])
    blocks = {block["name"]: block["input"] for block in content_of(events_of(sent))}
    assert blocks == {f"f{index}": one for index, one in enumerate(inputs)}


def test_a_chunk_that_waits_becomes_a_ping():
    """A client that hears nothing for long gives up."""
    translator = ChunksToMessages(WHO)
    translator.feed(stream_of(chunk(call(0, "{", name="a", id="0"))))
    assert events_of(translator.feed(stream_of(chunk(call(1, "{}", name="b", id="1"))))) == [{"type": "ping"}]
    assert events_of(translator.feed(b": waiting\n\n")) == [{"type": "ping"}]
    assert ChunksToMessages(WHO).feed(b": waiting\n\n") == b":\n\n"


def test_usage_in_every_event_counts_once_and_a_sequence_that_stopped_it_is_named():
    """Gemini's surface reports it so; vLLM names the sequence."""
    usages = [{"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n} for n in (1, 2, 3)]
    chunks = [{**chunk({"content": "x"}), "usage": usage} for usage in usages]
    # And some servers end with zeros.
    zeros = {**chunk({}, "stop", stop_reason="END"), "usage": dict.fromkeys(usages[0], 0)}
    sent, _ = read([stream_of(*chunks, zeros)])
    last = events_of(sent)[-2]
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (5, 3)
    assert last["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


NUMBERS = st.integers(0, 5000)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_no_token_is_lost_or_doubled(uncached, cached, written, said, thought):
    prompt = uncached + cached + written
    inside = {"prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written}}
    expected = (uncached, cached, written, said + thought)
    openai = {"prompt_tokens": prompt, "completion_tokens": said + thought, **inside,
              "completion_tokens_details": {"reasoning_tokens": thought}}  # fmt: skip
    xai = {**openai, "completion_tokens": said, "total_tokens": prompt + said + thought}
    anthropics = {"input_tokens": uncached, "cache_read_input_tokens": cached,
                  "cache_creation_input_tokens": written, "output_tokens": said + thought}  # fmt: skip
    for usage in (openai, xai, anthropics):
        shown = messages_usage(read_usage({"usage": usage}))
        assert (
            shown["input_tokens"],
            shown["cache_read_input_tokens"],
            shown["cache_creation_input_tokens"],
            shown["output_tokens"],
        ) == expected


@pytest.mark.parametrize(("reason", "expected"), STOP_REASONS.items())
def test_why_an_answer_stopped(reason, expected):
    sent, _ = read([stream_of(chunk({"content": "hi"}), chunk({}, reason))])
    assert events_of(sent)[-2]["delta"]["stop_reason"] == expected
    assert json.loads(message(completion({"content": "hi"}, reason), WHO))["stop_reason"] == expected


def test_a_call_that_ended_with_stop_is_a_call_of_a_tool():
    sent, _ = read([stream_of(chunk(call(0, "{}", name="f", id="c")), chunk({}, "stop"))])
    assert events_of(sent)[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_stream_that_failed_ends_with_an_error_and_nothing_after_it():
    translator = ChunksToMessages(WHO)
    translator.feed(stream_of(chunk({"content": "half"})))
    assert events_of(translator.fail(503, "Try again.")) == [messages_error(503, "Try again.", "0192-call")]
    assert translator.feed(stream_of(chunk({"content": "more"}))) + translator.end() == b""
    assert translator.fail(503, "Again.") == b""
    told = ChunksToMessages(WHO)
    error = {"error": {"message": "The model stopped.", "type": "server_error", "code": None}}
    assert events_of(told.feed(stream_of(error, chunk({"content": "more"})))) == [
        messages_error(500, "The model stopped.", "0192-call")
    ]
    assert ChunksToMessages(WHO).end() == b""


def test_calls_in_older_and_odd_forms():
    chunks = [chunk({"function_call": {"name": "f", "arguments": '{"a":'}}),
              chunk({"function_call": {"arguments": " 1}"}}), chunk({}, "function_call")]  # fmt: skip
    assert content_of(events_of(read([stream_of(*chunks)])[0])) == [
        {"type": "tool_use", "id": "toolu_0192-call_0", "name": "f", "input": {"a": 1}}
    ]
    chunks = [chunk(call(0, {"a": 1}, name="f", id="functions.f:0")), chunk({}, "tool_calls")]
    assert content_of(events_of(read([stream_of(*chunks)])[0])) == [
        # Kimi wants its ids back as they are.
        {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {"a": 1}}
    ]


def completion(said, reason="stop", usage=USAGE):
    return json.dumps({
        "id": "c-of-theirs", "object": "chat.completion", "created": 1, "model": "aurora",
        "choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": reason}], "usage": usage,
    }).encode()  # fmt: skip


CALLS = [
    {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Köln"}'}},
    {
        "id": "call_1",
        "type": "function",
        "function": {"name": "count", "arguments": '{"n": 12345678901234567890123}'},
    },
    {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}},
]


def test_a_whole_answer():
    said = {"content": "Grüße aus Köln", "reasoning_content": "Let me look. ", "tool_calls": CALLS}
    answer = json.loads(message(completion(said, "tool_calls"), WHO))
    assert answer == {
        "id": "msg_0192-call", "type": "message", "role": "assistant", "model": "aurora", "content": CONTENT[:5],
        "stop_reason": "tool_use", "stop_sequence": None, "usage": MESSAGES_USAGE,
    }  # fmt: skip
    Message.model_validate(answer)


def test_arguments_that_are_no_object_survive_as_they_are():
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1'}}]
    answer = json.loads(message(completion({"content": None, "tool_calls": calls}, "length"), WHO))
    assert answer["content"][0]["input"] == {"INVALID_JSON": '{"a": 1'}
    assert answer["stop_reason"] == "max_tokens"


def test_a_refusal_is_words():
    answer = json.loads(message(completion({"content": None, "refusal": "I cannot."}), WHO))
    assert answer["content"] == [{"type": "text", "text": "I cannot."}]
