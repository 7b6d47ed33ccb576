"""When no target of a model answers, a model that its route names may: within grants, classes, regions and limits."""

import openai
import pytest
import requests

from gateway.contract import PriceConfig, ProviderConfig, RouteConfig, SettingsConfig
from tests.gateway.proxy_fixtures import MODEL, VECTORS, Engine, ask, limit
from tests.gateway.scripted_backend import ScriptedBackend

SMALL = "aurora-small"
BOTH = {"models": (MODEL, SMALL), "data_classes": {MODEL: "internal", SMALL: "internal"}}


@pytest.fixture
def rig(configured_rig, tmp_path):
    """A model whose only target is gone, and a fallback that serves."""
    gone = target_of_nobody()
    configured_rig.routes = [
        RouteConfig(model=MODEL, modes=["chat"], targets=[gone], fallbacks=[VECTORS, "unknown", SMALL]),
        RouteConfig(model=SMALL, modes=["chat"], targets=[configured_rig.engine.backend(id="of-small")]),
        RouteConfig(model=VECTORS, modes=["embedding"], targets=[configured_rig.engine.backend()]),
    ]
    configured_rig.prices = [
        PriceConfig(model=MODEL, nano_per_unit={"input": 1, "output": 1}),
        PriceConfig(model=SMALL, nano_per_unit={"input": 1000, "output": 4000}),
    ]
    return configured_rig


def target_of_nobody(**fields):
    from launcher.ports import free_port
    from tests.gateway.targets import target

    return target(
        **({"id": "gone", "url": f"http://127.0.0.1:{free_port()}/v1", "upstream_model": "x"} | fields)
    )


def raw(client, **options):
    return client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=8, **options
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_answers_and_everything_says_so(rig, stream):
    secret = rig.new_key(**BOTH)
    answer = raw(rig.client(secret), stream=stream)
    assert answer.headers["x-model-served"] == SMALL
    assert answer.headers["x-model-reason"] == "fallback"
    parsed = answer.parse()
    models = {chunk.model for chunk in parsed} if stream else {parsed.model}
    assert models == {SMALL}
    [event] = rig.events(secret, 1)
    assert (event.model, event.asked_model, event.target_id, event.status) == (SMALL, MODEL, "of-small", "ok")
    assert event.usage["output"] > 0


def test_a_call_that_its_own_model_answers_says_nothing(rig):
    rig.routes[0] = RouteConfig(
        model=MODEL, modes=["chat"], targets=[rig.engine.backend(id="own")], fallbacks=[SMALL]
    )
    secret = rig.new_key(**BOTH)
    answer = raw(rig.client(secret))
    assert "x-model-served" not in answer.headers
    [event] = rig.events(secret, 1)
    assert (event.model, event.asked_model, event.target_id) == (MODEL, None, "own")


@pytest.mark.parametrize("fault", ["status=500", "die-after=0"])
def test_a_model_that_was_reached_and_failed_is_recorded_once_as_the_one_that_answered(rig, tmp_path, fault):
    broken = Engine(tmp_path)
    rig.routes[0] = RouteConfig(
        model=MODEL, modes=["chat"], targets=[broken.backend(id="broken")], fallbacks=[SMALL]
    )
    secret = rig.new_key(**BOTH)
    broken.fail_next(fault, 1)
    assert raw(rig.client(secret)).headers["x-model-served"] == SMALL
    [event] = rig.events(secret, 1)
    assert (event.model, event.target_id, event.status) == (SMALL, "of-small", "ok")
    broken.process.kill()


@pytest.mark.parametrize(
    "fields",
    [
        {"models": (MODEL,), "data_classes": {MODEL: "internal", SMALL: "internal"}},
        {**BOTH, "grant_ends": {SMALL: 1}},
        {**BOTH, "data_classes": {MODEL: "confidential", SMALL: "internal"}},
        {**BOTH, "data_classes": {MODEL: "internal"}},
        {**BOTH, "regions": ["us"]},
        {**BOTH, "limits": [limit("requests_per_minute", 0, model=SMALL)]},
        {**BOTH, "limits": [limit("tokens_per_day", 3, model=SMALL)]},
    ],
    ids=["not granted", "ended", "lower class", "no class", "outside", "limit", "too large"],
)
def test_no_fallback_beyond_grants_classes_regions_and_limits(rig, fields):
    if "regions" in fields:
        # Its own target lies there, and is gone.
        rig.routes[0] = RouteConfig(
            model=MODEL, modes=["chat"], targets=[target_of_nobody(region="us-1")], fallbacks=[SMALL]
        )
    secret = rig.new_key(**fields)
    with pytest.raises(openai.InternalServerError) as refused:
        ask(rig.client(secret))
    assert refused.value.code == "no_backend_available"
    assert "x-model-served" not in refused.value.response.headers
    assert [event for event in rig.control.deliveries if event.key_id == rig.key_id(secret)] == []


def test_a_hard_limit_on_money_needs_the_price_of_the_fallback(rig):
    rig.prices = rig.prices[:1]
    secret = rig.new_key(**BOTH, limits=[limit("money_per_month", 10**12, time_zone="UTC")])
    with pytest.raises(openai.InternalServerError) as refused:
        ask(rig.client(secret))
    assert refused.value.code == "no_backend_available"


def test_the_limits_of_the_model_that_serves_count_the_call(rig):
    one = limit("tokens_per_day", 10_000, model=SMALL, time_zone="UTC")
    tight = limit("requests_per_minute", 2, model=SMALL)
    secret = rig.new_key(**BOTH, limits=[one, tight])
    client = rig.client(secret)
    assert ask(client).model == ask(client).model == SMALL
    with pytest.raises(openai.InternalServerError):
        ask(client)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(
            model=SMALL, messages=[{"role": "user", "content": "Hello"}], max_tokens=8
        )


def test_the_next_fallback_answers_when_the_first_does_not(rig):
    rig.routes[0] = RouteConfig(
        model=MODEL, modes=["chat"], targets=[target_of_nobody()], fallbacks=["middle", SMALL]
    )
    rig.routes.append(RouteConfig(model="middle", modes=["chat"], targets=[target_of_nobody(id="gone-too")]))
    secret = rig.new_key(
        models=(MODEL, SMALL, "middle"),
        data_classes=dict.fromkeys((MODEL, SMALL, "middle"), "public"),
    )
    assert ask(rig.client(secret)).model == SMALL


def test_fallbacks_of_fallbacks_are_not_asked(rig):
    rig.routes[0] = RouteConfig(
        model=MODEL, modes=["chat"], targets=[target_of_nobody()], fallbacks=["middle"]
    )
    rig.routes.append(
        RouteConfig(
            model="middle", modes=["chat"], targets=[target_of_nobody(id="gone-too")], fallbacks=[SMALL]
        )
    )
    secret = rig.new_key(
        models=(MODEL, SMALL, "middle"),
        data_classes=dict.fromkeys((MODEL, SMALL, "middle"), "public"),
    )
    with pytest.raises(openai.InternalServerError):
        ask(rig.client(secret))


def test_a_call_that_is_itself_at_fault_gets_no_other_model(rig, tmp_path):
    strict = Engine(tmp_path)
    rig.routes[0] = RouteConfig(
        model=MODEL, modes=["chat"], targets=[strict.backend(id="strict")], fallbacks=[SMALL]
    )
    secret = rig.new_key(**BOTH)
    strict.fail_next("status=400", 1)
    with pytest.raises(openai.BadRequestError):
        ask(rig.client(secret))
    [event] = rig.events(secret, 1)
    assert (event.model, event.status) == (MODEL, "error")
    strict.process.kill()


def say_hello(rig, secret):
    """A Messages call with what a chat says in another way."""
    call = {
        "model": MODEL,
        "max_tokens": 8,
        "system": "Be brief.",
        "stop_sequences": ["."],
        "metadata": {"user_id": "someone"},
        "messages": [{"role": "user", "content": "Hello"}],
    }
    answer = requests.post(
        f"{rig.gateway.url}/v1/messages", json=call, headers={"x-api-key": secret}, timeout=60
    )
    return call, answer


def test_a_messages_call_is_translated_for_a_fallback_as_for_its_own_model(rig):
    secret = rig.new_key(**BOTH)
    _, answer = say_hello(rig, secret)
    assert (answer.status_code, answer.headers.get("x-model-served")) == (200, SMALL), answer.text
    assert answer.json()["model"] == SMALL


def test_a_messages_call_reaches_a_fallback_that_speaks_it_as_it_was_sent(rig):
    backend = ScriptedBackend()
    try:
        words = [{"type": "text", "text": "hi"}]
        usage = {"input_tokens": 3, "output_tokens": 1}
        said = {"id": "msg_1", "type": "message", "role": "assistant", "model": "x", "content": words}
        backend.says({**said, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
        target = backend.backend(provider=ProviderConfig(dialect="anthropic"))
        rig.routes[1] = RouteConfig(model=SMALL, modes=["chat"], targets=[target])
        rig.settings = SettingsConfig(allowed_networks=["127.0.0.0/8"])
        call, answer = say_hello(rig, rig.new_key(**BOTH))
        assert (answer.status_code, answer.headers.get("x-model-served")) == (200, SMALL), answer.text
        [(_, got)] = backend.asked
        assert {**got, "model": MODEL, "metadata": call["metadata"]} == call
        assert got["metadata"]["user_id"] != "someone"
    finally:
        backend.close()
