"""What a provider allows us a minute: gateways count it together, and send it no more than that."""

import asyncio

import pytest

from gateway.contract import ProviderConfig, QuotaConfig, RouteConfig, SettingsConfig
from gateway.proxy.errors import Refusal
from gateway.proxy.index import compile_route
from gateway.proxy.limits import MemoryLimiter, Reservation
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.quota_reservations import reserve_quota, settle_with_quota
from gateway.proxy.redis_address import place_name
from tests.gateway.proxy_fixtures import MODEL as SERVED
from tests.gateway.scripted_backend import ScriptedBackend, add_route, plain
from tests.gateway.targets import target
from tests.gateway.test_failover import call
from tests.gateway.test_proxy_workers import call_at_once, two  # noqa: F401
from tests.gateway.test_whole_answers import DONE, ROLE, TOLD, WORDS, end

MODEL, OTHER = "aurora-quota", "aurora-quota-too"
LOOPBACK = SettingsConfig(allowed_networks=["127.0.0.0/8"])


class AtProvider(ScriptedBackend):
    """A stand-in for a provider that allows us so much."""

    def target(self, *, of="", priority=0, **quota):
        config = QuotaConfig(id=of or self.id, **quota) if quota else None
        provider = ProviderConfig(dialect="openai_compatible", quota=config)
        return self.backend(provider=provider, priority=priority)


@pytest.fixture
def rig(limited_rig):
    """Quotas counted in memory, then in a Valkey."""
    before, limited_rig.settings = limited_rig.settings, LOOPBACK
    yield limited_rig
    limited_rig.settings = before
    limited_rig.routes = [one for one in limited_rig.routes if one.model not in (MODEL, OTHER)]
    limited_rig.publish()


@pytest.fixture
def pair():
    backends = [AtProvider("first"), AtProvider("second")]
    yield backends
    for one in backends:
        one.close()


def over(rig, backend):
    return rig.gateway.metric(f'llm_backend_over_quota_total{{backend="{backend.id}"}}')


def test_a_target_is_passed_over_while_the_quota_of_its_provider_is_used_up(rig, pair):
    first, second = pair
    key = add_route(rig, MODEL, first.target(requests_per_minute=2), second.target(priority=1))
    for _ in range(5):
        assert call(rig, key, MODEL).status_code == 200
    assert (len(first.asked), len(second.asked)) == (2, 3)
    assert (over(rig, first), over(rig, second)) == (3, 0)
    assert {event.target_id for event in rig.events(key, 5)} == {first.id, second.id}
    # Nothing is wrong with it.
    for metric in ("llm_backend_failures_total", "llm_backend_ejected"):
        assert rig.gateway.metric(f'{metric}{{backend="{first.id}"') == 0


def test_without_another_target_the_caller_is_told_when_to_come_back(rig, pair):
    first, _ = pair
    key = add_route(rig, MODEL, first.target(requests_per_minute=1))
    assert call(rig, key, MODEL).status_code == 200
    answer = call(rig, key, MODEL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "provider_quota_reached")
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    assert first.id not in answer.text
    assert len(first.asked) == 1
    assert len(rig.events(key, 1)) == 1


def test_it_is_503_if_the_other_target_is_away(rig, pair):
    first, second = pair
    key = add_route(rig, MODEL, first.target(requests_per_minute=1), second.target(priority=1))
    second.go_down()
    assert call(rig, key, MODEL).status_code == 200
    answer = call(rig, key, MODEL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_backend_available")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_fallback_model_answers_instead(rig, pair):
    first, second = pair
    add_route(rig, OTHER, second.target())
    add_route(rig, MODEL, first.target(requests_per_minute=1), fallbacks=[OTHER])
    key = rig.new_key(models=[MODEL, OTHER], data_classes={MODEL: "internal", OTHER: "internal"})
    assert "x-model-served" not in call(rig, key, MODEL).headers
    answer = call(rig, key, MODEL)
    assert (answer.status_code, answer.headers["x-model-served"]) == (200, OTHER)


def test_all_models_and_keys_share_the_quota_of_one_provider(rig, pair):
    first, second = pair
    keys = [
        add_route(rig, model, one.target(of="of-both", requests_per_minute=3))
        for model, one in zip((MODEL, OTHER), pair, strict=True)
    ]
    statuses = [
        call(rig, key, model).status_code
        for _ in range(3)
        for key, model in zip(keys, (MODEL, OTHER), strict=True)
    ]
    assert statuses == [200, 200, 200, 429, 429, 429]
    assert len(first.asked) + len(second.asked) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_count_as_the_call_used_them(rig, pair, stream):
    first, _ = pair
    if stream:
        first.says(events=[ROLE, *WORDS, end(), TOLD, DONE])
    key = add_route(rig, MODEL, first.target(tokens_per_minute=400))
    # More than the quota if estimates stayed: each reserves 300 and some, and uses 18.
    for _ in range(4):
        assert call(rig, key, MODEL, max_tokens=300, stream=stream).status_code == 200
    assert sum(event.tokens for event in rig.events(key, 4)) == 4 * 18
    assert call(rig, key, MODEL, max_tokens=400).status_code == 429


def test_tokens_of_a_failed_attempt_are_free_again(rig, pair):
    first, second = pair
    first.says({"error": {"message": "x"}}, status=503)
    key = add_route(rig, MODEL, first.target(tokens_per_minute=400), second.target(priority=1))
    assert call(rig, key, MODEL, max_tokens=300).status_code == 200
    first.says(plain())
    assert call(rig, key, MODEL, max_tokens=300).status_code == 200
    assert (len(first.asked), len(second.asked)) == (2, 1)
    assert over(rig, first) == 0


def test_a_connection_that_failed_before_anything_was_sent_costs_no_request(rig, pair):
    """Both are of one provider, which allows one request a minute."""
    first, second = pair
    first.go_down()
    key = add_route(
        rig,
        MODEL,
        first.target(of="one-a-minute", requests_per_minute=1),
        second.target(of="one-a-minute", requests_per_minute=1, priority=1),
    )
    assert call(rig, key, MODEL).status_code == 200
    assert call(rig, key, MODEL).status_code == 429
    assert len(second.asked) == 1


def test_a_gateway_reports_where_it_counts(rig, limits_server, request):
    rig.publish()
    is_shared = request.node.callspec.params["limited_rig"] == "redis"
    assert rig.control.acks[-1].counts_in == (place_name(limits_server.url) if is_shared else "")


def test_no_call_is_too_large_for_a_quota(rig, pair):
    """What it may use is an estimate; the provider knows better."""
    first, _ = pair
    key = add_route(rig, MODEL, first.target(tokens_per_minute=10))
    assert call(rig, key, MODEL, max_tokens=300).status_code == 200
    answer = call(rig, key, MODEL, max_tokens=1)
    assert (answer.status_code, "retry-after" in answer.headers) == (429, True)


def test_calls_of_two_workers_share_a_quota(two):  # noqa: F811
    rig = two()
    backend = AtProvider()
    try:
        rig.settings = LOOPBACK
        secret = add_route(rig, SERVED, backend.target(requests_per_minute=30))
        statuses = call_at_once(rig, secret, 80)
        assert (statuses.count(200), statuses.count(429)) == (30, 50)
        assert len(backend.asked) == 30
    finally:
        backend.close()


class Away(MemoryLimiter):
    """Limits cannot be checked."""

    async def admit(self, limits, estimate, tenant_id):
        raise Refusal(503, "limits_unavailable", "x")


def test_a_quota_that_cannot_be_checked_holds_nobody_back():
    provider = ProviderConfig(dialect="openai", quota=QuotaConfig(id="p", requests_per_minute=1))
    one = target(id="one", url="https://api.example.com/v1", upstream_model="m", provider=provider)
    route = compile_route(RouteConfig(model="m", modes=["chat"], targets=[one]))
    quota = route.groups[0][0].quota
    assert quota.limits[0].value == 1
    parsed = parse_request(b'{"model":"m","messages":[{}]}', "chat")
    taken = asyncio.run(reserve_quota(Away(), quota, None, parsed, route, SettingsConfig()))
    assert taken == (None, 0.0)


class Interrupted(MemoryLimiter):
    """The client leaves while the first reservation is settled."""

    settled = 0

    async def settle(self, reservation, tokens, nano):
        self.settled += 1
        await super().settle(reservation, tokens, nano)
        if self.settled == 1:
            raise asyncio.CancelledError


def test_a_client_that_leaves_while_its_call_settles_leaves_no_tokens_reserved():
    own, quota = Reservation(), Reservation()

    async def scenario():
        with pytest.raises(asyncio.CancelledError):
            await settle_with_quota(Interrupted(), own, quota, 7, 0)

    asyncio.run(scenario())
    assert own.is_settled
    assert quota.is_settled
