"""A stream in a strange form, as servers are known to write it, is whole and reaches the client; no stream is a 502."""

import json

import pytest

from gateway.proxy.names import Names
from gateway.proxy.streaming import EventStream
from tests.gateway.scripted_backend import chunk, scripted_backend, spoken
from tests.gateway.test_proxy_counting import a_route, backend
from tests.gateway.test_whole_answers import DONE, MODEL, TOLD, WORDS, call, end, recorded, text_of, written


@pytest.fixture
def scripted(shared_rig):
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


def lines(*contents):
    return [json.dumps(one).encode() + b"\n" for one in contents]


STRANGE_FORMS = {
    "JSON lines": lines(*WORDS, end(), TOLD),
    "JSON with empty lines": [one + b"\n" for one in lines(*WORDS, end(), TOLD)],
    "JSON over several lines": [json.dumps(one, indent=1).encode() + b"\n\n" for one in (*WORDS, end(), TOLD)],
    "a mark in quotation marks": [*WORDS, end(), TOLD, b'data: "[DONE]"\n\n'],
    "JSON lines that break": [*lines(*WORDS, end(), TOLD), b'{"choices":[{"ind'],
    "a heartbeat in words": [b"event: ping\ndata: still here\n\n", *WORDS, end(), TOLD, DONE],
    "text after an end that was none": [*WORDS[:3], end(), *WORDS[3:], end(), TOLD, DONE],
    "an end in every piece": [*[spoken(0, "word ", "stop")] * 6, TOLD, DONE],
    "a byte order mark in each": [
        *[b"\xef\xbb\xbfdata: " + json.dumps(one).encode() + b"\n\n" for one in (*WORDS, end(), TOLD)], DONE],
    "two marks": [*WORDS, end(), TOLD, DONE, DONE],
    "old Macs' line ends": [
        b"".join(b"data: " + json.dumps(one).encode() + b"\r\r" for one in (*WORDS, end(), TOLD)) + b"data: [DONE]\r\r"
    ],
    "cut in the middle of a character": [
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"w\xc3', 0.05, b'\xb6rd"}}]}\n\n', end(), TOLD,
        DONE],
    "cut in the middle of a line end": [
        piece for one in (*WORDS, end(), TOLD)
        for piece in (b"data: " + json.dumps(one).encode() + b"\r\n\r", 0.01, b"\n")] + [b"data: [DONE]\r\n\r\n"],
    "fields without a space": [
        *[b"event:message\ndata:" + json.dumps(one).encode() + b"\n\n" for one in (*WORDS, end(), TOLD)],
        b"event:done\ndata:[DONE]\n\n"],
    "usage in the middle of a message": [*WORDS, {"choices": [
        {"index": 0, "delta": {"usage": TOLD["usage"]}, "finish_reason": "stop"}]}, DONE],
    "usage that shrinks": [*WORDS, end(), TOLD, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
                           {"choices": [], "usage": None}, DONE],
    "half of a surrogate pair beside sources": [
        *WORDS, b'data: {"choices":[{"index":0,"delta":{"reasoning":"\\ud800","annotations":[]}}]}\n\n',
        end(), TOLD, DONE],
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE_FORMS)
def test_a_stream_in_a_strange_form_is_whole_and_reaches_the_client(shared_rig, scripted, name):
    scripted.says(events=STRANGE_FORMS[name])
    answer = call(shared_rig, scripted.key, stream=True)
    answer.encoding = "utf-8"
    assert written(answer) == ("wörd" if "character" in name else "word " * 6)
    assert answer.text.count("[DONE]") == 1
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("input", 0), event.usage.get("output", 0)) == (
        "ok",
        True,
        12,
        6,
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, None])
@pytest.mark.parametrize("name", STRANGE_FORMS)
def test_a_strange_form_is_the_same_however_its_bytes_are_read(name, size):
    pieces = [
        one if isinstance(one, bytes) else b"data: " + json.dumps(one).encode() + b"\n\n"
        for one in STRANGE_FORMS[name]
        if not isinstance(one, float)
    ]
    whole = b"".join(pieces)
    reads = pieces if size is None else [whole[at : at + size] for at in range(0, len(whole), size)]
    stream = EventStream(Names(a_route(backend()).groups[0][0], MODEL), hides_usage=False)
    out = b"".join(stream.feed(read) for read in reads) + stream.end()
    assert text_of(out.decode()) == ("wörd" if "character" in name else "word " * 6)
    assert (stream.is_finished, stream.is_partial, stream.error) == (True, False, None)
    assert (stream.reported.prompt, stream.reported.completion) == (12, 6)


@pytest.mark.parametrize("name", ["error", "Error", "response.failed", "stream_error", "exception"])
def test_an_event_whose_name_speaks_of_an_error_is_one(shared_rig, scripted, name):
    scripted.says(
        events=[*WORDS, 0.2, b"event: " + name.encode() + b'\ndata: {"info": "x"}\n\n', end(), TOLD, DONE]
    )
    assert "[DONE]" not in call(shared_rig, scripted.key, stream=True).text
    assert recorded(shared_rig, scripted.key).status == "error"


def test_a_stream_that_ends_every_piece_is_heard_to_its_end(shared_rig, scripted):
    """It was cut five seconds after the first of them, as a whole answer."""
    piece = spoken(0, "word ", "stop")
    scripted.says(events=[piece, piece, *[2.0, piece] * 4, TOLD, DONE])
    answer = call(shared_rig, scripted.key, stream=True)
    assert (written(answer), answer.text.count("[DONE]")) == ("word " * 6, 1)
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("ok", True, 6)


def test_a_part_of_an_answer_that_no_client_reads_makes_it_an_error(shared_rig, scripted):
    lost = b"\x00data: " + json.dumps(chunk()).encode() + b"\n\n"
    scripted.says(events=[*WORDS, 0.2, lost, end(), TOLD, DONE])
    assert "[DONE]" not in call(shared_rig, scripted.key, stream=True).text
    assert recorded(shared_rig, scripted.key).status == "error"


@pytest.mark.parametrize("breaks", [[], [None]], ids=["end", "break"])
def test_a_text_after_the_end_of_its_choice_needs_another_end(shared_rig, scripted, breaks):
    scripted.says(events=[*WORDS[:3], end(), 0.2, *WORDS[3:], 0.2, *breaks])
    answer = call(shared_rig, scripted.key, stream=True)
    assert "[DONE]" not in answer.text
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("error", False, 10)


NO_STREAMS = {
    "a page": ([b"<html><body>\n\nplease log in</body></html>"], "text/html"),
    "a page as events": ([b"<html>\n\n<body>please log in</body>\n\n"], "text/event-stream"),
    "another field": ([b"Data: " + json.dumps(one).encode() + b"\n\n" for one in WORDS] + [DONE], "text/event-stream"),
    "indented": ([b" data: " + json.dumps(one).encode() + b"\n\n" for one in WORDS] + [DONE], "text/event-stream"),
    "only comments": ([b": ping\n\n"] * 3, "text/event-stream"),
    "only a mark": ([DONE], "text/event-stream"),
    "Ollama's own lines": (
        lines({"model": "x", "message": {"content": "hi"}, "done": False}, {"done": True}), "application/x-ndjson"),
    "a list of errors": ([b'data: [{"error":{"message":"x","code":500}}]\n\n'], "text/event-stream"),
    "a list of errors, bare": ([b'[{"error":{"message":"x","code":500}}]'], "text/event-stream"),
    "compressed": ([b"\x1f\x8b\x08\x00\x00"], "text/event-stream"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_STREAMS)
def test_what_is_no_stream_of_an_answer_is_a_502(shared_rig, scripted, name):
    events, kind = NO_STREAMS[name]
    scripted.says(events=events, headers={"content-type": kind})
    answer = call(shared_rig, scripted.key, stream=True)
    assert answer.status_code == 502
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.tokens) == ("error", 0)
