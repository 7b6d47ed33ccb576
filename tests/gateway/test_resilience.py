"""Places at backends, budgets of retries, and sessions: the arithmetic, without a network."""

import asyncio
from collections import Counter

import pytest

from gateway.contract import HandlingConfig, ProviderConfig, RouteConfig, SettingsConfig
from gateway.proxy import upstream
from gateway.proxy.body import Body
from gateway.proxy.errors import Refusal
from gateway.proxy.gates import Gate, first_place
from gateway.proxy.http.errors import Disconnected, NoRoom
from gateway.proxy.metrics import Metrics
from gateway.proxy.outgoing import Sent
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.retries import Retries, RetryBudget, may_repeat
from gateway.proxy.routing import Router
from gateway.proxy.separation import Apart, Separation
from gateway.proxy.sessions import by_session, session_of
from tests.gateway.test_proxy_counting import a_route, backend

SEPARATION = Separation("key of this installation")
SENT = Sent("application/json", "application/json", "id", {})


def sessions(count, tenant="t"):
    return [SEPARATION.session_of(tenant, f"session-{number}") for number in range(count)]


def test_a_gate_admits_as_many_as_it_has_places_and_hands_a_free_one_to_who_waits_longest():
    async def live():
        gate = Gate(2)
        assert [gate.take() for _ in range(3)] == [True, True, False]
        first = asyncio.create_task(first_place([gate], 5))
        second = asyncio.create_task(first_place([gate], 5))
        await asyncio.sleep(0)
        gate.leave()
        # Whoever comes now does not overtake them.
        assert not gate.take()
        assert await first is gate
        assert not second.done()
        gate.leave()
        assert await second is gate
        gate.leave()
        gate.leave()
        assert (gate.in_use, gate.waiting) == (0, {})

    asyncio.run(live())


def test_waiting_ends_and_its_queue_is_bounded():
    async def live():
        gate = Gate(1)
        assert gate.take()
        waits = [asyncio.create_task(first_place([gate], 0.1)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # The second and the third found the queue full.
        assert [one.done() for one in waits] == [False, True, True]
        assert await asyncio.gather(*waits) == [None] * 3
        gate.leave()
        assert (gate.in_use, gate.waiting) == (0, {})

    asyncio.run(live())


def test_a_place_that_comes_while_its_caller_goes_away_is_given_back():
    async def live():
        gate = Gate(1)
        assert gate.take()
        waiting = asyncio.create_task(first_place([gate], 5))
        await asyncio.sleep(0)
        gate.leave()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (gate.in_use, gate.waiting) == (0, {})

    asyncio.run(live())


def test_who_waits_at_several_gates_takes_one_place():
    async def live():
        gates = [Gate(1), Gate(1)]
        assert all(gate.take() for gate in gates)
        waiting = asyncio.create_task(first_place(gates, 5))
        await asyncio.sleep(0)
        gates[1].leave()
        gates[0].leave()
        assert await waiting is gates[1]
        assert [(gate.in_use, gate.waiting) for gate in gates] == [(0, {}), (1, {})]

    asyncio.run(live())


def test_a_gate_follows_a_new_bound_while_calls_are_in_progress():
    async def live():
        gate = Gate(3)
        assert all(gate.take() for _ in range(3))
        gate.most = 1
        waiting = asyncio.create_task(first_place([gate], 5))
        await asyncio.sleep(0)
        gate.leave()
        gate.leave()
        assert not waiting.done()
        gate.leave()
        assert await waiting is gate
        assert gate.in_use == 1

    asyncio.run(live())


def test_the_bound_of_a_route_reaches_its_gates_and_what_no_route_names_is_forgotten():
    router = Router(Metrics(), most_connections=7)
    route = a_route(backend("a"))
    [a] = router.candidates(route)
    assert router.gate(a).most == 7
    bounded = a_route(backend("a"), handling=HandlingConfig(most_connections=3))
    router.apply({"public": bounded})
    assert router.gate(a).most == 3
    router.retries(route, "chat")
    router.gate(a).take()
    assert router.connections() == {"a": (1, 0)}
    router.apply({})
    assert (router.connections(), router._budgets) == ({}, {})


def test_a_budget_of_retries_is_a_share_of_recent_calls_and_a_few_each_second():
    now = [1000.0]
    budget = RetryBudget(lambda: now[0])
    for _ in range(100):
        budget.called()
    # 20 % of 100 calls, and 1 a second for ten seconds.
    assert sum(budget.allows(20, 1) for _ in range(100)) == 30
    now[0] += 9.0
    assert not budget.allows(20, 1)
    now[0] += 1.0
    # Calls and retries of the first second are forgotten.
    assert (budget.calls, sum(budget.allows(20, 1) for _ in range(100))) == (100, 10)
    assert budget.calls == 0
    now[0] += 3600.0
    assert not budget.allows(0, 0)
    assert (budget.calls, budget.retries) == (0, 0)


def test_a_budget_slides_by_the_second():
    now = [1000.0]
    budget = RetryBudget(lambda: now[0])
    for second in range(25):
        now[0] = 1000.0 + second
        for _ in range(10):
            budget.called()
        assert budget.allows(100, 0)
    assert (budget.calls, budget.retries) == (100, 10)


def retries(mode="chat", told=lambda why: None, **handling):
    budget = RetryBudget()
    budget.called()
    return Retries(budget, HandlingConfig(**handling), mode, told)


def test_a_call_is_sent_three_times_at_most_and_unreached_backends_do_not_count():
    told = []
    one = retries(told=told.append)
    for _ in range(5):
        assert one.may_begin()
    for _ in range(2):
        one.was_sent(500)
        assert one.may_begin()
    assert one.may_begin()
    one.was_sent(500)
    assert not one.may_begin()
    assert told == ["", "", "attempts"]


def test_backends_that_cannot_be_reached_are_not_tried_without_end():
    one = retries()
    assert sum(one.may_begin() for _ in range(100)) == 20


def test_without_a_budget_nothing_is_sent_again():
    told = []
    one = retries(told=told.append, retry_percent=0, retries_per_second=0)
    assert one.may_begin()
    assert one.may_begin()  # the first backend was not reached
    one.was_sent(502)
    assert not one.may_begin()
    assert told == ["budget"]


@pytest.mark.parametrize(
    ("mode", "status", "is_repeated"),
    [
        ("chat", 0, True),
        ("embedding", 500, True),
        ("image_generation", 0, False),
        ("image_generation", 500, False),
        ("image_generation", 503, False),
        ("image_generation", 429, True),
        ("audio_speech", 200, False),
        ("audio_speech", 404, True),
    ],
)
def test_work_that_costs_each_time_is_repeated_only_if_it_did_not_begin(mode, status, is_repeated):
    assert may_repeat(mode, status) is is_repeated
    told = []
    one = retries(mode, told.append)
    assert one.may_begin()
    assert one.may_begin()  # nothing was sent
    one.was_sent(status)
    assert one.may_begin() is is_repeated
    assert told == ["" if is_repeated else "once"]


def test_sessions_are_spread_by_weight_and_always_in_the_same_order():
    group = a_route(backend("a"), backend("b", weight=2), backend("c", weight=5)).groups[0]
    first = [by_session(group, session) for session in sessions(8000)]
    counts = Counter(order[0].id for order in first)
    # Three standard deviations of the rarest.
    assert abs(counts["a"] - 1000) < 90
    assert abs(counts["b"] - 2000) < 120
    assert [by_session(reversed(group), session) for session in sessions(8000)] == first
    # Where the first one is away, the rest of its sessions go by weight too.
    seconds = Counter(order[1].id for order in first if order[0].id == "c")
    assert abs(seconds["b"] / seconds["a"] - 2) < 0.3


def test_a_target_that_comes_or_goes_moves_only_its_own_sessions():
    three = a_route(backend("a"), backend("b"), backend("c")).groups[0]
    four = a_route(backend("a"), backend("b"), backend("c"), backend("d")).groups[0]
    moved = Counter()
    for session in sessions(4000):
        before, after = by_session(three, session)[0].id, by_session(four, session)[0].id
        if before != after:
            moved[after] += 1
    assert set(moved) == {"d"}
    assert abs(moved["d"] - 1000) < 90


def test_a_session_falls_over_when_its_target_is_ejected_and_returns_afterwards():
    now = [0.0]
    route = a_route(backend("a"), backend("b"), backend("c"))
    router = Router(Metrics(), clock=lambda: now[0])
    [session] = sessions(1)
    first, second, _ = router.candidates(route, session)
    for _ in range(3):
        router.failed(first, "connect")
    assert next(router.candidates(route, session)).id == second.id
    now[0] = 1.5
    assert next(router.candidates(route, session)).id == first.id
    router.answered(first)
    router.succeeded(first)
    assert [next(router.candidates(route, session)).id for _ in range(5)] == [first.id] * 5


def test_sessions_of_one_name_are_others_for_each_tenant_and_installation():
    group = a_route(*(backend(id) for id in "abcd")).groups[0]
    pairs = zip(sessions(4000), sessions(4000, "u"), strict=True)
    same = sum(by_session(group, one)[0] is by_session(group, other)[0] for one, other in pairs)
    assert abs(same - 1000) < 120
    assert SEPARATION.session_of("t", "x") != Separation("another").session_of("t", "x")
    # Nor does a session's digest serve as a name of a user.
    assert SEPARATION.session_of("t", "x").hex()[:32] != SEPARATION.name_of("t", "session", "x")


@pytest.mark.parametrize(
    ("headers", "body", "name"),
    [
        ({"x-session-id": "s"}, b'{"prompt_cache_key":"k"}', "s"),
        ({}, b'{"prompt_cache_key":"k","user":"u"}', "k"),
        ({}, b'{"user":"u"}', ""),
        ({"x-session-id": ""}, b'{"prompt_cache_key":["k"]}', ""),
    ],
)
def test_a_session_is_named_by_its_header_or_by_the_key_of_a_cache(headers, body, name):
    expected = SEPARATION.session_of("t", name) if name else b""
    sticky = a_route(backend("a"), handling=HandlingConfig(is_sticky=True))
    assert session_of(sticky, headers, Body(body), SEPARATION, "t") == expected
    assert session_of(a_route(backend("a")), headers, Body(body), SEPARATION, "t") == b""


def test_time_outs_of_a_route_replace_those_of_its_provider_and_of_the_settings():
    settings = SettingsConfig()
    provider = ProviderConfig(dialect="openai", connect_timeout_seconds=7)
    plain = a_route(backend("a"), backend("p", provider=provider)).groups[0]
    assert [one.connect_seconds(settings) for one in plain] == [3.0, 7.0]
    assert [one.first_byte_seconds(settings) for one in plain] == [600.0, 120.0]
    assert [one.idle_seconds(settings) for one in plain] == [120.0, 60.0]
    handling = HandlingConfig(connect_timeout_seconds=1, first_byte_timeout_seconds=2, idle_timeout_seconds=4)
    own = a_route(backend("a"), backend("p", provider=provider), handling=handling).groups[0]
    for one in own:
        assert one.connect_seconds(settings) == 1
        assert (one.first_byte_seconds(settings), one.idle_seconds(settings)) == (2, 4)
    assert RouteConfig(model="m", modes=["chat"]).handling.call_timeout_seconds is None


def test_a_gateway_without_connections_blames_no_backend():
    class Full:
        async def post(self, *_, **__):
            raise NoRoom("all connections are in use")

    router, route = Router(Metrics()), a_route(backend("a"), backend("b", priority=1))
    parsed = parse_request(b'{"model":"public","messages":[{}]}', "chat")
    for _ in range(5):
        asking = upstream.ask(
            Full(),
            router,
            route,
            parsed,
            SENT,
            SettingsConfig(),
            upstream.Attempts(),
            Apart(""),
            None,
            None,
            None,
        )
        with pytest.raises(Refusal) as refused:
            asyncio.run(asking)
        assert (refused.value.status, refused.value.code) == (503, "backends_busy")
    assert not router.is_any_ejected(route)
    assert router.connections() == {"a": (0, 0), "b": (0, 0)}


@pytest.mark.parametrize(("mode", "asks_others"), [("chat", True), ("image_generation", False)])
def test_no_fallback_makes_pictures_that_may_be_made_already(mode, asks_others):
    class Broken:
        asked = 0

        async def post(self, *_, **__):
            self.asked += 1
            raise Disconnected(has_begun=False)

    router, route = Router(Metrics()), a_route(backend("a"), backend("b", priority=1))
    parsed = parse_request(b'{"model":"public","messages":[{}]}', "chat")
    parsed.mode = mode
    broken = Broken()
    asking = upstream.ask(
        broken,
        router,
        route,
        parsed,
        SENT,
        SettingsConfig(),
        upstream.Attempts(),
        Apart(""),
        None,
        None,
        None,
    )
    with pytest.raises(Refusal) as refused:
        asyncio.run(asking)
    assert (broken.asked, refused.value.is_unanswered) == (2 if asks_others else 1, asks_others)
