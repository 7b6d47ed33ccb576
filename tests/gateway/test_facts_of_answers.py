"""What an answer says about its price beside its tokens is in the usage event: the service tier, and how long a cache
lives.
"""

import pytest

from gateway.contract import ProviderConfig
from gateway.proxy.delivered import Delivered
from gateway.proxy.evidence import count_tokens
from gateway.proxy.index import Price
from gateway.proxy.usage import read_usage, tier_in
from gateway.proxy.usage_bounds import bounds_of
from tests.gateway.responses import MESSAGE as ITEM
from tests.gateway.responses import event as typed
from tests.gateway.responses import response
from tests.gateway.scripted_backend import USAGE, chunk, plain, scripted_backend
from tests.gateway.test_calls_to_providers import LOOPBACK, MESSAGE, MESSAGES, sse, vars_of

MODEL = "aurora-tiers"
LAST = {"choices": [], "usage": USAGE, "object": "chat.completion.chunk", "id": "c", "model": "up-scripted"}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


@pytest.fixture
def backend(shared_rig):
    with scripted_backend(shared_rig, MODEL, modes=["chat", "responses"]) as backend:
        backend.client = shared_rig.client(backend.key)
        yield backend


def chat(backend, **options):
    messages = [{"role": "user", "content": "hello"}]
    return backend.client.chat.completions.create(model=MODEL, messages=messages, **options)


def facts(rig, backend):
    (event,) = rig.events(backend.key, 1)
    return event.service_tier, event.is_batch, event.is_long_context


def test_a_chat_keeps_the_tier_that_its_answer_names(shared_rig, backend):
    backend.says(plain(service_tier="flex"))
    assert chat(backend).service_tier == "flex"
    assert facts(shared_rig, backend) == ("flex", False, False)


def test_a_streamed_chat_keeps_it_too(shared_rig, backend):
    last = [chunk(**END, service_tier="priority"), {**LAST, "service_tier": "priority"}]
    backend.says(events=[chunk(service_tier="default"), *last, b"data: [DONE]\n\n"])
    list(chat(backend, stream=True))
    assert facts(shared_rig, backend) == ("priority", False, False)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_response_keeps_it_too(shared_rig, backend, is_stream):
    whole = response(ITEM, service_tier="priority")
    if is_stream:
        backend.says(events=[typed("response.completed", 0, response=whole)])
        list(backend.client.responses.create(model=MODEL, input="x", stream=True))
    else:
        backend.says(whole)
        assert backend.client.responses.create(model=MODEL, input="x").service_tier == "priority"
    assert facts(shared_rig, backend) == ("priority", False, False)


@pytest.mark.parametrize("told", [None, 7, "", "Not a tier!", "x" * 80, {"a": 1}, ["flex"]])
def test_what_is_no_word_is_no_tier(shared_rig, backend, told):
    backend.says(plain(service_tier=told))
    chat(backend)
    assert facts(shared_rig, backend) == (None, False, False)


def test_the_models_own_words_are_no_tier(shared_rig, backend):
    message = {"role": "assistant", "content": '"service_tier": "flex"'}
    backend.says(plain(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    chat(backend)
    assert facts(shared_rig, backend) == (None, False, False)


@pytest.mark.parametrize("is_stream", [False, True])
def test_anthropics_tier_and_lifetimes_are_kept_as_it_names_them(shared_rig, backend, is_stream):
    before = shared_rig.settings
    shared_rig.settings = type(before)(**{**vars_of(before), "allowed_networks": LOOPBACK})
    shared_rig.routes[-1].targets[0] = backend.backend(provider=ProviderConfig(dialect="anthropic"))
    shared_rig.publish()
    usage = {
        **MESSAGE["usage"],
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "service_tier": "batch",
    }
    if is_stream:
        begun = {**MESSAGE, "content": [], "stop_reason": None, "usage": usage}
        backend.says(events=[*sse({"type": "message_start", "message": begun}), *MESSAGES[1:]])
        list(chat(backend, stream=True))
    else:
        backend.says({**MESSAGE, "usage": usage})
        chat(backend)
    (event,) = shared_rig.events(backend.key, 1)
    assert (event.service_tier, event.is_batch) == ("batch", True)
    assert event.usage == {"input": 12, "cache_read": 5, "cache_write": 10, "cache_write_1h": 20, "output": 6}
    shared_rig.settings = before
    shared_rig.publish()


def counted(usage, **fields):
    bounds = bounds_of(90, 120, **{
        "named_output": 0, "longest_output": None, "choices": 1, "is_embedding": False,
        "may_bring_more": False, **fields,
    })  # fmt: skip
    return count_tokens(read_usage({"usage": usage}), bounds, Delivered(bytes=30, pieces=1))


def test_no_cached_token_is_counted_under_two_lifetimes():
    told = {"input_tokens": 50, "output_tokens": 8, "cache_creation_input_tokens": 40}
    for hour in (0, 1, 40, 90):
        created = {"ephemeral_5m_input_tokens": max(40 - hour, 0), "ephemeral_1h_input_tokens": hour}
        usage, _ = counted({**told, "cache_creation": created})
        assert usage.get("cache_write", 0) + usage.get("cache_write_1h", 0) == max(40, hour)
        assert usage.get("cache_write_1h", 0) == hour


def test_an_hour_counts_at_least_as_a_shorter_write_in_limits():
    price = Price({"input": 10, "cache_write": 12, "output": 50}, "USD")
    assert price.cost({"cache_write_1h": 3}) == 36
    assert Price({"input": 10, "output": 50}, "USD").cost({"cache_write_1h": 3}) == 30
    assert Price({"input": 10, "cache_write_1h": 20}, "USD").per_input_token == 20
    assert Price({"input": 10, "cache_write_1h": 20}, "USD").cost({"cache_write_1h": 3}) == 60


def test_a_tier_in_the_usage_counts_before_one_beside_it():
    assert tier_in({"usage": {"service_tier": "standard"}, "service_tier": "default"}) == "standard"
    assert tier_in({"usage": None, "service_tier": "default"}) == "default"
    assert tier_in([]) is None
