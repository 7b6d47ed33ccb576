"""The Responses API, streamed, with the official client: typed events, metered to the token."""

import json

import openai
import pytest

from tests.gateway.responses import (
    BEGIN,
    CALL,
    END,
    KINDS,
    MESSAGE,
    MODEL,
    PART,
    TEXTS,
    USAGE,
    WEATHER,
    ask,
    event,
    post,
    responding,
    response,
)
from tests.gateway.scripted_backend import OWN_NAME


@pytest.fixture
def backend(shared_rig):
    with responding(shared_rig) as backend:
        yield backend


def test_a_stream_passes_as_typed_events_and_is_exactly_metered(shared_rig, backend):
    backend.says(events=[*BEGIN, *TEXTS, END])
    events = list(ask(backend, stream=True))
    assert [one.type for one in events][-2:] == ["response.output_text.delta", "response.completed"]
    assert "".join(one.delta for one in events if one.type.endswith(".delta")) == "Hello there, friend."
    last = events[-1].response
    assert (last.model, last.usage.output_tokens, last.output_text) == (MODEL, 25, "Hello there, friend.")
    assert {one.response.id for one in events if hasattr(one, "response")} == {last.id}
    assert OWN_NAME not in str(events)
    (seen,) = shared_rig.events(backend.key, 1)
    assert (seen.usage, seen.is_exact, seen.is_stream, seen.first_token_ms is not None) == (
        KINDS,
        True,
        True,
        True,
    )


def test_the_stream_helper_collects_an_answer(backend):
    backend.says(events=[*BEGIN, PART, *TEXTS, END])
    with backend.client.responses.stream(model=MODEL, input="x") as stream:
        assert stream.get_final_response().output_text == "Hello there, friend."


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_stream_may_be_cut_anywhere(shared_rig, backend, size):
    whole = b"".join([*BEGIN, *TEXTS, END, b"data: [DONE]\n\n"]).replace(
        b"\n", b"\r\n" if size == 7 else b"\n"
    )
    backend.says(events=[whole[at : at + size] for at in range(0, len(whole), size)])
    assert list(ask(backend, stream=True))[-1].type == "response.completed"
    assert shared_rig.events(backend.key, 1)[0].usage == KINDS


def test_a_streamed_call_of_a_tool(shared_rig, backend):
    place = {"item_id": "fc_1", "output_index": 0}
    usage = {
        **USAGE,
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 52,
    }
    backend.says(
        events=[
            *BEGIN[:2],
            event("response.output_item.added", 2, output_index=0, item={**CALL, "arguments": ""}),
            event("response.function_call_arguments.delta", 3, delta='{"city":', **place),
            event("response.function_call_arguments.delta", 4, delta='"Oslo"}', **place),
            event(
                "response.function_call_arguments.done",
                5,
                arguments=CALL["arguments"],
                name="weather",
                **place,
            ),
            event("response.output_item.done", 6, output_index=0, item=CALL),
            event("response.completed", 7, response=response(CALL, usage=usage)),
        ]
    )
    events = list(ask(backend, stream=True, tools=[WEATHER]))
    assert events[-1].response.output[0].arguments == CALL["arguments"]
    (seen,) = shared_rig.events(backend.key, 1)
    assert (seen.usage, seen.is_exact) == ({"input": 32, "cache_read": 8, "output": 12}, True)


def test_missing_usage_is_estimated(shared_rig, backend):
    backend.says(
        events=[*BEGIN, *TEXTS, event("response.completed", 6, response=response(MESSAGE, usage=None))]
    )
    list(ask(backend, stream=True))
    backend.says(response(MESSAGE, usage=None))
    ask(backend)
    for seen in shared_rig.events(backend.key, 2):
        assert (seen.usage["output"], seen.is_exact, seen.status) == (7, False, "ok"), seen


def test_a_client_that_hangs_up_pays_what_it_got(shared_rig, backend):
    backend.says(events=[*BEGIN, *TEXTS, 30.0, END])
    stream = ask(backend, stream=True)
    for one in stream:
        if one.type.endswith(".delta") and one.delta == "friend.":
            break
    stream.close()
    (seen,) = shared_rig.events(backend.key, 1)
    assert (seen.status, seen.usage["output"], seen.is_exact) == ("cancelled", 7, False)


@pytest.mark.parametrize(
    ("ending", "match"),
    [
        ([], "stopped in the middle"),
        ([None], "stopped in the middle"),
        ([event("error", 9, code="rate_limit_exceeded", message="Slow down.", param=None)], "Slow down"),
        (
            [
                event(
                    "response.failed",
                    9,
                    response=response(status="failed", error={"code": "x", "message": "Bad."}),
                )
            ],
            "Bad.|stopped",
        ),
        ([b"data: nonsense\n\n"], "nonsense"),
        ([b'data: {"no":"type"}\n\n'], "stopped in the middle"),
        ([b'data: {"type":"x\\n\\ndata: forged"}\n\n'], "stopped in the middle"),
        ([b'data: {"type":"\\ud800"}\n\n'], "stopped in the middle"),
        ([event("response.completed", 9, response={"status": "completed"})], "stopped in the middle"),
    ],
    ids=["end", "break", "error", "failed", "nonsense", "no type", "two lines", "half a character", "empty"],
)
def test_a_stream_that_breaks_off_raises_in_the_client(shared_rig, backend, ending, match):
    backend.says(events=[*BEGIN, *TEXTS, 0.3, *ending])
    with pytest.raises(openai.APIError, match=match):
        list(ask(backend, stream=True))
    (seen,) = shared_rig.events(backend.key, 1)
    assert (seen.status, seen.http_status, seen.usage["output"], seen.is_exact) == ("error", 200, 7, False)


def test_odd_members_of_an_event_pass(shared_rig, backend):
    odd = event("response.output_text.delta", 3, delta="Hello there, friend.", logprobs=7, sequence="x")
    backend.says(events=[*BEGIN, odd, END])
    assert list(ask(backend, stream=True))[-1].type == "response.completed"
    assert shared_rig.events(backend.key, 1)[0].usage == KINDS


def test_a_failure_before_the_first_word_is_a_plain_error(backend):
    backend.says(
        events=[*BEGIN, event("error", 9, code="rate_limit_exceeded", message="Slow down.", param=None)]
    )
    with pytest.raises(openai.RateLimitError):
        ask(backend, stream=True)


def test_the_last_event_has_both_forms_of_an_error(shared_rig, backend):
    backend.says(events=[*BEGIN, *TEXTS])
    text = post(shared_rig, backend, {"stream": True}).text
    name, data = text.strip().rsplit("\n\n", 1)[-1].split("\n")
    last = json.loads(data.removeprefix("data: "))
    assert (name, last["type"], last["code"]) == ("event: error", "error", last["error"]["code"])
    assert last["message"] == last["error"]["message"]
