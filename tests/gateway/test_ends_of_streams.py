"""Where a stream ends: the end of each choice decides, not what the connection does afterwards."""

import json
import time

import pytest
import requests

from tests.gateway.scripted_backend import USAGE, chunk, plain, scripted_backend

MODEL = "aurora-ends"
DONE = b"data: [DONE]\n\n"
# 30 bytes: 10 tokens where nobody tells.
WORDS = [chunk() for _ in range(6)]
TOLD = {"id": "c", "choices": [], "usage": USAGE}
HALF = b'data: {"id":"c","choices":[],"usage":{"prompt_tok'
# The connection, without an end of the answer's body.
BREAKS = None


def end(index=0, reason="stop", **more):
    return {"id": "c", "choices": [{"index": index, "delta": {}, "finish_reason": reason}], **more}


def piece(index, text="word "):
    return {"id": "c", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}


@pytest.fixture
def scripted(shared_rig):
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


def call(rig, key, **fields):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello hello"}], **fields}
    headers = {"authorization": f"Bearer {key}"}
    return requests.post(f"{rig.gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def outcome(rig, key):
    (event,) = rig.events(key, 1)
    return event.status, event.is_exact, event.usage.get("input", 0), event.usage.get("output", 0)


def is_sound(answer):
    """Whether a client can read each event."""
    lines = [line[5:].strip() for line in answer.text.splitlines() if line.startswith("data:")]
    return all(line == "[DONE]" or json.loads(line) for line in lines)


BROKEN_AFTER_THE_END = {
    "no usage": ([*WORDS, end(), 0.2, BREAKS], ("ok", False, 20, 10)),
    "usage": ([*WORDS, end(), TOLD, 0.2, BREAKS], ("ok", True, 12, 6)),
    "half of its usage": ([*WORDS, end(), HALF, 0.2, BREAKS], ("ok", False, 20, 10)),
    "half of its usage, and an end of the body": ([*WORDS, end(), HALF], ("ok", False, 20, 10)),
    "the mark": ([*WORDS, end(), TOLD, DONE, BREAKS], ("ok", True, 12, 6)),
    "the mark and no usage": ([*WORDS, end(), DONE, 0.2, BREAKS], ("ok", False, 20, 10)),
}


@pytest.mark.parametrize("name", BROKEN_AFTER_THE_END)
def test_a_connection_that_breaks_after_the_end_of_an_answer_takes_nothing_from_it(
    shared_rig, scripted, name
):
    events, expected = BROKEN_AFTER_THE_END[name]
    scripted.says(events=events)
    answer = call(shared_rig, scripted.key, stream=True)
    assert answer.text.count("[DONE]") == 1
    assert '"error"' not in answer.text
    assert is_sound(answer)
    assert outcome(shared_rig, scripted.key) == expected
    assert len(shared_rig.events(scripted.key, 1)) == 1


@pytest.mark.parametrize(
    "broken", [[BREAKS], [HALF, BREAKS], [HALF], []], ids=["at once", "half", "half, end", "end"]
)
def test_a_connection_that_breaks_before_the_end_is_an_error(shared_rig, scripted, broken):
    scripted.says(events=[*WORDS, 0.2, *broken])
    answer = call(shared_rig, scripted.key, stream=True)
    assert "[DONE]" not in answer.text
    assert '"error"' in answer.text
    assert is_sound(answer)
    status, is_exact, _, output = outcome(shared_rig, scripted.key)
    assert (status, is_exact, output) == ("error", False, 10)


LATE = {
    "at once": [TOLD],
    "after a while": [0.5, TOLD],
    "in pieces": [0.2, json.dumps({"x": 1}).encode(), b"\n\ndata: ", json.dumps(TOLD).encode(), b"\n\n"],
    "among other things": [
        b": ping\n\n",
        piece(0, "never seen"),
        {"error": {"message": "x"}},
        b"data: [DONE]\n\n",
        TOLD,
    ],
}


@pytest.mark.parametrize(
    "first",
    [[end()], [{"id": "c", "choices": [{"index": 0, "delta": {}}]}]],
    ids=["with an end", "with the mark alone"],
)
@pytest.mark.parametrize("late", LATE)
def test_usage_that_comes_after_the_mark_counts(shared_rig, scripted, late, first):
    scripted.says(events=[*WORDS, *first, DONE, *LATE[late]])
    answer = call(shared_rig, scripted.key, stream=True)
    assert answer.text.count("[DONE]") == 1
    assert "never seen" not in answer.text
    assert outcome(shared_rig, scripted.key) == ("ok", True, 12, 6)


@pytest.mark.parametrize("late", LATE)
def test_usage_after_the_mark_reaches_a_client_that_asked_for_it(shared_rig, scripted, late):
    scripted.says(events=[*WORDS, end(), DONE, *LATE[late]])
    answer = call(shared_rig, scripted.key, stream=True, stream_options={"include_usage": True})
    assert is_sound(answer)
    assert "never seen" not in answer.text
    last, mark = [line for line in answer.text.splitlines() if line.startswith("data:")][-2:]
    assert (json.loads(last[5:])["usage"], mark) == (USAGE, "data: [DONE]")
    assert answer.text.count('"usage"') == 1


def test_usage_after_the_mark_counts_also_when_the_client_has_gone(shared_rig, scripted):
    scripted.says(events=[*WORDS, end(), DONE, 1.0, TOLD])
    with requests.post(
        f"{shared_rig.gateway.url}/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "stream": True},
        headers={"authorization": f"Bearer {scripted.key}"},
        stream=True,
        timeout=60,
    ) as answer:
        for line in answer.iter_lines():
            if b"stop" in line:
                break
    assert outcome(shared_rig, scripted.key) == ("cancelled", True, 12, 6)


def test_a_backend_that_goes_on_for_ever_after_its_end_is_left(shared_rig, scripted):
    scripted.says(events=[*WORDS, end(), DONE, *[b": ping\n\n", 0.5] * 40])
    before = time.monotonic()
    answer = call(shared_rig, scripted.key, stream=True)
    assert time.monotonic() - before < 10
    assert answer.text.count("[DONE]") == 1
    assert outcome(shared_rig, scripted.key) == ("ok", False, 20, 10)


SEVERAL = {
    "one without an end": ([*WORDS, piece(1), end(0), TOLD, DONE], False),
    "one that was only announced": ([{"id": "c", "choices": [
        {"index": 1, "delta": {"role": "assistant"}, "finish_reason": None}]}, *WORDS, end(0), TOLD, DONE], False),
    "one that ended in an error": ([*WORDS, piece(1), end(0), end(1, "error"), TOLD, DONE], False),
    "one that ended in an ERROR": ([*WORDS, piece(1), end(0), end(1, "ERROR"), TOLD, DONE], False),
    "both with an end": ([*WORDS, piece(1), end(1), end(0), TOLD, DONE], True),
    "neither with an end, as some servers send it": ([*WORDS, piece(1), TOLD, DONE], True),
    "one alone, as servers send it that know no `n`": ([*WORDS, end(0), TOLD, DONE], True),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_choices_each_that_was_begun_needs_its_end(shared_rig, scripted, name):
    events, is_whole = SEVERAL[name]
    scripted.says(events=events)
    answer = call(shared_rig, scripted.key, stream=True, n=2)
    assert ("[DONE]" in answer.text) is is_whole
    assert ('"error"' in answer.text) is not is_whole
    assert outcome(shared_rig, scripted.key)[0] == ("ok" if is_whole else "error")


@pytest.mark.parametrize(
    ("reasons", "status"),
    [
        (("stop", "stop"), 200), (("stop", "length"), 200), ((None, None), 200), (("stop",), 200),
        (("stop", None), 502), (("", "stop"), 502), (("stop", "Error"), 502),
    ],
)  # fmt: skip
def test_of_several_choices_of_a_plain_answer_each_needs_its_end_too(shared_rig, scripted, reasons, status):
    message = {"role": "assistant", "content": "hi there"}
    choices = [{"index": n, "message": message, "finish_reason": reason} for n, reason in enumerate(reasons)]
    scripted.says(plain(choices=choices))
    assert call(shared_rig, scripted.key, n=2).status_code == status
    event_status, _, *tokens = outcome(shared_rig, scripted.key)
    assert event_status == ("ok" if status == 200 else "error")
    assert bool(sum(tokens)) is (status == 200)
