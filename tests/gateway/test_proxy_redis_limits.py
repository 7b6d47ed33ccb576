"""Limits that several limiters share in one server, which may lose its data, its answers or itself."""

import asyncio
import contextlib
import socket
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from gateway.contract import NANO
from gateway.proxy import limits_redis
from gateway.proxy.errors import Refusal
from gateway.proxy.limits import EstimatedUsage, LimitReached
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.metrics import Metrics
from tests.gateway.limiters import Limiters, Relay
from tests.gateway.proxy_fixtures import limit

TEN = EstimatedUsage(input_tokens=10, output_tokens=0, is_output_named=True)


class Clock:
    def __init__(self, now=1_750_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def shared(limits_server):
    """Limiters on one server; nothing in it yet."""
    made = Limiters(limits_server)
    yield made
    made.close()


async def admits(limiter, limits, estimate=TEN):
    with contextlib.suppress(LimitReached):
        return await limiter.admit(limits, estimate, "t")


async def warm_up(limiter):
    """Connect, and teach the server the scripts."""
    await limiter.settle(await limiter.admit([limit("concurrent_calls", 1)], TEN, "warm"), 0, 0)


async def used(limiter, one):
    """What is counted in `one`, as a call hears that finds no room."""
    with pytest.raises(LimitReached) as refused:
        await limiter.admit([one], EstimatedUsage(one.value, 0, True), "t")
    return int(str(refused.value).partition("(")[2].partition(" used")[0].replace(",", ""))


def test_of_many_calls_at_once_through_two_gateways_as_many_pass_as_fit(shared):
    one, other = shared.new(None), shared.another(None)
    limits = [limit("concurrent_calls", 7), limit("tokens_per_day", 100), limit("requests_per_minute", 50)]

    async def work():
        calls = [admits(limiter, limits) for limiter in (one, other) for _ in range(30)]
        admitted = [call for call in await asyncio.gather(*calls) if call]
        await one.close()
        return admitted

    assert len(shared.run(work())) == 7


def test_every_key_expires_and_a_tenants_keys_share_a_slot(shared):
    limiter = shared.new(None, lease_seconds=30)
    kinds = (
        "requests_per_minute",
        "tokens_per_minute",
        "concurrent_calls",
        "tokens_per_day",
        "money_per_month",
    )
    limits = [limit(kind, 10**12, used=1, used_as_of=int(time.time())) for kind in kinds]

    server = shared.server.client

    def all_expire():
        assert all(server.pttl(key) > 0 for key in server.scan_iter())

    async def work():
        for truth in (99, 10, 0):
            held = await limiter.admit(limits, TEN, "bank")
            all_expire()
            await limiter.settle(held, truth, truth)
            all_expire()
        await limiter.admit(limits, TEN, "bank")
        await limiter._renew()
        all_expire()

    shared.run(work())
    assert len(server.keys()) == 2 * len(limits)
    assert all(key.startswith(b"limits:{bank}:") for key in server.scan_iter())


def test_the_leases_of_a_dead_gateway_run_out(shared):
    clock = Clock()
    dead, other = shared.new(clock, lease_seconds=30), shared.another(clock, lease_seconds=30)
    limits = [limit("concurrent_calls", 1), limit("tokens_per_month", 10)]

    async def work():
        await dead.admit(limits, TEN, "t")
        clock.now += 29.9
        assert not await admits(other, limits)
        clock.now += 0.1
        assert await admits(other, limits)
        await dead.close()

    shared.run(work())


def test_a_call_keeps_its_lease_while_its_gateway_lives(shared):
    alive, other = shared.new(None, lease_seconds=1), shared.another(None, lease_seconds=1)
    limits = [limit("concurrent_calls", 1), limit("tokens_per_day", 10)]

    async def work():
        held = await alive.admit(limits, TEN, "t")
        maintaining = asyncio.create_task(alive.maintain())
        for _ in range(25):
            await asyncio.sleep(0.1)
            assert not await admits(other, limits)
        await alive.settle(held, 0, 0)
        async with asyncio.timeout(60):
            while not await admits(other, limits):
                await asyncio.sleep(0.05)
        maintaining.cancel()
        await alive.close()

    shared.run(work())


def test_leases_come_back_after_the_server_has_lost_them(shared):
    limiter, limits = shared.new(None), [limit("concurrent_calls", 1)]

    async def work():
        held = await limiter.admit(limits, TEN, "t")
        shared.server.client.flushdb()
        await limiter._renew()
        assert not await admits(limiter, limits)
        await limiter.settle(held, 10, 0)
        assert await admits(limiter, limits)

    shared.run(work())


def test_a_call_whose_lease_ran_out_is_counted_all_the_same(shared):
    clock = Clock()
    limiter, daily = shared.new(clock, lease_seconds=30), limit("tokens_per_day", 1000)

    async def work():
        held = await limiter.admit([daily], TEN, "t")
        clock.now += 31
        # Takes what the call had reserved.
        assert await admits(limiter, [daily], EstimatedUsage(1000, 0, True))
        await limiter.settle(held, 40, 0)
        assert await used(limiter, daily) == 1040

    shared.run(work())


def test_the_servers_clock_says_which_month_it_is(shared, monkeypatch):
    wrong, right = shared.new(None), shared.another(None)
    monthly = [limit("tokens_per_month", 10)]

    async def work():
        ahead = SimpleNamespace(time=lambda: time.time() + timedelta(days=40).total_seconds())
        with monkeypatch.context() as patch:
            patch.setattr(limits_redis, "time", ahead)
            assert await admits(wrong, monthly)
        assert not await admits(right, monthly)
        with pytest.raises(LimitReached) as refused:
            await right.admit(monthly, TEN, "t")
        await wrong.close()
        return int(refused.value.headers["retry-after"])

    now = datetime.now(UTC)
    next_month = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(
        day=1
    )
    assert shared.run(work()) == pytest.approx((next_month - now).total_seconds(), abs=5)


def test_the_ledgers_numbers_are_set_and_never_added(shared):
    one, other = shared.new(None), shared.another(None)
    now = int(time.time())
    known = limit("tokens_per_month", 1000, used=90, used_as_of=now - 2)
    newer = msgspec.structs.replace(known, used=120, used_as_of=now - 1)

    async def work():
        for limiter in (one, other, one):
            await limiter.settle(await limiter.admit([known], TEN, "t"), 5, 0)
        assert await used(other, known) == 105
        assert await used(other, newer) == 120
        assert await used(one, newer) == 120
        assert await used(one, known) == 120
        await one.close()

    shared.run(work())


def test_money_beyond_what_a_float_can_count_is_exact(shared):
    limiter, large = shared.new(None), 2**53 + 1
    budget = limit("money_per_month", 10**9 * NANO, used=large, used_as_of=int(time.time()))

    async def work():
        for _ in range(3):
            estimate = EstimatedUsage(1, 0, True, input_nano=7)
            await limiter.settle(await limiter.admit([budget], estimate, "t"), 1, 1)

    shared.run(work())
    (numbers,) = shared.server.client.keys("*:numbers")
    assert shared.server.client.hget(numbers, "settled") == str(large + 3).encode()
    assert shared.server.client.hget(numbers, "reserved") in (None, b"0")


def test_what_may_have_been_settled_is_settled_later_and_counted_once(shared):
    daily, relay = limit("tokens_per_day", 1000), Relay(shared.server.url)
    limiter = shared.new(None, url=relay.url, lease_seconds=30)

    async def work():
        async with relay:
            await warm_up(limiter)
            held = await limiter.admit([daily], TEN, "t")
            relay.is_mute = True
            await limiter.settle(held, 40, 0)
            assert limiter.problem
            relay.is_mute = False
            await limiter._maintain_once()
            assert await used(limiter, daily) == 40
            assert not limiter.problem
            await limiter.close()

    shared.run(work())


def test_a_question_whose_answer_was_lost_is_asked_again_and_counts_once(shared):
    relay = Relay(shared.server.url)
    limiter = shared.new(None, url=relay.url, lease_seconds=30)
    limits = [limit("requests_per_minute", 1), limit("concurrent_calls", 1), limit("tokens_per_day", 10)]

    async def work():
        async with relay:
            await warm_up(limiter)
            relay.is_mute = True
            asking = asyncio.create_task(limiter.admit(limits, TEN, "t"))
            await asyncio.sleep(0.1)
            relay.is_mute = False
            assert (await asking).headers["x-ratelimit-remaining-requests"] == "0"
            assert not await admits(limiter, limits)
            await limiter.close()

    shared.run(work())


def test_a_call_that_heard_no_answer_leaves_nothing_behind(shared):
    relay = Relay(shared.server.url)
    limiter = shared.new(None, url=relay.url, lease_seconds=30)
    limits = [limit("requests_per_minute", 1), limit("concurrent_calls", 1), limit("tokens_per_day", 10)]

    async def work():
        async with relay:
            await warm_up(limiter)
            relay.is_mute = True
            with pytest.raises(Refusal) as refused:
                await limiter.admit(limits, TEN, "t")
            assert (refused.value.status, refused.value.code) == (503, "limits_unavailable")
            relay.is_mute = False
            # The server did hear it.
            assert not await admits(limiter, limits)
            await limiter._maintain_once()
            assert await admits(limiter, limits)
            await limiter.close()

    shared.run(work())


@pytest.mark.parametrize("waiting", [0, 100])
def test_a_server_that_says_nothing_is_given_up_quickly(shared, waiting):
    """With room for nobody who waits, it cannot even be connected to."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=waiting))
        stack.enter_context(socket.create_connection(silent.getsockname()))
        limiter = RedisLimiter(f"redis://127.0.0.1:{silent.getsockname()[1]}", Metrics())

        async def work():
            began = time.monotonic()
            with pytest.raises(Refusal, match="cannot check the limits"):
                await limiter.admit([limit("requests_per_minute", 3)], TEN, "t")
            took_seconds = time.monotonic() - began
            await limiter.close()
            return took_seconds

        assert 0.3 < shared.run(work()) < 30


def test_a_server_that_became_a_replica_is_connected_to_anew(shared):
    """Its name may lead to the new primary by now; the old connection would lead to the replica for ever."""
    server, limiter = shared.server.client, shared.new(None)

    def connections():
        return {one["id"] for one in server.client_list() if one["cmd"] == "evalsha"}

    async def work():
        # Of limiters of earlier tests, which may still be open.
        others = connections()
        await warm_up(limiter)
        before = connections() - others
        server.replicaof("127.0.0.1", 1)
        try:
            for _ in range(2):
                with pytest.raises(Refusal) as refused:
                    await limiter.admit([limit("requests_per_minute", 3)], TEN, "t")
                assert (refused.value.status, refused.value.code) == (503, "limits_unavailable")
        finally:
            server.replicaof("NO", "ONE")
        assert await admits(limiter, [limit("requests_per_minute", 3)])
        assert before
        assert before.isdisjoint(connections())
        await limiter.close()

    shared.run(work())
