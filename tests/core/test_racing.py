"""Of several addresses the first that answers is taken, and nothing stays of the others."""

import asyncio

import pytest

from core.egress import EgressRefused, connect_async, read_networks, read_url
from core.egress.racing import Answered, _families_in_turn, first_to_answer, head_start_within
from tests.silent_address import silent_address

HEAD_START = 0.05
NEVER = 60.0


class Attempts:
    """Attempts that open after the seconds that a test names, or raise its error."""

    def __init__(self, **plans):
        self.plans = plans
        self.begun, self.cancelled, self.closed = [], [], []

    async def __call__(self, name):
        self.begun.append(name)
        plan = self.plans[name]
        try:
            if isinstance(plan, Exception):
                raise plan
            await asyncio.sleep(plan)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        return name

    async def race(self):
        try:
            return await first_to_answer(list(self.plans), self, self.closed.append, head_start=HEAD_START)
        finally:
            await asyncio.sleep(0.01)


def test_a_silent_address_gives_way_and_its_attempt_ends():
    attempts = Attempts(a=NEVER, b=0.0, c=0.0)
    assert asyncio.run(attempts.race()) == "b"
    assert (attempts.begun, attempts.cancelled, attempts.closed) == (["a", "b"], ["a"], [])


def test_a_slow_first_one_may_still_win():
    attempts = Attempts(a=HEAD_START * 2, b=NEVER)
    assert asyncio.run(attempts.race()) == "a"
    assert attempts.cancelled == ["b"]


def test_of_two_that_open_at_once_one_is_closed():
    class Together(Attempts):
        async def __call__(self, name):
            self.begun.append(name)
            if name == "b":
                self.both.set()
            await self.both.wait()
            return name

    async def race():
        attempts = Together(a=0, b=0)
        attempts.both = asyncio.Event()
        return await attempts.race(), attempts

    won, attempts = asyncio.run(race())
    assert sorted([won, *attempts.closed]) == ["a", "b"]


def test_a_failure_is_followed_at_once_and_the_last_one_is_told():
    attempts = Attempts(a=OSError("refused"), b=OSError("unreachable"))

    async def race():
        async with asyncio.timeout(HEAD_START):
            await attempts.race()

    with pytest.raises(OSError, match="unreachable"):
        asyncio.run(race())
    with pytest.raises(OSError, match="no address"):
        asyncio.run(Attempts().race())


def test_what_is_no_failure_of_a_connection_ends_all():
    refusal = EgressRefused("peer", "elsewhere")
    attempts = Attempts(a=NEVER, b=refusal, c=0.0)
    with pytest.raises(EgressRefused):
        asyncio.run(attempts.race())
    assert attempts.begun == ["a", "b"]
    assert attempts.cancelled == ["a"]


def test_a_caller_that_gives_up_leaves_nothing():
    attempts = Attempts(a=NEVER, b=NEVER)

    async def give_up():
        async with asyncio.timeout(HEAD_START * 3):
            await attempts.race()

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert attempts.cancelled == ["a", "b"]


def test_the_head_start_leaves_time_for_the_next_address():
    assert [head_start_within(seconds) for seconds in (60, 1, 0.2)] == [0.25, 0.25, 0.05]


def test_families_take_turns():
    assert _families_in_turn(["::1", "::2", "::3", "10.0.0.1"]) == ["::1", "10.0.0.1", "::2", "::3"]
    assert _families_in_turn(["10.0.0.1", "10.0.0.2", "::1"]) == ["10.0.0.1", "::1", "10.0.0.2"]


@pytest.mark.parametrize("bad", ["10.0.0.1", "169.254.169.254"])
def test_an_address_that_may_not_be_reached_is_not_tried_behind_a_silent_one(bad):
    """The check is of all addresses, before the first attempt."""
    loopback = read_networks(["127.0.0.0/8"])

    async def attack():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with silent_address(port) as silent:

                async def resolve(*_):
                    return [silent, bad, "127.0.0.1"]

                name = read_url(f"https://rebind.example:{port}", loopback)
                await connect_async(name, loopback, timeout_seconds=5, resolve=resolve)

    with pytest.raises(EgressRefused):
        asyncio.run(attack())


def test_every_address_that_is_tried_must_be_the_one_that_is_reached(monkeypatch):
    """The second attempt is checked like the first."""
    monkeypatch.setattr("socket.socket.getpeername", lambda _: ("10.0.0.1", 443))
    loopback = read_networks(["127.0.0.0/8"])

    async def attack():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with silent_address(port) as silent:

                async def resolve(*_):
                    return [silent, "127.0.0.1"]

                name = read_url(f"https://elsewhere.example:{port}", loopback)
                await connect_async(name, loopback, timeout_seconds=5, resolve=resolve)

    with pytest.raises(EgressRefused, match="reached"):
        asyncio.run(attack())


PLACE = "several.example", 443


@pytest.fixture
def answered():
    now = [0.0]
    one = Answered(clock=lambda: now[0])
    one.now = now
    return one


def test_what_answered_instead_of_a_silent_address_is_tried_first_for_ten_minutes(answered):
    answered.note(PLACE, ["a", "b", "c"], "c")
    answered.now[0] = 599
    assert answered.ordered(PLACE, ["a", "b", "c"]) == ["c", "a", "b"]
    # It answered at once, which says nothing about the others.
    answered.note(PLACE, ["c", "a", "b"], "c")
    answered.now[0] = 600
    assert answered.ordered(PLACE, ["a", "b", "c"]) == ["a", "b", "c"]


def test_an_address_that_the_name_no_longer_has_is_not_tried(answered):
    answered.note(PLACE, ["a", "b"], "b")
    assert answered.ordered(PLACE, ["a", "c"]) == ["a", "c"]
    assert answered.ordered(PLACE, []) == []


def test_where_the_first_answers_the_order_of_the_name_server_stays(answered):
    answered.note(PLACE, ["a", "b"], "a")
    assert answered.ordered(PLACE, ["b", "a"]) == ["b", "a"]


def test_what_falls_silent_itself_is_replaced_and_other_ports_are_other_places(answered):
    answered.note(PLACE, ["a", "b", "c"], "b")
    answered.note(PLACE, ["b", "a", "c"], "c")
    assert answered.ordered(PLACE, ["a", "b", "c"]) == ["c", "a", "b"]
    assert answered.ordered(("several.example", 8443), ["a", "b", "c"]) == ["a", "b", "c"]


def test_countless_names_take_no_memory(answered):
    for number in range(5000):
        answered.note((f"{number}.example", 443), ["a", "b"], "b")
    assert len(answered._known) <= 1000
