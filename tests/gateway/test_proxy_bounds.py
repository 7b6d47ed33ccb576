"""The budget of bodies and the tables of who was refused: bounded, fair, and forgetting."""

import asyncio

import pytest

from gateway.contract import LimitConfig
from gateway.proxy.errors import Refusal, invalid_key
from gateway.proxy.intake import BodyBudget, read_body
from gateway.proxy.limits import LimitReached
from gateway.proxy.refusals import Cheaply, Refusals

A_LIMIT = LimitConfig(id="l", scope="key", scope_id="k", kind="requests_per_minute", value=1)


def arriving(*parts, forever=False, pause=0):
    """Brings these parts of a body, seconds apart."""
    waiting = list(parts)

    async def receive():
        if not waiting:
            if forever:
                await asyncio.Event().wait()
            return b""
        await asyncio.sleep(pause)
        return waiting.pop(0)

    return receive


def test_a_key_has_a_quarter_and_a_tenant_half_of_the_memory_for_bodies():
    async def live():
        budget = BodyBudget(4000)
        shares = [budget.share_of("t", key) for key in ("a", "a", "b", "b")]
        await shares[0].take(900)
        second = asyncio.create_task(shares[1].take(900))
        await asyncio.sleep(0.01)
        assert not second.done()
        # Another key of the tenant need not wait for it.
        await shares[2].take(900)
        await asyncio.sleep(0.01)
        assert not second.done()
        # More than half for this tenant.
        third = asyncio.create_task(budget.share_of("t", "c").take(900))
        other = budget.share_of("u", "d")
        await other.take(900)
        assert not third.done()
        shares[0].release()
        shares[0].release()
        await second
        assert budget.used == 2700
        for share in (shares[1], shares[2], other):
            share.release()
        await third

    asyncio.run(live())


def test_a_body_that_has_begun_grows_into_free_room_while_another_tenant_waits():
    async def live():
        budget = BodyBudget(4000)
        for key in ("a", "b"):
            await budget.share_of("t", key).take(1000)
        # Half of the memory is this tenant's.
        waiting = asyncio.create_task(budget.share_of("t", "c").take(900))
        await asyncio.sleep(0)
        growing = budget.share_of("u", "d")
        await growing.take(200)
        await growing.take(300)
        assert (growing.size, budget.used, waiting.done()) == (500, 2500, False)
        # It never grows beyond the room that is left.
        await budget.share_of("v", "e").take(1000)
        with pytest.raises(Refusal):
            await growing.take(501)
        waiting.cancel()

    asyncio.run(live())


def test_a_single_body_passes_however_small_the_memory_is():
    async def live():
        budget = BodyBudget(10)
        share = budget.share_of("t", "k")
        await share.take(5000)
        share.release()
        assert budget.used == 0

    asyncio.run(live())


def test_who_gives_up_waiting_leaves_nothing_behind():
    async def live():
        budget = BodyBudget(1000)
        first, second = budget.share_of("t", "a"), budget.share_of("t", "b")
        await first.take(1000)
        waiting = asyncio.create_task(second.take(10))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        first.release()
        assert budget.used == 0
        await budget.share_of("t", "c").take(1000)

    asyncio.run(live())


def test_a_body_without_a_length_is_counted_as_it_grows_and_refused_where_there_is_no_room():
    async def live():
        budget = BodyBudget(400_000)
        held = budget.share_of("u", "x")
        await held.take(300_000)
        share = budget.share_of("t", "k")
        with pytest.raises(Refusal) as refused:
            await read_body(arriving(*[b"a" * 50_000] * 6), None, 10**6, share, 5)
        assert refused.value.status in (429, 503)
        share.release()
        assert budget.used == 300_000

    asyncio.run(live())


def test_a_body_longer_than_it_said_is_cut_at_the_most_that_is_taken():
    async def live():
        share = BodyBudget(10**6).share_of("t", "k")
        with pytest.raises(Refusal) as refused:
            await read_body(arriving(*[b"a" * 600] * 3), 5, 1000, share, 5)
        assert refused.value.status == 413

    asyncio.run(live())


@pytest.mark.parametrize(
    "coming",
    [
        lambda: arriving(b"a" * 1000, forever=True),
        lambda: arriving(*[b"a"] * 2000, forever=True, pause=0.01),
    ],
    ids=["stops", "drips"],
)
def test_a_body_must_keep_a_pace(coming):
    async def live():
        share = BodyBudget(10**6).share_of("t", "k")
        # And not only within the minute that every body has.
        async with asyncio.timeout(10):
            with pytest.raises(Refusal) as refused:
                await read_body(coming(), 5000, 10**6, share, 0.05)
        assert refused.value.status == 408

    asyncio.run(live())


def test_wrong_keys_of_an_address_are_throttled_together_only_after_many_different_ones():
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    wrong = invalid_key("wrong")

    def is_cheap(key, address="192.0.2.1"):
        return isinstance(refusals.stranger(wrong, address, key), Cheaply)

    assert not any(is_cheap("one") for _ in range(20))
    assert all(is_cheap("one") for _ in range(500))
    assert not is_cheap("two")
    assert sum(is_cheap(f"guess {number}") for number in range(400)) > 200
    assert not is_cheap("two", "192.0.2.2")
    now[0] += 60
    assert not is_cheap("one")


def test_an_ipv6_address_is_as_good_as_its_network():
    refusals = Refusals(lambda: 0.0)
    wrong = invalid_key("wrong")
    answers = [refusals.stranger(wrong, f"2001:db8::{number:x}", "same") for number in range(30)]
    assert isinstance(answers[-1], Cheaply)


def test_what_is_remembered_of_refusals_is_bounded():
    refusals = Refusals(lambda: 0.0)
    wrong = invalid_key("wrong")
    for number in range(25_000):
        refusals.stranger(wrong, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"key {number}")
    assert len(refusals._same_key) <= 10_000
    assert len(refusals._address) <= 10_000


def test_the_answer_of_a_limit_is_repeated_for_a_second_to_who_hammers_and_never_past_its_wait():
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    reached = LimitReached(A_LIMIT, 30.0, 1, 1)
    for _ in range(20):
        refusals.limited(reached, "key", 1)
        assert refusals.repeated("key", 1) is None
    refusals.limited(reached, "key", 1)
    again = refusals.repeated("key", 1)
    assert (again.status, again.code, str(again)) == (429, reached.code, str(reached))
    assert refusals.repeated("other", 1) is None
    now[0] += 1.1
    assert refusals.repeated("key", 1) is None
    soon = LimitReached(A_LIMIT, 0.2, 1, 1)
    for _ in range(40):
        refusals.limited(soon, "key", 1)
    assert refusals.repeated("key", 1)
    # Another configuration may say otherwise.
    assert refusals.repeated("key", 2) is None
    for _ in range(40):
        refusals.limited(soon, "key", 1)
    now[0] += 0.21
    assert refusals.repeated("key", 1) is None


def test_bodies_that_are_read_only_to_be_refused_are_throttled_by_their_size():
    now = 1000.0
    refusals = Refusals(lambda: now)
    for _ in range(1600):
        assert refusals.too_many_wrong("small") is None
        refusals.wrong("small", 100)
    told = refusals.too_many_wrong("small")
    assert (told.status, told.code, isinstance(told, Cheaply)) == (429, "too_many_wrong_calls", True)
    assert told.headers["retry-after"] == "1"
    assert refusals.too_many_wrong("another") is None
    large = 0
    while refusals.too_many_wrong("large") is None:
        refusals.wrong("large", 8 * 1024 * 1024)
        large += 1
    assert large == 13
    now += 1.0
    assert refusals.too_many_wrong("small") is None
    assert (
        refusals.too_many_wrong("large") is None
        or refusals.too_many_wrong("large").headers["retry-after"] == "1"
    )
    now += 3.0
    assert refusals.too_many_wrong("large") is None


def test_a_limit_of_one_model_says_nothing_of_calls_to_another():
    refusals = Refusals(lambda: 0.0)
    limit = LimitConfig(id="l", scope="key", scope_id="k", kind="requests_per_minute", value=1, model="one")
    for _ in range(100):
        refusals.limited(LimitReached(limit, 1.0, 1, 1), "key", 1)
    assert refusals.repeated("key", 1) is None


def test_a_limit_on_concurrent_calls_is_asked_every_time():
    refusals = Refusals(lambda: 0.0)
    limit = LimitConfig(id="l", scope="key", scope_id="k", kind="concurrent_calls", value=1)
    for _ in range(100):
        refusals.limited(LimitReached(limit, 1.0, 1, 1), "key", 1)
    assert refusals.repeated("key", 1) is None
