"""A stream or an answer of a Messages backend is passed on with everything but the backend's names."""

import itertools
import json

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.body import Body
from gateway.proxy.dialects.anthropic_client.relay import (
    MessagesRelay,
    check_call,
    passed_answer,
    passed_call,
)
from tests.gateway.dialects import anthropic_events as theirs
from tests.gateway.dialects.anthropic_events import WHO
from tests.gateway.dialects.test_anthropics_client import HELLO, client_at
from tests.gateway.dialects.test_chunks_to_messages import events_of
from tests.gateway.dialects.typed import sse, stand_in


def relayed(pieces):
    relay = MessagesRelay(WHO, lambda sentence: sentence.replace("claude-sonnet-5-5", "aurora"))
    parts = [*map(relay.feed, pieces), relay.end()]
    return b"".join(one for one, _ in parts), b"".join(other for _, other in parts)


CITED = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None, "start_char_index": 0,
         "end_char_index": 1}  # fmt: skip
RELAYED = [
    theirs.start(theirs.USAGE | {"inference_geo": "us"}),
    {"type": "ping"},
    *theirs.thoughts(0, "c2lnbmVk", "Let me look. "),
    *theirs.block(1, {"type": "text", "text": "", "citations": []},
                  {"type": "citations_delta", "citation": CITED}, {"type": "text_delta", "text": "Grüße aus Köln"}),
    *theirs.tool(2, "weather", '{"n": 123456789012345678', '90123}'),
    {"type": "brand_new", "host": "node-7"},
    *theirs.end("tool_use"),
]  # fmt: skip


def test_a_stream_of_a_messages_backend_keeps_everything_but_names():
    sent, chunks = relayed([sse(*RELAYED)])
    begun, *rest = events_of(sent)
    assert begun["message"] == {
        **RELAYED[0]["message"], "id": "msg_0192-call", "model": "aurora", "usage": theirs.USAGE}  # fmt: skip
    assert rest == [event for event in RELAYED[1:] if event["type"] != "brand_new"]
    assert not any(one.encode() in sent for one in (*theirs.SECRETS, "node-7"))
    assert chunks == theirs.chunks_of([sse(*RELAYED)])


@given(st.sets(st.integers(1, len(sse(*RELAYED)) - 1), max_size=20))
def test_a_relayed_stream_is_the_same_however_it_is_cut(cuts):
    whole = sse(*RELAYED)
    places = [0, *sorted(cuts), len(whole)]
    assert relayed([whole[one:other] for one, other in itertools.pairwise(places)]) == relayed([whole])


def test_an_error_in_a_relayed_stream_names_nothing_of_the_backend():
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "claude-sonnet-5-5 is busy"},
             "request_id": "req_of_theirs"}  # fmt: skip
    sent, _ = relayed([sse(theirs.start(), error, *theirs.text(0, "more"))])
    assert events_of(sent)[1:] == [
        {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "aurora is busy"},
            "request_id": "0192-call",
        }
    ]


def test_a_whole_answer_of_a_messages_backend_keeps_everything_but_names():
    original = theirs.message([*theirs.CONTENT[:2], {"type": "text", "text": "hi", "citations": [CITED]}],
                              container={"id": "box-7"}, stop_details=None)  # fmt: skip
    answer = json.loads(passed_answer(original, WHO))
    Message.model_validate(answer)
    assert answer == {
        **{name: value for name, value in json.loads(original).items() if name != "container"},
        "id": "msg_0192-call",
        "model": "aurora",
    }
    for no_answer in (b"[]", b"{}", b'{"type": "error"}', b"oops"):
        with pytest.raises(ValueError):
            passed_answer(no_answer, WHO)


def test_anthropics_client_through_a_relay_gets_signed_thoughts_and_citations():
    def answer(path, headers, body):
        read_body = Body(body)
        check_call(read_body)
        assert json.loads(passed_call(read_body, "claude-sonnet-5-5", None))["model"] == "claude-sonnet-5-5"
        return 200, {"content-type": "text/event-stream"}, [relayed([sse(*RELAYED)])[0]]

    with (
        stand_in(answer) as url,
        client_at(url).messages.stream(model="aurora", max_tokens=9, messages=HELLO) as stream,
    ):
        final = stream.get_final_message()
    assert final.content[0].signature == "c2lnbmVk"
    assert final.content[1].citations[0].cited_text == "x"
    assert (final.model, final.usage.cache_creation.ephemeral_1h_input_tokens) == ("aurora", 20)
