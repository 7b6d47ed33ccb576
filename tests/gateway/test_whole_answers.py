"""Success is a whole answer: what began with 200 and did not finish is an error, and costs what was delivered."""

import json
import socket
import threading

import pytest
import requests

from tests.gateway.scripted_backend import USAGE, add_route, chunk, plain, scripted_backend
from tests.gateway.targets import target

MODEL = "aurora-whole"
DONE = b"data: [DONE]\n\n"
# 30 bytes: 10 tokens where nobody tells.
WORDS = [chunk() for _ in range(6)]
ROLE = {
    "id": "c",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
}
TOLD = {"id": "c", "choices": [], "usage": USAGE}
OVERLOADED = {"message": "Provider overloaded", "code": 502}


def end(reason="stop", index=0, **more):
    return {"id": "c", "choices": [{"index": index, "delta": {}, "finish_reason": reason}], **more}


def piece(text="word ", index=0):
    return {"id": "c", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}


@pytest.fixture
def scripted(shared_rig):
    """A backend that is new for each test, so that none inherits another one's ejection."""
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


def call(rig, key, path="chat/completions", **fields):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello hello"}], **fields}
    headers = {"authorization": f"Bearer {key}"}
    return requests.post(f"{rig.gateway.url}/v1/{path}", json=body, headers=headers, timeout=60)


def recorded(rig, key):
    (event,) = rig.events(key, 1)
    return event


def written(answer):
    return text_of(answer.text)


def text_of(events):
    """The content of all choices in the text of a stream."""
    lines = [line[5:].strip() for line in events.splitlines() if line.startswith("data:")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    choices = [choice for event in events for choice in event.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


WHOLE_STREAMS = {
    "end, usage, mark": [*WORDS, end(), TOLD, DONE],
    "a mark, and no word of ends": [*[{"choices": [{"index": 0, "delta": {"content": "word "}}]}] * 6, TOLD, DONE],
    "a mark, and a last piece without a word of ends": [
        *WORDS, {"id": "c", "choices": [{"index": 0, "delta": {"content": ""}}]}, TOLD, DONE],
    "an end and no mark": [*WORDS, end(), TOLD],
    "an end with usage in its chunk": [*WORDS, end(usage=USAGE), DONE],
    "usage in the choice (Moonshot)": [*WORDS, {"id": "c", "choices": [
        {"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]}, DONE],
    "usage in an empty piece": [*WORDS, {"id": "c", "choices": [{"index": 0, "delta": {}}], "usage": USAGE}, DONE],
    "a placeholder first": [{**ROLE, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}, *WORDS, end(), TOLD, DONE],
    "a placeholder last": [*WORDS, end(), TOLD, {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
                           DONE],
    "running usage": [*[chunk(usage={"prompt_tokens": 12, "completion_tokens": n}) for n in range(1, 7)], end(), DONE],
    "Windows' line ends": [b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in (*WORDS, end(), TOLD)]
                          + [b"data: [DONE]\r\n\r\n"],
    "no space behind the colon": [b"data:" + json.dumps(one).encode() + b"\n\n" for one in (*WORDS, end(), TOLD)]
                                 + [b"data:[DONE]\n\n"],
    "comments, ids and retries": [b": working\n\n", b"retry: 3000\n\n", *WORDS, b": still\n\nid: 7\n\n", end(), TOLD,
                                  b"id: 8\ndata: [DONE]\n\n"],
    "data over several lines": [*WORDS, b'data: {"id":"c","choices":[],\ndata: "usage":' + json.dumps(USAGE).encode()
                                + b"}\n\n", end(), DONE],
    "all in one piece": [b"".join(b"data: " + json.dumps(one).encode() + b"\n\n"
                                  for one in (*WORDS, end(), TOLD)) + DONE],
    "a mark of byte order": [b"\xef\xbb\xbf", *WORDS, end(), TOLD, DONE],
    "no last empty line": [*WORDS, end(), TOLD, b"data: [DONE]"],
    "a null error beside the choices": [*[chunk(error=None) for _ in range(6)], end(), TOLD, DONE],
    "Ollama's names": [*WORDS, end(prompt_eval_count=12, eval_count=6), DONE],
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE_STREAMS)
def test_a_stream_with_an_end_is_whole_and_billed_as_told(shared_rig, scripted, name):
    scripted.says(events=WHOLE_STREAMS[name])
    answer = call(shared_rig, scripted.key, stream=True)
    assert written(answer) == "word " * 6
    assert answer.text.count("[DONE]") == 1
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("input", 0), event.usage.get("output", 0)) == (
        "ok",
        True,
        12,
        6,
    )


CUT = {
    "nothing more": [*WORDS],
    "running usage": [chunk(usage={"prompt_tokens": 12, "completion_tokens": n}) for n in range(1, 7)],
    "usage and no end": [*WORDS, TOLD],
    "an error event": [*WORDS, {"error": OVERLOADED}],
    "an error event and a mark": [*WORDS, {"error": OVERLOADED}, DONE],
    "an error beside choices": [*WORDS, {"error": OVERLOADED, **end("error")}, DONE],
    **{f"an end that is {reason}": [*WORDS, end(reason), TOLD, DONE] for reason in ("error", "abort",
       "timeout", "TIMED_OUT", "cancelled", "failure", "internal_error", "server_error", "ERROR_LIMIT")},
    "errors beside choices": [*WORDS, chunk("", errors=[{"message": "GPU died"}]), end(), TOLD, DONE],
    "an error code beside choices": [*WORDS, end(error_code=500), TOLD, DONE],
    "an error code in a choice": [*WORDS, end(), {"choices": [{"index": 0, "delta": {}, "error_code": "E7"}]}, DONE],
    "an event of that name": [*WORDS, b'event: error\ndata: {"code": "overloaded"}\n\n', DONE],
    "plain words": [*WORDS, b"data: Internal Server Error\n\n", DONE],
    "JSON that is no event": [*WORDS, b'{"error": {"message": "overloaded"}}\n\n', DONE],
    "a detail": [*WORDS, {"detail": "overloaded"}, DONE],
    "an Anthropic error": [
        *WORDS, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, DONE],
    "one of two choices": [*WORDS, piece(index=1), end(), TOLD],
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_a_stream_without_an_end_is_an_error_and_costs_what_was_delivered(shared_rig, scripted, name):
    scripted.says(events=[ROLE, *CUT[name][:1], 0.2, *CUT[name][1:]])
    answer = call(shared_rig, scripted.key, stream=True, n=2 if "two" in name else 1)
    assert "[DONE]" not in answer.text
    assert '"error"' in answer.text
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact) == ("error", False)
    assert 6 <= event.usage.get("output", 0) <= 12
    assert event.usage.get("reasoning", 0) == 0
    failures = shared_rig.gateway.metric(
        f'llm_backend_failures_total{{backend="{scripted.id}",reason="broken_answer"}}'
    )
    assert failures == 1


@pytest.mark.parametrize(
    "events",
    [
        [DONE], [TOLD, DONE], [b": working\n\n"], [], [ROLE, {"error": OVERLOADED}], [{"error": OVERLOADED}, DONE],
        [{"id": "c", "choices": []}, DONE], [{"choices": None}, DONE], [b"data: null\n\n", DONE],
        [ROLE, end("error"), DONE],
        [ROLE, chunk("", usage={"prompt_tokens": 12, "completion_tokens": 900,
                                "completion_tokens_details": {"reasoning_tokens": 900}})],
    ],
)  # fmt: skip
def test_a_stream_that_brings_nothing_is_a_502_and_costs_nothing(shared_rig, scripted, events):
    scripted.says(events=events)
    answer = call(shared_rig, scripted.key, stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "backend_failed")
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.tokens) == ("error", 0)


def without_choices(**changes):
    return {name: value for name, value in plain(**changes).items() if name != "choices"}


@pytest.mark.parametrize(
    "content",
    [
        {"error": OVERLOADED}, {"error": "overloaded"}, plain(error=OVERLOADED), {"object": "error", "message": "x"},
        {"type": "error", "error": {"type": "overloaded_error"}}, {"detail": "x"}, {"message": "x", "code": 500},
        plain(choices=[]), plain(choices=None), without_choices(), plain(choices=[None]), plain(choices={}),
        plain(choices=[{"index": 0, "message": None}]), plain(choices=[{"index": 0}]),
        plain(choices=[{"index": 0, "message": {"content": "x"}, "error": {"message": "x"}}]),
        *[plain(choices=[{"index": 0, "message": {"content": "x"}, "finish_reason": reason}])
          for reason in ("error", "timeout", "timed out", "Cancelled", "failure", "internal_error", "server_error")],
        plain(errors=[{"message": "GPU died"}]), plain(errors="x"), plain(errors={"x": 1}), plain(error_code=500),
        plain(error_code="500"), plain(error_code="INTERNAL"), plain(error_code=1, error_msg="x"),
        plain(choices=[{"index": 0, "message": {"content": "x"}, "finish_reason": "stop", "error_code": 7}]),
        b"", b"null", b"[]", b'"x"', b"<html>", b'{"choices":[{"message":{"content":"hi', b"{}",
    ],
)  # fmt: skip
def test_a_200_without_an_answer_is_a_502_and_costs_nothing(shared_rig, scripted, content):
    scripted.says(content)
    answer = call(shared_rig, scripted.key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "backend_failed")
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.tokens) == ("error", 0)


def test_a_fault_of_the_caller_inside_a_200_is_told_to_the_caller(shared_rig, scripted):
    scripted.says(
        {"error": {"message": "Your prompt is too long", "type": "invalid_request_error", "code": 400}}
    )
    answer = call(shared_rig, scripted.key)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Your prompt is too long")
    answer = call(shared_rig, scripted.key, stream=True)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Your prompt is too long")


@pytest.mark.parametrize(
    "message",
    [
        {"content": "word " * 100},
        {"content": None, "reasoning_content": "word " * 100},
        {"content": None, "refusal": "word " * 100},
        {"content": [{"type": "text", "text": "word " * 100}]},
        {
            "content": None,
            "tool_calls": [{"function": {"name": "f", "arguments": json.dumps({"x": "word " * 100})}}],
        },
    ],
)
def test_every_kind_of_text_is_delivered_and_counts_where_nobody_tells(shared_rig, scripted, message):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    for usage in ({"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12}, None):
        key = shared_rig.new_key(models=[MODEL])
        scripted.says(plain(choices=[choice, {**choice, "index": 1}], usage=usage))
        assert call(shared_rig, key, n=2).status_code == 200
        event = recorded(shared_rig, key)
        assert (event.status, event.is_exact) == ("ok", False)
        assert 300 <= event.usage.get("output", 0) <= 400


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_in_sound_alone_is_never_free(shared_rig, scripted, is_stream):
    audio = {"id": "audio_1", "data": "QUJD" * 4000}
    if is_stream:
        delta = {"index": 0, "delta": {"audio": audio}, "finish_reason": None}
        scripted.says(events=[ROLE, {"choices": [delta]}, {"choices": [delta]}, end(), DONE])
    else:
        message = {"role": "assistant", "content": None, "audio": audio}
        scripted.says(plain(usage=None, choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    fields = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
    answer = call(shared_rig, scripted.key, stream=is_stream, **fields)
    assert audio["data"] in answer.text
    event = recorded(shared_rig, scripted.key)
    seconds = (2 if is_stream else 1) * 12_000 / 48_000
    assert (event.status, event.is_exact) == ("ok", False)
    assert 20 * seconds <= event.usage.get("audio", 0) <= 80 * seconds


def test_sources_that_an_answer_cites_are_not_what_the_model_wrote(shared_rig, scripted):
    source = {"type": "url_citation", "url_citation": {"title": "t", "content": "word " * 400}}
    message = {"role": "assistant", "content": "short", "annotations": [source]}
    scripted.says(plain(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    assert call(shared_rig, scripted.key).status_code == 200
    event = recorded(shared_rig, scripted.key)
    assert (event.is_exact, event.usage.get("output", 0)) == (True, 6)


def test_bytes_that_are_no_text_pass(shared_rig, scripted):
    broken = (
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"w\xff\xfe"}}],"usage":'
        + json.dumps(USAGE).encode()
    )
    scripted.says(events=[broken + b"}\n\n", end(), DONE])
    answer = call(shared_rig, scripted.key, stream=True)
    assert b"[DONE]" in answer.content
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.usage.get("input", 0), event.usage.get("output", 0)) == ("ok", 12, 6)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"data": [{"index": 0, "embedding": "AACAPw=="}, {"index": 1, "embedding": [0.5]}]}, 200),
        ({"data": [{"index": 0, "embedding": [0.5]}]}, 502),
        ({"data": [{"index": 0, "embedding": [0.5]}, {"index": 1, "embedding": []}]}, 502),
        ({"data": [{"index": 0, "embedding": [0.5]}, {"index": 1, "embedding": None}]}, 502),
        ({"data": []}, 502), ({"data": None}, 502), ({}, 502), ({"error": "x", "data": []}, 502),
    ],
)  # fmt: skip
def test_embeddings_are_whole_with_a_vector_for_each_input(shared_rig, scripted, content, status):
    scripted.says({"object": "list", "usage": {"prompt_tokens": 7, "total_tokens": 7}, **content})
    answer = call(shared_rig, scripted.key, "embeddings", input=["one", "two"])
    assert answer.status_code == status
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.tokens) == (("ok", 7) if status == 200 else ("error", 0))


def test_an_engine_that_says_no_more_after_its_end_is_not_waited_for(shared_rig, scripted):
    scripted.says(events=[*WORDS, end(), 30.0, DONE])
    answer = call(shared_rig, scripted.key, stream=True)
    assert answer.elapsed.total_seconds() < 10
    assert "[DONE]" in answer.text
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("ok", False, 10)


@pytest.mark.parametrize(
    "usage",
    [
        b'{"prompt_tokens":1%s,"completion_tokens":6}' % (b"0" * 30),
        b'{"prompt_tokens":1%s}' % (b"0" * 5000),
        b'{"prompt_tokens":-1e400}', b'{"prompt_tokens":"12\xff"}', b'"many"', b"[]", b"7", b"null",
    ],
)  # fmt: skip
def test_no_usage_however_strange_costs_the_client_its_answer(shared_rig, scripted, usage):
    whole = b'{"id":"x","choices":[{"index":0,"message":{"content":"hi there friend"},"finish_reason":"stop"}],"usage":'
    scripted.says(whole + usage + b"}")
    answer = call(shared_rig, scripted.key)
    assert answer.status_code == 200
    assert b"hi there friend" in answer.content
    scripted.says(events=[*WORDS, end(), b'data: {"choices":[],"usage":' + usage + b"}\n\n", DONE])
    assert written(call(shared_rig, scripted.key, stream=True)) == "word " * 6
    for event in shared_rig.events(scripted.key, 2):
        assert (event.status, event.is_exact) == ("ok", False)
        assert event.usage.get("input", 0) > 0
        assert 5 <= event.usage.get("output", 0) <= 10


def test_an_error_in_a_field_of_its_own_name_ends_a_stream(shared_rig, scripted):
    """So llama.cpp told errors, instead of as data."""
    scripted.says(
        events=[*WORDS, 0.4, b'error: {"code":400,"message":"the context is full","type":"x"}\n\n', DONE]
    )
    answer = call(shared_rig, scripted.key, stream=True)
    assert "[DONE]" not in answer.text
    assert "the context is full" in answer.text
    assert recorded(shared_rig, scripted.key).status == "error"


TOOL = {"index": 0, "id": "1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
UNTOLD = {
    "a tool without arguments": {"role": "assistant", "content": None, "tool_calls": [TOOL]},
    "words under a name of its own": {"role": "assistant", "content": None, "musings": "words of a model"},
}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("name", UNTOLD)
def test_what_an_answer_consists_of_is_never_free(shared_rig, scripted, name, is_stream):
    message = {"index": 0, "finish_reason": None, "delta": UNTOLD[name]}
    told = {"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12}
    if is_stream:
        scripted.says(events=[{"choices": [message]}, end(), {"choices": [], "usage": told}, DONE])
    else:
        choice = {"index": 0, "message": UNTOLD[name], "finish_reason": "stop"}
        scripted.says({"choices": [choice], "usage": told})
    assert call(shared_rig, scripted.key, stream=is_stream).status_code == 200
    event = recorded(shared_rig, scripted.key)
    assert event.usage.get("output", 0) >= 3
    assert not event.is_exact


@pytest.mark.parametrize("strange", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_number_that_is_none_spoils_no_answer(shared_rig, scripted, strange, is_stream):
    """Python's servers write these into their JSON; no other reader takes them."""
    usage = b'"usage":{"prompt_tokens":%s,"completion_tokens":6}' % strange.encode()
    if is_stream:
        scripted.says(events=[*WORDS, end(), b'data: {"id":"c","choices":[],%s}\n\n' % usage, DONE])
    else:
        choice = b'{"index":0,"message":{"content":"hi there"},"finish_reason":"stop"}'
        scripted.says(b'\xef\xbb\xbf{"choices":[%s],%s}' % (choice, usage))
    options = {"include_usage": True} if is_stream else None
    answer = call(shared_rig, scripted.key, stream=is_stream, stream_options=options)
    assert answer.status_code == 200
    assert strange not in answer.text
    assert '"error"' not in answer.text
    event = recorded(shared_rig, scripted.key)
    assert event.usage.get("input", 0) > 0
    assert event.usage.get("output", 0) > 0
    assert not event.is_exact


def test_a_stream_needs_no_content_type(shared_rig):
    events = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in (*WORDS, end(), TOLD)) + DONE

    def serve(server):
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + events)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        key = add_route(shared_rig, MODEL, target(id="untyped", url=url, upstream_model="up"))
        answer = call(shared_rig, key, stream=True)
    shared_rig.routes = [route for route in shared_rig.routes if route.model != MODEL]
    shared_rig.publish()
    assert written(answer) == "word " * 6
    assert answer.text.endswith("data: [DONE]\n\n")
