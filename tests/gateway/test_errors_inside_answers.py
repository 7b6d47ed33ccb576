"""Errors inside a 200, as servers are known to write them, cost nothing; objects and codes of success spoil nothing."""

import pytest

from gateway.proxy.answer_errors import error_in
from tests.gateway.scripted_backend import chunk, plain, scripted_backend, spoken
from tests.gateway.test_whole_answers import DONE, MODEL, TOLD, WORDS, call, end, recorded, written


@pytest.fixture
def scripted(shared_rig):
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


# What stands beside, or instead of, the choices.
TOLD_ERRORS = {
    "MiniMax": {"base_resp": {"status_code": 1000, "status_msg": "unknown error"}},
    "MiniMax, camel case": {"baseResp": {"statusCode": 1000, "statusMsg": "unknown error"}},
    "Baidu": {"error_code": 336100, "error_msg": "try again"},
    "Baidu, text": {"error_code": "336100", "error_msg": "try again"},
    "an error's text alone": {"error_msg": "try again"},
    "Spark": {"header": {"code": 10013, "message": "blocked", "sid": "x"}},
    "Spark, flat": {"code": 10013, "message": "blocked", "sid": "x"},
    "Zhipu": {"error": {"code": "1305", "message": "busy"}},
    "Zhipu's gateway": {"success": False, "code": 500, "msg": "system error"},
    "DashScope": {"code": "InternalError.Algo", "message": "inference failed", "request_id": "x"},
    "SiliconFlow": {"code": 50508, "message": "System is too busy now.", "data": None},
    "Cloudflare": {"success": False, "errors": [{"code": 7000, "message": "no route"}], "result": None},
    "Ollama": {"error": "model runner has unexpectedly stopped"},
    "vLLM behind RunPod": {
        "object": "error",
        "code": 500,
        "message": "x",
        "type": "InternalServerError",
        "param": None,
    },
    "WeChat's style": {"errcode": 45009, "errmsg": "api freq out of limit"},
    "a status in words": {"status": "failed"},
    "a status in numbers": {"status": 503, "title": "Service Unavailable"},
    "camel case": {"errorCode": "E_GPU", "errorMessage": "x"},
    "a negative code": {"code": -1, "message": "x"},
    "nothing but a failed success": {"success": False},
    "an error's number": {"error": 7},
    "a list of errors": {"error": [{"message": "x"}]},
}


@pytest.mark.parametrize("instead", [True, False], ids=["instead", "beside"])
@pytest.mark.parametrize("name", TOLD_ERRORS)
def test_an_error_in_a_plain_answer_is_a_failure_of_the_backend(shared_rig, scripted, name, instead):
    said = TOLD_ERRORS[name]
    zeros = {"usage": {"total_tokens": 0}}
    scripted.says({"choices": None, **said, **zeros} if instead else plain(**said))
    answer = call(shared_rig, scripted.key)
    assert answer.status_code in (502, 503)
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.tokens) == ("error", 0)


@pytest.mark.parametrize("instead", [True, False], ids=["instead", "beside"])
@pytest.mark.parametrize("name", TOLD_ERRORS)
def test_an_error_in_an_event_ends_the_stream(shared_rig, scripted, name, instead):
    said = TOLD_ERRORS[name]
    event = {"choices": [], **said, "usage": {"total_tokens": 0}} if instead else chunk(**said)
    scripted.says(events=[*WORDS, 0.2, event, end(), TOLD, DONE])
    answer = call(shared_rig, scripted.key, stream=True)
    assert "[DONE]" not in answer.text
    assert '"error"' in answer.text
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact) == ("error", False)
    assert 6 <= event.usage.get("output", 0) <= 10


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None}, 429),
        ({"base_resp": {"status_code": 1039, "status_msg": "token limit"}, "choices": None}, 429),
        ({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}, "choices": None}, 400),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, 502),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, 502),
        ([{"error": {"code": 400, "message": "Unknown name", "status": "INVALID_ARGUMENT"}}], 400),
        ([{"error": {"code": 429, "message": "quota per minute", "status": "RESOURCE_EXHAUSTED"}}], 429),
        ([{"error": {"code": 500, "message": "x", "status": "INTERNAL"}}], 502),
    ],
)
def test_the_status_that_an_error_should_have_had_decides(shared_rig, scripted, said, status):
    scripted.says(said)
    assert call(shared_rig, scripted.key).status_code == status
    assert recorded(shared_rig, scripted.key).tokens == 0


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("place", ["choice", "message"])
def test_an_error_inside_a_choice_or_its_message_is_one(shared_rig, scripted, place, is_stream):
    error = {"error": {"message": "upstream died", "code": 502}}
    piece = {"role": "assistant", "content": "word "}
    piece, beside = (piece, error) if place == "choice" else (piece | error, {})
    choice = {"index": 0, "delta" if is_stream else "message": piece, "finish_reason": "stop", **beside}
    if is_stream:
        scripted.says(events=[*WORDS, 0.2, {"id": "c", "choices": [choice]}, TOLD, DONE])
        answer = call(shared_rig, scripted.key, stream=True)
        assert "[DONE]" not in answer.text
    else:
        scripted.says(plain(choices=[choice]))
        assert call(shared_rig, scripted.key).status_code == 502
    assert recorded(shared_rig, scripted.key).status == "error"


NO_ERRORS = {
    "MiniMax": {"base_resp": {"status_code": 0, "status_msg": ""}},
    "Spark": {"code": 0, "message": "Success", "sid": "x"},
    "SiliconFlow": {"code": 20000, "message": "Ok", "status": True},
    "a number of success": {"code": 10000, "msg": "请求成功"},
    "a number without a sentence": {"code": 10000},
    "a code of HTTP": {"code": 200, "msg": "success", "success": True},
    "words": {"code": "Success", "message": "", "status": "completed", "error_code": "0", "error_msg": "success"},
    "WeChat's style": {"errcode": 0, "errmsg": "ok"},
    "an error of nothing, as proxies of Gemini send it": {
        "error": {"message": "", "type": "", "param": None, "code": None}},
    "an error with a code of success": {"error": {"code": 0, "message": ""}, "errors": [{}]},
    "an object's state": {"status": "in_progress", "header": {"x": 1}},
}  # fmt: skip


@pytest.mark.parametrize("name", NO_ERRORS)
def test_what_says_that_there_is_no_error_spoils_no_answer(shared_rig, scripted, name):
    told = NO_ERRORS[name]
    scripted.says(plain(**told))
    answer = call(shared_rig, scripted.key)
    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "hi there friend")
    scripted.says(events=[*[chunk(**told) for _ in range(6)], end(**told), TOLD, DONE])
    answer = call(shared_rig, scripted.key, stream=True)
    assert written(answer) == "word " * 6
    assert "stopped in the middle" not in answer.text
    for event in shared_rig.events(scripted.key, 2):
        assert (event.status, event.is_exact, event.usage.get("input", 0), event.usage.get("output", 0)) == (
            "ok",
            True,
            12,
            6,
        )


def test_vectors_with_a_code_of_success_are_vectors():
    assert error_in({"code": 0, "message": "success", "data": [{"embedding": [0.5]}]}) is None
    assert error_in({"code": 500, "message": "x", "data": [{"embedding": [0.5]}]}).status == 500


def test_an_error_nested_without_end_is_an_error():
    nested = {"message": ""}
    for _ in range(900):
        nested = {"inner": nested}
    assert error_in({"error": nested, "choices": [{"message": {}}]}) is not None


ENDS = {
    "an object": {"finish_reason": {"type": "stop"}},
    "an object with a reason": {"finish_reason": {"reason": "length", "matched": None}},
    "SGLang's": {"finish_reason": {"type": "stop", "matched": 151645}},
    "an object whose stop text speaks of an error": {
        "finish_reason": {"type": "stop", "stop": "fatal error"}
    },
    "a number": {"finish_reason": 1},
    "true": {"finish_reason": True},
    "a list": {"finish_reason": ["stop"]},
    "camel case": {"finishReason": "STOP"},
    "OpenAI's earlier vision": {
        "finish_reason": None,
        "finish_details": {"type": "stop", "stop": "<|im_end|>"},
    },
}


@pytest.mark.parametrize("name", ENDS)
def test_an_end_of_another_kind_than_text_is_an_end(shared_rig, scripted, name):
    last = {"id": "c", "choices": [{"index": 0, "delta": {}, **ENDS[name]}]}
    # No mark: the end alone counts.
    scripted.says(events=[*WORDS, last, TOLD])
    answer = call(shared_rig, scripted.key, stream=True)
    assert answer.text.count("[DONE]") == 1
    scripted.says(plain(choices=[{"index": 0, "message": {"content": "hi there friend"}, **ENDS[name]}]))
    assert call(shared_rig, scripted.key).status_code == 200
    for event in shared_rig.events(scripted.key, 2):
        assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("ok", True, 6)


@pytest.mark.parametrize(
    "reason",
    [
        {"type": "error"}, {"type": "abort", "message": "x"}, {"reason": "worker timeout"}, {"error": "x"}, ["error"],
        {"type": {"name": "cancelled"}}, "network_error", "DEADLINE_EXCEEDED", "connection_closed", "out_of_memory",
        {"type": "stop", "error": {"message": "died"}},
    ],
)  # fmt: skip
def test_an_end_of_another_kind_that_failed_is_an_error(shared_rig, scripted, reason):
    last = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    scripted.says(events=[*WORDS, 0.2, last, TOLD, DONE])
    assert "[DONE]" not in call(shared_rig, scripted.key, stream=True).text
    scripted.says(plain(choices=[{"index": 0, "message": {"content": "x"}, "finish_reason": reason}]))
    assert call(shared_rig, scripted.key).status_code == 502
    assert [event.status for event in shared_rig.events(scripted.key, 2)] == ["error", "error"]


@pytest.mark.parametrize("nothing", [None, "", {}, [], 0, False, {"type": None}])
def test_a_stream_that_says_to_the_last_that_it_has_no_end_is_never_exact(shared_rig, scripted, nothing):
    """Proxies of Gemini and others send such streams whole, so it is an answer."""
    piece = {"id": "c", "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": nothing}]}
    scripted.says(events=[*[piece] * 6, TOLD, DONE])
    answer = call(shared_rig, scripted.key, stream=True)
    assert (written(answer), answer.text.count("[DONE]")) == ("word " * 6, 1)
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("ok", False, 6)
    scripted.says(events=[*[piece] * 6, TOLD])
    assert "[DONE]" not in call(shared_rig, scripted.key, stream=True).text


@pytest.mark.parametrize(
    ("indexes", "is_exact"),
    [
        ((0, 1), True),
        ((0, 0), False),
        ((1, 1), False),
        ((None, None), True),
        (("0", "1"), True),
        ((0,), True),
    ],
)
def test_of_two_choices_that_are_told_as_one_nothing_is_exact(shared_rig, scripted, indexes, is_exact):
    message = {"role": "assistant", "content": "hi there friend"}
    scripted.says(
        plain(choices=[{"index": one, "message": message, "finish_reason": "stop"} for one in indexes])
    )
    assert call(shared_rig, scripted.key, n=2).status_code == 200
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("ok", is_exact, 6)


@pytest.mark.parametrize(
    ("indexes", "is_exact"), [((0, 1), True), ((0, 0), False), (("0", "1"), True), ((0,), True)]
)
def test_nor_in_a_stream(shared_rig, scripted, indexes, is_exact):
    pieces = [spoken(one) for one in indexes] * 2
    # The first choice may end before the other has said all.
    for one in indexes:
        pieces += [spoken(one), spoken(one, "", "stop")]
    scripted.says(events=[*pieces, TOLD, DONE])
    assert call(shared_rig, scripted.key, n=2, stream=True).text.count("[DONE]") == 1
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.usage.get("output", 0)) == ("ok", is_exact, 6)


BEYOND = {"prompt_tokens": 12, "completion_tokens": 262_144, "total_tokens": 262_156}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("fields", [{}, {"max_tokens": 300_000}, {"n": 2}])
def test_tokens_far_beyond_the_bytes_of_an_answer_are_not_billed(shared_rig, scripted, fields, is_stream):
    if is_stream:
        ends = [end(index=one) for one in range(fields.get("n", 1))]
        scripted.says(events=[chunk("hi"), *ends, {"choices": [], "usage": BEYOND}, DONE])
    else:
        choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
        scripted.says(plain(choices=[choice], usage=BEYOND))
    assert call(shared_rig, scripted.key, stream=is_stream, **fields).status_code == 200
    event = recorded(shared_rig, scripted.key)
    assert (event.status, event.is_exact, event.tokens) == ("ok", False, 13)


def test_reasoning_that_the_call_asked_for_is_billed_without_a_name(shared_rig, scripted):
    told = {"prompt_tokens": 12, "completion_tokens": 1800, "total_tokens": 1812}
    scripted.says(plain(usage=told))
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1500}, "max_tokens": 2000}
    assert call(shared_rig, scripted.key, **fields).status_code == 200
    event = recorded(shared_rig, scripted.key)
    assert (event.is_exact, event.usage.get("output", 0)) == (False, 1800)


def test_the_arguments_of_a_tool_have_room_also_as_an_object(shared_rig, scripted):
    tool = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": "word " * 800}}}
    choice = {"index": 0, "message": {"content": None, "tool_calls": [tool]}, "finish_reason": "tool_calls"}
    scripted.says(
        plain(choices=[choice], usage={"prompt_tokens": 12, "completion_tokens": 900, "total_tokens": 912})
    )
    assert call(shared_rig, scripted.key).status_code == 200
    event = recorded(shared_rig, scripted.key)
    assert (event.is_exact, event.usage.get("output", 0)) == (True, 900)
