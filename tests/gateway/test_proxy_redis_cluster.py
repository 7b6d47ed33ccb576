"""Limits in a cluster of three nodes: whoever has a tenant's slot counts, and it may move while callers call."""

import asyncio
import contextlib
import itertools
import threading

import pytest

from gateway.proxy.errors import Refusal
from gateway.proxy.limits import EstimatedUsage, LimitReached
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.metrics import Metrics
from tests.gateway.eventually import until
from tests.gateway.limits_cluster import Cluster
from tests.gateway.proxy_fixtures import limit

TEN = EstimatedUsage(input_tokens=10, output_tokens=0, is_output_named=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nothing_counted(cluster):
    for client in cluster.clients:
        client.flushdb()
        client.script_flush()


def limiter_on(cluster, number=0, **options):
    return RedisLimiter(cluster.url(number), Metrics(), **options)


def tags_of(cluster, first=0):
    """For each node, a tenant whose keys it has."""
    found, numbers = {}, itertools.count(first)
    while len(found) < 3:
        tag = f"tenant-{next(numbers)}"
        found.setdefault(cluster.owner(tag), tag)
    return [found[node] for node in range(3)]


async def admitted(limiter, limits, tenant):
    with contextlib.suppress(LimitReached):
        return await limiter.admit(limits, TEN, tenant)


def test_each_tenant_is_counted_on_the_node_that_has_its_slot(cluster):
    tags = tags_of(cluster)
    three = [limit("requests_per_minute", 3), limit("tokens_per_day", 1000)]

    async def work():
        limiter, other = limiter_on(cluster), limiter_on(cluster, 2)
        for tag in tags:
            passed = [await admitted(one, three, tag) for one in (limiter, other, limiter, other)]
            assert [bool(call) for call in passed] == [True, True, True, False]
            for call in filter(None, passed):
                await limiter.settle(call, 5, 0)
        await until(lambda: limiter._nodes._learning is None)
        moved = cluster.errors("MOVED")
        for tag in tags:
            assert not await admitted(limiter, three, tag)
        for tag in tags_of(cluster, 1000):
            assert await admitted(limiter, three, tag)
        await limiter._renew()
        assert cluster.errors("MOVED") == moved  # it has learned who has what
        await limiter.close()
        await other.close()

    asyncio.run(work())
    for number, tag in enumerate(tags):
        assert cluster.clients[number].keys(f"limits:{{{tag}}}:*")


def test_a_slot_whose_keys_have_moved_already_is_asked_at_its_new_node(cluster):
    tag = tags_of(cluster)[0]
    three = [limit("requests_per_minute", 3)]

    async def work():
        limiter = limiter_on(cluster)
        assert await admitted(limiter, three, tag)
        cluster.begin_move(tag, 0, 1)
        cluster.move_keys(tag, 0, 1)
        asked = cluster.errors("ASK")
        assert await admitted(limiter, three, tag)
        assert await admitted(limiter, three, tag)
        assert not await admitted(limiter, three, tag)
        assert cluster.errors("ASK") == asked + 3
        cluster.end_move(tag, 0, 1)
        assert not await admitted(limiter, three, tag)
        await limiter.close()

    asyncio.run(work())
    cluster.move(tag, 1, 0)


def test_while_a_slot_moves_the_cap_holds_and_nobody_is_refused_wrongly(cluster):
    """Callers of two gateways; the slot goes round all three nodes meanwhile, its keys one by one."""
    tag = tags_of(cluster)[0]
    limits = [
        limit("concurrent_calls", 5),
        limit("requests_per_minute", 100_000),
        limit("tokens_per_day", 10**9),
        limit("money_per_month", 10**15),
    ]
    is_over = threading.Event()
    passed, busy, most = [], 0, 0

    async def caller(limiter):
        nonlocal busy, most
        while not is_over.is_set():
            call = await admitted(limiter, limits, tag)  # a 503 would end the test
            if call is None:
                await asyncio.sleep(0.001)
                continue
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.002)
            passed.append(call)
            busy -= 1
            await limiter.settle(call, 7, 3)

    async def work():
        limiters = [limiter_on(cluster), limiter_on(cluster, 1)]
        callers = [asyncio.create_task(caller(one)) for one in limiters for _ in range(10)]
        await until(lambda: len(passed) > 50 or any(one.done() for one in callers))

        def move_around():
            for _ in range(3):
                for source, target in ((0, 1), (1, 2), (2, 0)):
                    cluster.move(tag, source, target, pause_seconds=0.01)

        before = len(passed)
        await asyncio.to_thread(move_around)
        while_moving = len(passed) - before
        await until(lambda: len(passed) > before + while_moving + 50 or any(one.done() for one in callers))
        is_over.set()
        await asyncio.gather(*callers)
        assert while_moving > 0
        assert not any(one.problem for one in limiters)
        # All room is free again, and not more of it than there was.
        together = await asyncio.gather(*(admitted(limiters[0], limits, tag) for _ in range(9)))
        assert sum(call is not None for call in together) == 5
        for one in limiters:
            await one.close()

    asyncio.run(work())
    assert most == 5
    assert cluster.errors("TRYAGAIN") > 0
    (day,) = cluster.clients[0].keys("*:tokens_per_day:numbers")
    assert int(cluster.clients[0].hget(day, "settled")) == 7 * len(passed)
    (minute,) = cluster.clients[0].keys("*:requests_per_minute:calls")
    assert cluster.clients[0].zcard(minute) == len(passed) + 5


def test_a_slot_that_never_ends_moving_is_a_503_after_a_while(cluster, monkeypatch):
    monkeypatch.setattr("gateway.proxy.redis_nodes._MOVED_WITHIN_SECONDS", 0.2)
    tag = tags_of(cluster)[0]
    limits = [limit("requests_per_minute", 3), limit("concurrent_calls", 3)]

    async def work():
        limiter = limiter_on(cluster)
        call = await admitted(limiter, limits, tag)
        await limiter.settle(call, 0, 0)
        cluster.begin_move(tag, 0, 1)
        with pytest.raises(Refusal, match="cannot check the limits") as refused:
            await limiter.admit(limits, TEN, tag)
        assert refused.value.status == 503
        cluster.move_keys(tag, 0, 1)
        cluster.end_move(tag, 0, 1)
        assert await admitted(limiter, limits, tag)
        await limiter.close()

    asyncio.run(work())
    cluster.move(tag, 1, 0)


def test_without_one_node_the_tenants_of_the_others_go_on(cluster):
    tags = tags_of(cluster)
    limits = [limit("requests_per_minute", 1000)]

    async def work():
        limiter = limiter_on(cluster)  # its URL names the node that goes
        for tag in tags:
            assert await admitted(limiter, limits, tag)
        await until(lambda: limiter._nodes._learning is None)
        await asyncio.to_thread(cluster.stop, 0)
        for tag in tags[1:]:
            assert await admitted(limiter, limits, tag)
        with pytest.raises(Refusal):
            await limiter.admit(limits, TEN, tags[0])
        # In this thread: a server ends with the thread that has started it.
        cluster.start(0)
        await until(lambda: cluster.clients[0].execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        assert await admitted(limiter, limits, tags[0])
        await limiter.close()

    asyncio.run(work())


def test_a_script_that_one_node_does_not_know_is_sent_there_in_full(cluster):
    tags = tags_of(cluster)
    limits = [limit("requests_per_minute", 1000)]

    async def work():
        limiter = limiter_on(cluster)
        for tag in tags:
            assert await admitted(limiter, limits, tag)
        before = cluster.errors("NOSCRIPT")
        cluster.clients[1].script_flush()
        for tag in tags * 2:
            assert await admitted(limiter, limits, tag)
        assert cluster.errors("NOSCRIPT") == before + 1
        await limiter.close()

    asyncio.run(work())
