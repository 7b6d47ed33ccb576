"""A chat call reaches a provider under the names that it knows, and without what it refuses."""

import json

import pytest

from deployments.providers.dialects import DIALECTS
from gateway.proxy.body import Body
from gateway.proxy.dialects.surfaces import changes_for, fitted, must_ask_for_usage
from gateway.proxy.errors import Refusal

HELLO = [{"role": "user", "content": "hello"}]


def sent(slug, raw):
    """The bytes for this provider; the parsed form agrees with them."""
    body = Body(raw)
    changed = body.encode(changes_for(body, DIALECTS[slug]))
    assert json.loads(changed) == fitted(json.loads(raw), DIALECTS[slug])
    return changed


def call(**fields):
    return json.dumps({"model": "m", "messages": HELLO, **fields}).encode()


def test_a_call_that_fits_keeps_its_bytes():
    raw = b'{ "model":"m" , "messages":[{"role":"user","content":"h\\u00ef"}],"seed":12345678901234567890123, "n" : 1 }'
    assert sent("vllm", raw) is raw or sent("vllm", raw) == raw


@pytest.mark.parametrize(
    ("slug", "fields", "expected"),
    [
        ("openai", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("deepseek", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("mistral", {"max_completion_tokens": 5, "seed": 7}, {"max_tokens": 5, "random_seed": 7}),
        (
            "mistral",
            {"stream": True, "stream_options": {"include_usage": True}, "user": "u"},
            {"stream": True},
        ),
        ("mistral", {"logprobs": False, "logit_bias": {}, "top_logprobs": None, "store": False}, {}),
        ("openai", {"top_k": None, "temperature": 0.5}, {"temperature": 0.5}),
        ("gemini", {"frequency_penalty": 0}, {}),
    ],
)
def test_names_and_what_asks_for_nothing(slug, fields, expected):
    assert json.loads(sent(slug, call(**fields))) == {"model": "m", "messages": HELLO, **expected}


def test_of_two_names_for_one_thing_the_providers_own_is_kept():
    body = Body(call(max_tokens=5, max_completion_tokens=9))
    changed = json.loads(body.encode(changes_for(body, DIALECTS["openai"])))
    assert changed == {"model": "m", "messages": HELLO, "max_completion_tokens": 9}
    # The next provider gets the client's own call again.
    assert body.encode(changes_for(body, DIALECTS["vllm"])) == call(max_tokens=5, max_completion_tokens=9)


@pytest.mark.parametrize(
    ("slug", "name", "value"),
    [
        ("openai", "top_k", 4), ("azure", "cache_salt", "s"), ("mistral", "logprobs", True), ("mistral", "store", True),
        ("gemini", "frequency_penalty", 0.5), ("groq", "logit_bias", {"5": 1}),
    ],
)  # fmt: skip
def test_what_the_provider_refuses_is_refused_by_name_before_it_is_sent(slug, name, value):
    raw = call(**{name: value})
    for refuse in (
        lambda: changes_for(Body(raw), DIALECTS[slug]),
        lambda: fitted(json.loads(raw), DIALECTS[slug]),
    ):
        with pytest.raises(Refusal, match=f"`{name}`") as caught:
            refuse()
        assert (caught.value.status, caught.value.param) == (400, name)


def test_usage_is_asked_for_except_where_that_is_an_error():
    assert [slug for slug, one in DIALECTS.items() if not must_ask_for_usage(one)] == ["mistral"]
