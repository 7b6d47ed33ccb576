"""Events that differ in their text only pass with less effort, and count and read exactly as one by one."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy import streaming
from gateway.proxy.alike_events import AlikeEvents
from gateway.proxy.names import Names
from gateway.proxy.streaming import EventStream
from tests.gateway.targets import address

HEAD = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "up"}
END = b"data: [DONE]\n\n"


def chunk(text="", end=None, name="content", separators=(",", ":"), **more):
    choice = {"index": 0, "delta": {name: text} if text is not None else {}, "finish_reason": end}
    return b"data: %s\n\n" % json.dumps({**HEAD, "choices": [choice], **more}, separators=separators).encode()


USAGE = (
    b"data: %s\n\n"
    % json.dumps(
        {**HEAD, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}}
    ).encode()
)


def stream():
    names = Names(address(url="http://127.0.0.1:1/v1", id="t", upstream_model="up"), "public")
    return EventStream(names, hides_usage=False)


def read(pieces):
    one = stream()
    passed = b"".join(map(one.feed, pieces)) + one.end()
    return passed, one.delivered, one.reported, one.is_finished, one.is_certain, repr(one.error)


def parsed(passed):
    return [json.loads(line[6:]) for line in passed.split(b"\n\n") if line]


@pytest.fixture
def carefully(monkeypatch):
    """Read with every event looked into by itself."""

    def read_carefully(pieces):
        with monkeypatch.context() as patch:
            patch.setattr(streaming.EventStream, "_texts", lambda self, data: None)
            return read(pieces)

    return read_carefully


ODD = (
    '"', "\\", 'a "quoted" b', "tab\t", "line\nline", "\\\\", "data: [DONE]", '"finish_reason": "stop"', "error",
    "\u2028", "\u00e9\u6f22", '{"usage": {"prompt_tokens": 1}}', "", "}]}", '"choices"', '],"',
)  # fmt: skip


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("name", ["content", "reasoning_content"])
def test_odd_texts_pass_as_if_each_event_were_looked_into(carefully, separators, name):
    events = [chunk(text, name=name, separators=separators) for text in ("a", *ODD, "b", *ODD)]
    whole = [*events, chunk(None, end="stop"), USAGE, END]
    expected = carefully(whole)
    assert (expected[2].completion, expected[3]) == (7, True)
    assert b'"public"' in expected[0]
    assert b'"up"' not in expected[0]
    for pieces in (whole, [b"".join(whole)]):
        passed, *others = read(pieces)
        # White space outside of texts depends on how an event is looked at.
        assert (parsed(passed), others) == (parsed(expected[0]), list(expected[1:]))


@pytest.mark.parametrize(
    "strange",
    [
        chunk("x", end="length"),
        chunk("x", usage={"prompt_tokens": 1, "completion_tokens": 900, "total_tokens": 901}),
        chunk("x", error={"message": "no"}),
        chunk("x").replace(b'"finish_reason":null', b'"finish_reason":"error"'),
        chunk("x").replace(b'"model":"up"', b'"model":"10.0.0.7/up"'),
        chunk("x").replace(b'"index":0', b'"index":1'),
        b'data: {"error": {"message": "no"}}\n\n',
        b"event: error\n" + chunk("x"),
        chunk('a"').replace(b'\\"', b'"'),
        chunk("a\\").replace(b"\\\\", b"\\"),
        chunk("a")[:-1],
        chunk("a")[:-2] + chunk("b"),
        b": a comment\n\n",
    ],
)  # fmt: skip
def test_an_event_of_another_kind_between_them_is_looked_into(carefully, strange):
    whole = [chunk("a"), chunk("b"), strange, chunk("c"), chunk(None, end="stop"), END]
    assert read(whole) == carefully(whole)
    assert read([b"".join(whole)]) == carefully([b"".join(whole)])


@given(st.lists(st.text(max_size=8), min_size=2, max_size=8), st.lists(st.integers(1, 900), max_size=6))
def test_texts_and_cuts_of_any_kind_count_the_same(texts, cuts):
    data = b"".join([*map(chunk, texts), chunk(None, end="stop"), USAGE, END])
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(places)]
    _, delivered, reported, is_finished, _, error = read(pieces)
    assert (delivered.bytes, error) == (sum(len(json.dumps(text)) - 2 for text in texts), "None")
    assert delivered.pieces == sum(map(bool, texts))
    assert (is_finished, reported.prompt, reported.completion) == (True, 9, 7)


def test_the_last_event_says_whether_its_choice_has_an_end(carefully):
    """An event that looks different comes in between, whose choice says nothing of an end."""
    plain = b'data: {"id":"c-1","choices":[{"index":0,"delta":{"content":"t"}}],"usage":%s}\n\n'
    other = plain % b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
    whole = [chunk("a"), chunk("b"), other, chunk("c"), END]
    assert read(whole) == carefully(whole)
    assert read(whole)[4] is False, "nothing says that the answer is whole"


def test_words_that_come_one_by_one_are_not_looked_into(monkeypatch):
    one = stream()
    one.feed(chunk("a"))
    monkeypatch.setattr(one, "_feed", lambda data: pytest.fail("looked into"))
    assert one.feed(chunk("b") + chunk("c")) == (chunk("b") + chunk("c")).replace(b'"up"', b'"public"')
    assert (one.delivered.pieces, one.delivered.bytes, one.delivered.chunks) == (3, 3, 3)


def test_what_the_client_gets_in_another_form_is_known_by_no_bytes():
    event = chunk("a")
    assert AlikeEvents.like(event, event)
    assert AlikeEvents.like(event, event.replace(b"null", b"0")) is None
    assert AlikeEvents.like(b"id: 1\n" + event, b":\n" + event) is None
    assert AlikeEvents.like(event.replace(b"\n\n", b"\r\n\r\n"), event) is None
