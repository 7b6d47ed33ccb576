"""What a backend says twice, and not alike, is billed at the larger number and is never exact."""

import json

import pytest

from gateway.contract import total_tokens
from gateway.proxy.delivered import Delivered
from gateway.proxy.evidence import count_tokens
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.streaming import EventStream
from gateway.proxy.usage import read_usage
from gateway.proxy.whole_answers import as_json, read_answer, written
from tests.gateway.reported_usage import bounds
from tests.gateway.test_proxy_counting import a_route, backend

TEXT = "word " * 120
CHOICE = json.dumps({"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"})
PIECE = json.dumps({"choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"}]})
MANY = '{"prompt_tokens":12,"completion_tokens":500}'
ONE = '{"prompt_tokens":12,"completion_tokens":50}'

TOLD_TWICE = {
    "a number": '"usage":{"prompt_tokens":12,"completion_tokens":500,"completion_tokens":50}',
    "a number, the larger last": '"usage":{"prompt_tokens":12,"completion_tokens":50,"completion_tokens":500}',
    "a name and its escape": '"usage":{"prompt_tokens":12,"completion_tokens":500,"completion\\u005ftokens":50}',
    "a number and null": '"usage":{"prompt_tokens":12,"completion_tokens":500,"completion_tokens":null}',
    "a number and a text": '"usage":{"prompt_tokens":12,"completion_tokens":500,"completion_tokens":"some"}',
    "the object": f'"usage":{MANY},"usage":{ONE}',
    "the object, the larger last": f'"usage":{ONE},"usage":{MANY}',
    "the object and null": f'"usage":{MANY},"usage":null',
    "the object under an escape": f'"usage":{MANY},"\\u0075sage":{ONE}',
    "the object, in another object": f'"x_groq":{{"usage":{MANY}}},"x_groq":{{"usage":{ONE}}}',
    "the object, and in another object": f'"usage":{ONE},"x_groq":{{"usage":{MANY}}}',
    "Ollama's names": '"prompt_eval_count":12,"eval_count":500,"eval_count":50',
    "llama.cpp's names": '"timings":{"prompt_n":12,"predicted_n":500,"predicted_n":50}',
    "no number": '"usage":{"prompt_tokens":12,"completion_tokens":NaN,"completion_tokens":500}',
}


def whole(told):
    return f'{{"id":"x","choices":[{CHOICE}],{told}}}'.encode()


def counted_plain(told):
    answer = read_answer(whole(told), "chat")
    return count_tokens(answer.reported, bounds(), answer.delivered)


def counted_in_stream(told):
    stream = EventStream(Names(a_route(backend()).groups[0][0], "public"), hides_usage=False)
    for event in (PIECE, f'{{"choices":[],{told}}}', "[DONE]"):
        stream.feed(f"data: {event}\n\n".encode())
    return count_tokens(stream.reported, bounds(), stream.delivered, is_partial=stream.is_partial)


@pytest.mark.parametrize("counted", [counted_plain, counted_in_stream])
@pytest.mark.parametrize("name", TOLD_TWICE)
def test_what_is_told_twice_and_not_alike_is_billed_at_the_larger_and_inexact(counted, name):
    assert counted(TOLD_TWICE[name]) == ({"input": 12, "output": 500}, False)


TOLD_TWICE_INSIDE = {
    "details": '"completion_tokens_details":{"reasoning_tokens":300},"completion_tokens_details":{"audio_tokens":0}',
    "a number in details": '"completion_tokens_details":{"reasoning_tokens":300,"reasoning_tokens":5}',
}


@pytest.mark.parametrize("counted", [counted_plain, counted_in_stream])
@pytest.mark.parametrize("name", TOLD_TWICE_INSIDE)
def test_so_are_details(counted, name):
    told = f'"usage":{{"prompt_tokens":12,"completion_tokens":500,{TOLD_TWICE_INSIDE[name]}}}'
    assert counted(told) == ({"input": 12, "output": 200, "reasoning": 300}, False)


def test_a_modality_that_is_listed_twice_and_not_alike_is_inexact():
    images = [{"modality": "IMAGE", "tokenCount": count} for count in (8, 3)]
    usage = {"promptTokenCount": 12, "candidatesTokenCount": 6, "promptTokensDetails": images}
    text = Delivered(bytes=20, pieces=1)
    assert count_tokens(read_usage({"usage": usage}), bounds(), text) == (
        {"input": 4, "image": 8, "output": 6},
        False,
    )
    usage["promptTokensDetails"] = images[:1]
    assert count_tokens(read_usage({"usage": usage}), bounds(), text)[1] is True


@pytest.mark.parametrize("counted", [counted_plain, counted_in_stream])
@pytest.mark.parametrize(
    "told",
    [
        '"usage":{"prompt_tokens":12,"completion_tokens":500,"completion_tokens":500}',
        f'"usage":{MANY},"usage":{MANY}',
        f'"usage":{MANY},"x_groq":{{"usage":{MANY}}}',
        f'"usage":{MANY},"usage_metadata":{{"promptTokenCount":12,"candidatesTokenCount":20,"thoughtsTokenCount":480}}',
        '"usage":{"prompt_tokens":12,"completion_tokens":500,"cost":1,"cost":2}',
        '"usage":{"prompt_tokens":12,"completion_tokens":500},"created":1,"created":2',
        '"usage":{"prompt_tokens":12,"completion_tokens":5e2}',
        '"usage":{"prompt_tokens":12,"completion_tokens":500}',
        # An older llama.cpp leaves what a cache had out of its timings.
        f'"usage":{MANY},"timings":{{"prompt_n":3,"predicted_n":500}}',
    ],
)
def test_what_is_told_twice_alike_or_means_nothing_to_us_is_exact(counted, told):
    counts, is_exact = counted(told)
    assert (total_tokens(counts), is_exact) == (512, True)


@pytest.mark.parametrize("counted", [counted_plain, counted_in_stream])
@pytest.mark.parametrize(
    "number",
    ['"5_00"', '"٥٠٠"', '" 500 "', '"5e2"', "NaN", "Infinity", "-Infinity", "true", "1e400", "[500]", "-1"],
)
@pytest.mark.parametrize("total", ["", ',"total_tokens":512'])
def test_what_is_no_number_is_never_exact(counted, number, total):
    assert counted(f'"usage":{{"prompt_tokens":12,"completion_tokens":{number}{total}}}')[1] is False


def test_an_answer_with_nan_keeps_all_else_as_it_was():
    raw = b'{"logprob": -Infinity, "a": 1.10, "a": NaN, "text": "NaN \\" -Infinity", "n": NaN}'
    kept = b'{"logprob": null, "a": 1.10, "a": null, "text": "NaN \\" -Infinity", "n": null}'
    assert as_json(raw) == kept
    assert as_json(b'{"NaN": NaN') == b'{"NaN": NaN'


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}, 60),
        (
            {
                "content": None,
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"q": "x" * 900}}}],
            },
            900,
        ),
        ({"content": "hi", "reasoning_summary": "y" * 300}, 300),
        ({"content": "hi", "steps": [{"words": "z" * 300}]}, 300),
    ],
)
def test_what_came_under_other_names_is_evidence(message, tokens):
    usage = {"prompt_tokens": 12, "completion_tokens": tokens}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = read_answer(json.dumps({"choices": [choice], "usage": usage}).encode(), "chat")
    assert count_tokens(answer.reported, bounds(), answer.delivered) == (
        {"input": 12, "output": tokens},
        True,
    )


def test_what_only_describes_is_no_evidence():
    message = {"content": "hi", "id": "x" * 900, "role": "assistant", "refusal": None, "signature": "s" * 900,
               "audio": None, "images": []}  # fmt: skip
    usage = {"prompt_tokens": 12, "completion_tokens": 100}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = read_answer(json.dumps({"choices": [choice], "usage": usage}).encode(), "chat")
    assert count_tokens(answer.reported, bounds(), answer.delivered) == (
        {"input": 12, "output": 100},
        False,
    )


def test_arguments_that_are_objects_have_their_size():
    inner = {"path": "a", "body": {"arguments": {"deep": '} " {'}}}
    told = json.dumps({"tool_calls": [{"function": {"name": "f", "arguments": inner}}]}).encode()
    assert written(told).bytes == len("f") + len(json.dumps(inner))


def test_choices_that_never_came_leave_no_room():
    """A client may ask for many of a backend that sends one."""
    body = {"model": "public", "messages": [{"role": "user", "content": "x"}], "max_tokens": 50, "n": 1000}
    parsed, route = parse_request(json.dumps(body).encode(), "chat"), a_route(backend())
    one, usage = whole(f'"usage":{ONE}'), {"prompt_tokens": 12, "completion_tokens": 3000}
    came = read_answer(one, "chat").delivered
    for told, expected in (
        (usage, {"input": 12, "output": 200}),
        (
            usage | {"completion_tokens_details": {"reasoning_tokens": 2400}},
            {"input": 12, "output": 600, "reasoning": 306},
        ),
    ):
        counts, is_exact = count_tokens(read_usage({"usage": told}), parsed.bounds(route, came.choices), came)
        assert (counts, is_exact) == (expected, False)
    stream = EventStream(Names(route.groups[0][0], "public"), hides_usage=False, choices=1000)
    for index in (0, 1, 1):
        stream.feed(b'data: {"choices":[{"index":%d,"delta":{"content":"x"}}]}\n\n' % index)
    assert stream.delivered.choices == 2
