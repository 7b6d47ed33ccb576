"""The older completions API with the official client: prompts of every form, streamed and not, metered and limited."""

import json

import openai
import pytest
import requests

from gateway.contract import ProviderConfig, RouteConfig
from gateway.proxy.completions import parse_completion
from gateway.proxy.index import Route
from tests.gateway.proxy_fixtures import ask, limit
from tests.gateway.scripted_backend import OWN_NAME, scripted_backend

MODEL = "aurora-completes"
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
LOGPROBS = {
    "tokens": [" once", " upon"],
    "token_logprobs": [-0.1, -0.2],
    "top_logprobs": None,
    "text_offset": [0, 5],
}


def usage(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def answer(*texts, usage=USAGE, **changes):
    choices = [
        {"index": at, "text": text, "finish_reason": "stop", "logprobs": None} | changes
        for at, text in enumerate(texts)
    ]
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": OWN_NAME,
        "choices": choices,
    } | ({"usage": usage} if usage else {})


def piece(text, index=0, end=None):
    choice = {"index": index, "text": text, "finish_reason": end, "logprobs": None}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": OWN_NAME, "choices": [choice]}


def last(usage=USAGE):
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": OWN_NAME,
        "choices": [],
        "usage": usage,
    }


DONE = b"data: [DONE]\n\n"
ROUTE = Route(RouteConfig(model="m", modes=["completion"]), ())


@pytest.fixture
def backend(shared_rig):
    with scripted_backend(shared_rig, MODEL, modes=["completion"]) as backend:
        backend.says(answer(" once upon a time"))
        backend.client = shared_rig.client(backend.key)
        yield backend


def usage_of(rig, backend, count=1):
    event = rig.events(backend.key, count)[-1]
    return event.usage, event.is_exact


@pytest.mark.parametrize(
    ("prompt", "answers"),
    [("Tell", 1), (["Tell"], 1), (["Tell", "me"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)],
    ids=["text", "texts", "two texts", "tokens", "two lists of tokens"],
)
def test_prompts_of_every_form_reach_the_backend_as_sent(shared_rig, backend, prompt, answers):
    backend.says(answer(*[" once upon"] * answers, logprobs=LOGPROBS))
    given = backend.client.completions.create(
        model=MODEL, prompt=prompt, max_tokens=4, logprobs=2, suffix="the end", seed=7, stop=["\n"]
    )
    assert [one.text for one in given.choices] == [" once upon"] * answers
    assert given.choices[0].logprobs.tokens == LOGPROBS["tokens"]
    assert (given.model, given.usage.total_tokens) == (MODEL, 9)
    _, body = backend.asked[-1]
    assert backend.paths == ["/v1/completions"]
    assert body == {
        "model": OWN_NAME, "prompt": prompt, "max_tokens": 4, "logprobs": 2, "suffix": "the end", "seed": 7,
        "stop": ["\n"],
    }  # fmt: skip
    assert usage_of(shared_rig, backend) == ({"input": 5, "output": 4}, True)


def test_a_stream_passes_and_its_usage_is_hidden_unless_asked_for(shared_rig, backend):
    events = [piece(" once"), piece(" upon"), piece("", end="stop"), last(), DONE]
    backend.says(events=events)
    pieces = list(backend.client.completions.create(model=MODEL, prompt="Tell", stream=True))
    assert "".join(one.choices[0].text for one in pieces) == " once upon"
    assert {one.model for one in pieces} == {MODEL}
    assert all(one.usage is None for one in pieces)
    assert backend.asked[-1][1]["stream_options"] == {"include_usage": True}
    options = {"include_usage": True}
    pieces = list(
        backend.client.completions.create(model=MODEL, prompt="x", stream=True, stream_options=options)
    )
    assert pieces[-1].usage.completion_tokens == 4
    assert usage_of(shared_rig, backend, 2) == ({"input": 5, "output": 4}, True)


def test_a_stream_of_several_answers_is_complete_only_with_all_of_them(shared_rig, backend):
    events = [piece(" a", 0), piece(" b", 1), piece("", 0, "stop"), piece("", 1, "length")]
    backend.says(events=[*events, last(), DONE])
    assert len(list(backend.client.completions.create(model=MODEL, prompt="x", n=2, stream=True))) == 4
    backend.says(events=events[:3])
    with pytest.raises(openai.APIError, match="stopped in the middle"):
        list(backend.client.completions.create(model=MODEL, prompt=["x", "y"], stream=True))
    ok, broken = shared_rig.events(backend.key, 2)
    assert (ok.status, ok.is_exact, broken.status, broken.is_exact) == ("ok", True, "error", False)


def test_missing_usage_is_estimated(shared_rig, backend):
    backend.says(answer(" once upon a time", usage=None))
    backend.client.completions.create(model=MODEL, prompt="Tell me a story")
    counted, is_exact = usage_of(shared_rig, backend)
    assert not is_exact
    assert counted["output"] == -(-len(" once upon a time") // 3)
    assert counted["input"] >= 4


@pytest.mark.parametrize("prompt", ["word " * 800, [11] * 400], ids=["text", "tokens"])
def test_a_repeated_prompt_is_not_counted_as_output(shared_rig, backend, prompt):
    backend.says(answer("word " * 800 + " once", usage=usage(800, 2)))
    backend.client.completions.create(model=MODEL, prompt=prompt, echo=True, max_tokens=2)
    assert usage_of(shared_rig, backend) == ({"input": 800, "output": 2}, True)


def test_a_prompt_that_is_only_scored_has_no_output(shared_rig, backend):
    backend.says(
        answer(
            "word " * 80,
            logprobs=LOGPROBS,
            usage=usage(80, 0),
        )
    )
    backend.client.completions.create(model=MODEL, prompt="word " * 80, echo=True, max_tokens=0, logprobs=1)
    assert usage_of(shared_rig, backend) == ({"input": 80}, True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"n": 0.5}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"best_of": 3}, "best_of"),
        ({"n": 10_000_000, "prompt": ["a", "b"]}, "n"),
        ({"echo": "yes"}, "echo"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": 1}, "stream_options"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"prompt_embeds": "AAAA"}, "prompt_embeds"),
        ({"model": ""}, "model"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(shared_rig, backend, fields, param):
    body = {"model": MODEL, "prompt": "x", **fields}
    given = requests.post(
        f"{shared_rig.gateway.url}/v1/completions",
        json=body,
        headers={"authorization": f"Bearer {backend.key}"},
    )
    assert (given.status_code, given.json()["error"]["param"]) == (400, param)
    assert backend.asked == []


def test_best_of_passes_if_all_answers_are_returned(shared_rig, backend):
    backend.says(answer(" a", " b"))
    backend.client.completions.create(model=MODEL, prompt="x", n=2, best_of=2)
    assert backend.asked[-1][1]["best_of"] == 2


def test_a_chat_still_may_not_repeat_its_prompt(shared_rig):
    with pytest.raises(openai.BadRequestError, match="echo"):
        ask(shared_rig.client(), extra_body={"echo": True})


def test_a_model_that_only_chats_says_where_it_answers(shared_rig):
    with pytest.raises(openai.BadRequestError, match="/v1/chat/completions, not here"):
        shared_rig.client().completions.create(model="aurora-chat", prompt="x")


def test_each_prompt_and_each_answer_is_reserved():
    body = {"model": "m", "prompt": ["a", "b", "c"], "n": 2, "max_tokens": 10}
    parsed = parse_completion(json.dumps(body).encode())
    assert (parsed.choices, parsed.bounds(ROUTE, 6).named_output) == (6, 60)
    assert parsed.estimate(ROUTE, None, 1000).output_tokens == 60


def test_limits_hold(shared_rig, backend):
    key = shared_rig.new_key(models=[MODEL], limits=[limit("tokens_per_day", 100)])
    client = shared_rig.client(key)
    with pytest.raises(openai.RateLimitError) as refused:
        client.completions.create(model=MODEL, prompt="x", max_tokens=200)
    assert refused.value.code == "insufficient_quota"
    assert client.completions.create(model=MODEL, prompt="x", max_tokens=20).choices
    assert len(backend.asked) == 1


def test_errors_of_the_backend_are_the_clients_exceptions(shared_rig, backend):
    error = {"message": "`logprobs` must be at most 5.", "type": "invalid_request_error"}
    backend.says({"error": error | {"param": "logprobs", "code": None}}, status=400)
    with pytest.raises(openai.BadRequestError, match="at most 5"):
        backend.client.completions.create(model=MODEL, prompt="x", logprobs=9)


def test_a_provider_gets_max_tokens_under_its_own_name(shared_rig):
    before = shared_rig.settings
    shared_rig.settings = type(before)(allowed_networks=["127.0.0.0/8"])
    with scripted_backend(shared_rig, MODEL, modes=["completion"]) as backend:
        shared_rig.routes[-1].targets[0] = backend.backend(provider=ProviderConfig(dialect="openai"))
        shared_rig.publish()
        backend.says(answer(" once"))
        shared_rig.client(backend.key).completions.create(model=MODEL, prompt="x", max_tokens=3)
        assert backend.asked[-1][1] == {"model": OWN_NAME, "prompt": "x", "max_tokens": 3}
    shared_rig.settings = before
    shared_rig.publish()


def test_a_key_for_this_endpoint_opens_it(shared_rig, backend):
    client = shared_rig.client(shared_rig.new_key(models=[MODEL], endpoints=["/v1/completions"]))
    assert client.completions.create(model=MODEL, prompt="x").choices
