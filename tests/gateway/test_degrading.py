"""A smaller model answers on purpose, where its tenant allows it: at a share of a money limit, or for a slow route."""

import time
from types import SimpleNamespace

import anthropic
import msgspec
import openai
import pytest

from gateway.compile import compile_snapshot
from gateway.contract import (
    DegradingConfig,
    KeyConfig,
    PriceConfig,
    ProviderConfig,
    RouteConfig,
    SettingsConfig,
)
from gateway.proxy import degrading
from gateway.proxy.degrading import shares_of
from gateway.proxy.errors import unavailable
from gateway.proxy.first_tokens import LEAST_SAMPLES, FirstTokens
from gateway.proxy.limits import EstimatedUsage
from gateway.proxy.records import Key
from tenants.actions.tenancy import change_tenant
from tenants.models import Tenant
from tenants.revision import changes_between, current_revision
from tests.factories import CatalogModelFactory, member_of
from tests.gateway.granted import key_for
from tests.gateway.proxy_fixtures import MODEL, VECTORS, Engine, limit
from tests.gateway.scripted_backend import ScriptedBackend
from tests.gateway.test_fallbacks import target_of_nobody

SMALL = "aurora-small"
BOTH = {"models": (MODEL, SMALL), "data_classes": {MODEL: "internal", SMALL: "internal"}}
ALLOWED = {**BOTH, "may_degrade": True}
# Nano-units.
MONTH = 10**9


def money(used=80, value=MONTH, **fields):
    """A limit of which that many percent are used."""
    spent = value * used // 100
    return limit("money_per_month", value, time_zone="UTC", used=spent, used_as_of=int(time.time()), **fields)


def configure(rig, degrading, **fields):
    backend = rig.engine.backend
    rig.routes = [
        RouteConfig(
            model=MODEL, modes=["chat"], targets=[backend(id="of-large")], degrading=degrading, **fields
        ),
        RouteConfig(model=SMALL, modes=["chat"], targets=[backend(id="of-small")]),
        RouteConfig(model=VECTORS, modes=["embedding"], targets=[backend()]),
    ]
    rig.prices = [
        PriceConfig(model=MODEL, nano_per_unit={"input": 1000, "output": 4000}),
        PriceConfig(model=SMALL, nano_per_unit={"input": 10, "output": 40}),
    ]


@pytest.fixture
def rig(configured_rig):
    """A route that degrades at 80 % of a limit on money."""
    configure(configured_rig, DegradingConfig(model=SMALL, money_percent=80))
    return configured_rig


def raw(rig, secret, **options):
    headers = options.pop("headers", {})
    return rig.client(secret, default_headers=headers).chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=8, **options
    )


def served(answer):
    return answer.headers.get("x-model-served", MODEL)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_hard", [False, True])
def test_at_the_share_of_a_limit_the_smaller_model_answers_and_everything_says_so(rig, stream, is_hard):
    one = money(is_hard=is_hard)
    secret = rig.new_key(**ALLOWED, limits=[one])
    answer = raw(rig, secret, stream=stream)
    assert served(answer) == SMALL
    assert answer.headers["x-model-reason"] == f"money; percent=80; limit={one.id}"
    parsed = answer.parse()
    assert ({chunk.model for chunk in parsed} if stream else {parsed.model}) == {SMALL}
    [event] = rig.events(secret, 1)
    assert (event.model, event.asked_model, event.target_id) == (SMALL, MODEL, "of-small")


def test_below_the_share_the_models_own_targets_answer(rig):
    secret = rig.new_key(**ALLOWED, limits=[money(used=79)])
    answer = raw(rig, secret)
    assert "x-model-reason" not in answer.headers
    [event] = rig.events(secret, 1)
    assert (event.model, event.asked_model, event.target_id) == (MODEL, None, "of-large")


def test_a_call_that_reaches_the_share_is_the_last_of_the_larger_model(rig):
    # A call costs at least 8 tokens of 4,000 nano-units, and much less than the rest.
    value = 10**6
    secret = rig.new_key(**ALLOWED, limits=[money(used=79, value=value)])
    assert served(raw(rig, secret)) == MODEL
    assert served(raw(rig, secret)) == SMALL


@pytest.mark.parametrize(
    "fields",
    [
        {**BOTH},
        {**ALLOWED, "models": (MODEL,)},
        {**ALLOWED, "grant_ends": {SMALL: 1}},
        {**ALLOWED, "data_classes": {MODEL: "confidential", SMALL: "internal"}},
        {**ALLOWED, "data_classes": {MODEL: "internal"}},
        {**ALLOWED, "limits": [limit("requests_per_minute", 0, model=SMALL)]},
        {**ALLOWED, "limits": [limit("tokens_per_day", 3, model=SMALL)]},
    ],
    ids=["not allowed", "not granted", "ended", "lower class", "no class", "limit", "too large"],
)
def test_nothing_beyond_what_the_tenant_allows_and_grants_and_limits(rig, fields):
    secret = rig.new_key(**{**fields, "limits": [money(), *fields.get("limits", ())]})
    assert served(raw(rig, secret)) == MODEL
    assert [event.target_id for event in rig.events(secret, 1)] == ["of-large"]


def test_it_stays_in_the_tenants_regions(rig):
    backend = rig.engine.backend
    for at, region in enumerate(("eu-west-1", "us-1")):
        config = rig.routes[at]
        targets = [backend(id=("of-large", "of-small")[at], region=region)]
        rig.routes[at] = msgspec.structs.replace(config, targets=targets)
    secret = rig.new_key(**ALLOWED, regions=["eu"], limits=[money()])
    assert served(raw(rig, secret)) == MODEL
    assert served(raw(rig, rig.new_key(**ALLOWED, regions=["eu", "us"], limits=[money()]))) == SMALL


@pytest.mark.parametrize(
    "nano", [None, {"input": 9}, {"input": 1000, "output": 4000}], ids=["none", "half", "not lower"]
)
def test_a_model_without_a_lower_price_saves_nothing(rig, nano):
    rig.prices[1:] = [PriceConfig(model=SMALL, nano_per_unit=nano)] if nano else []
    assert served(raw(rig, rig.new_key(**ALLOWED, limits=[money(is_hard=False)]))) == MODEL


def test_a_limit_of_another_model_does_not_matter(rig):
    secret = rig.new_key(**ALLOWED, limits=[money(model=SMALL), money(used=5)])
    assert served(raw(rig, secret)) == MODEL


def test_a_limit_of_tokens_does_not_matter(rig):
    one = limit("tokens_per_day", 100_000, time_zone="UTC", used=95_000, used_as_of=int(time.time()))
    assert served(raw(rig, rig.new_key(**ALLOWED, limits=[one]))) == MODEL


@pytest.mark.parametrize("fallbacks", [[], [SMALL]])
def test_if_the_smaller_model_does_not_answer_the_own_one_does(rig, fallbacks):
    configure(rig, DegradingConfig(model=SMALL, money_percent=80), fallbacks=fallbacks)
    rig.routes[1] = RouteConfig(model=SMALL, modes=["chat"], targets=[target_of_nobody()])
    secret = rig.new_key(**ALLOWED, limits=[money()])
    assert "x-model-reason" not in raw(rig, secret).headers
    [event] = rig.events(secret, 1)
    assert (event.model, event.asked_model, event.target_id) == (MODEL, None, "of-large")


def test_if_neither_answers_the_call_is_refused_as_one_of_its_own_model(rig):
    rig.routes = [
        RouteConfig(
            model=MODEL,
            modes=["chat"],
            targets=[target_of_nobody()],
            degrading=DegradingConfig(model=SMALL, money_percent=80),
        ),
        RouteConfig(model=SMALL, modes=["chat"], targets=[target_of_nobody(id="gone-too")]),
    ]
    with pytest.raises(openai.InternalServerError) as refused:
        raw(rig, rig.new_key(**ALLOWED, limits=[money()]))
    assert refused.value.code == "no_backend_available"
    assert "x-model-served" not in refused.value.response.headers


def test_an_error_of_the_smaller_model_says_so_too(rig, tmp_path):
    strict = Engine(tmp_path)
    rig.routes[1] = RouteConfig(model=SMALL, modes=["chat"], targets=[strict.backend(id="strict")])
    secret = rig.new_key(**ALLOWED, limits=[money()])
    strict.fail_next("status=400", 1)
    with pytest.raises(openai.BadRequestError) as refused:
        raw(rig, secret)
    assert refused.value.response.headers["x-model-served"] == SMALL
    [event] = rig.events(secret, 1)
    assert (event.model, event.asked_model, event.status) == (SMALL, MODEL, "error")
    strict.process.kill()


def test_a_named_variant_is_kept_and_other_strategies_are_not(rig):
    secret = rig.new_key(**ALLOWED, limits=[money()])
    assert served(raw(rig, secret, headers={"x-routing-strategy": "stable"})) == MODEL
    answer = raw(rig, secret, headers={"x-routing-strategy": "cheapest"})
    assert served(answer) == SMALL
    assert answer.headers["x-routing-strategy"].startswith("cheapest")


def test_a_messages_call_is_translated_for_the_model_that_answers(rig):
    for targets, model in (([target_of_nobody()], MODEL), ([rig.engine.backend()], SMALL)):
        rig.routes[1] = RouteConfig(model=SMALL, modes=["chat"], targets=targets)
        secret = rig.new_key(**ALLOWED, limits=[money()])
        client = anthropic.Anthropic(api_key=secret, base_url=rig.gateway.url, max_retries=0)
        messages = [{"role": "user", "content": "x"}]
        call = {"model": MODEL, "max_tokens": 8, "system": "Be brief.", "messages": messages}
        with client.messages.stream(**call) as stream:
            assert stream.get_final_message().model == model
        assert client.messages.create(**call).model == model


def test_its_own_model_gets_a_messages_call_as_it_was_sent_if_the_smaller_one_is_gone(rig):
    backend = ScriptedBackend()
    try:
        words = [{"type": "text", "text": "hi"}]
        usage = {"input_tokens": 3, "output_tokens": 1}
        said = {"id": "msg_1", "type": "message", "role": "assistant", "model": "x", "content": words}
        backend.says({**said, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
        target = backend.backend(provider=ProviderConfig(dialect="anthropic"))
        rig.settings = SettingsConfig(allowed_networks=["127.0.0.0/8"])
        rig.routes[0] = msgspec.structs.replace(rig.routes[0], targets=[target])
        rig.routes[1] = msgspec.structs.replace(rig.routes[1], targets=[target_of_nobody()])
        secret = rig.new_key(**ALLOWED, limits=[money()])
        client = anthropic.Anthropic(api_key=secret, base_url=rig.gateway.url, max_retries=0)
        messages = [{"role": "user", "content": "x"}]
        answer = client.messages.create(model=MODEL, max_tokens=8, system="Be brief.", messages=messages)
        assert answer.content[0].text == "hi"
        assert backend.asked[-1][1]["system"] == "Be brief."
    finally:
        backend.close()


def slow(rig):
    """Let the gateway see that the route's own model begins late."""
    secret = rig.new_key(**BOTH)
    for _ in range(LEAST_SAMPLES):
        list(raw(rig, secret, stream=True).parse())


def test_above_the_latency_goal_the_smaller_model_answers(new_rig, tmp_path):
    rig = new_rig("--latency-ms", "150")
    quick = Engine(tmp_path)
    configure(rig, DegradingConfig(model=SMALL, first_token_ms=50))
    rig.routes[1] = RouteConfig(model=SMALL, modes=["chat"], targets=[quick.backend(id="of-small")])
    rig.prices = []
    allowed = rig.new_key(**ALLOWED)
    assert served(raw(rig, allowed)) == MODEL, "too few streams"
    slow(rig)
    answer = raw(rig, allowed)
    assert served(answer) == SMALL
    name, ms, streams = answer.headers["x-model-reason"].split("; ")
    assert (name, streams) == ("latency", f"streams={LEAST_SAMPLES}")
    assert int(ms.removeprefix("ms=")) >= 150
    assert served(raw(rig, rig.new_key(**BOTH))) == MODEL
    rig.prices = [PriceConfig(model=MODEL, nano_per_unit={"input": 1000, "output": 4000})]
    assert served(raw(rig, rig.new_key(**ALLOWED))) == MODEL, "a model without a price is not billed"
    configure(rig, DegradingConfig(model=SMALL, first_token_ms=60_000))
    assert served(raw(rig, rig.new_key(**ALLOWED))) == MODEL


def test_some_streams_still_show_how_fast_the_own_model_is(monkeypatch):
    class Parsed:
        is_stream = True

    monkeypatch.setattr(degrading.random, "random", lambda: degrading.MEASURED / 2)
    assert degrading._is_measured(Parsed)
    monkeypatch.setattr(Parsed, "is_stream", False)
    assert not degrading._is_measured(Parsed)
    monkeypatch.setattr(Parsed, "is_stream", True)
    monkeypatch.setattr(degrading.random, "random", lambda: degrading.MEASURED)
    assert not degrading._is_measured(Parsed)


def test_the_median_of_a_route_is_that_of_all_its_streams():
    seen = FirstTokens(lambda: 0.0)
    for at in range(LEAST_SAMPLES // 2):
        seen.note("a", at)
        seen.note("b", 100 + at)
    assert seen.median("a") is None
    assert seen.median("a", "b", "c") == (LEAST_SAMPLES // 2 - 1, LEAST_SAMPLES)


def key_with(*limits):
    return Key.of(
        KeyConfig(
            digest="a" * 64, key_id="k", prefix="qm_", tenant_id="t", tenant_slug="t", project_id="p",
            project_slug="p", models=["m"], limits=list(limits),
        )
    )  # fmt: skip


def test_shares_are_made_once_and_keep_the_counters_of_their_limits():
    one, other = money(is_hard=False), limit("tokens_per_day", 5)
    key = key_with(one, other)
    [share] = shares_of(key, "m", 80)
    assert (share.id, share.kind, share.value, share.is_hard) == (one.id, one.kind, MONTH * 8 // 10, True)
    assert shares_of(key, "m", 80) is shares_of(key, "m", 80)
    assert key.limits_on("m") == [one, other]
    assert shares_of(key, "m", 50)[0].value == MONTH // 2


@pytest.mark.parametrize("is_hard", [False, True])
def test_a_share_counts_what_is_used_and_what_is_reserved(limiters, is_hard):
    """In memory, and in Redis."""
    limiter = limiters.new(time.time)
    one = limit("money_per_month", 100, time_zone="UTC", is_hard=is_hard)
    key = key_with(one)

    def passed():
        found = limiters.run(degrading._limit_passed(SimpleNamespace(limiter=limiter), key, "m", 80))
        return found and found.id

    def reserve(nano):
        estimate = EstimatedUsage(0, 0, is_output_named=True, input_nano=nano)
        return limiters.run(limiter.admit(key.limits_on("m"), estimate, "t"))

    assert passed() is None
    large = reserve(79)
    assert passed() is None
    reserve(1)
    assert passed() == one.id
    limiters.run(limiter.settle(large, 0, 20))
    assert passed() is None
    # Nothing was reserved by looking.
    assert (
        limiters.run(limiter.admit(key.limits_on("m"), EstimatedUsage(0, 0, True, 79), "t")).soft_exceeded
        == []
    )


async def no_answer(limits, tenant_id):
    raise unavailable("The gateway cannot check the limits.", "limits_unavailable")


def test_while_limits_cannot_be_checked_none_is_passed(limiters):
    state = SimpleNamespace(limiter=SimpleNamespace(look=no_answer))
    assert limiters.run(degrading._limit_passed(state, key_with(money(used=99)), "m", 80)) is None


@pytest.mark.django_db
def test_the_tenants_setting_reaches_gateways_by_name(lab, project):
    key_for(project, CatalogModelFactory())
    assert compile_snapshot().keys[0].may_degrade is False
    before = current_revision()
    change_tenant(lab.pk, by=member_of(lab, "owner"), degrading=Tenant.Degrading.ON)
    assert compile_snapshot().keys[0].may_degrade is True
    changes = changes_between(before, current_revision())
    assert changes is not None
    assert changes.tenants == {lab.pk}
