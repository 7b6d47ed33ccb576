"""Each client has its own time to send a request; one timer watches over all of them."""

import asyncio

from gateway.proxy.http.idle import IdleConnections


class Connection:
    def __init__(self, idle, loop):
        self._idle, self._loop = idle, loop
        self.ended_at = None
        self.began()

    def began(self):
        self._at = self._loop.time()
        self._idle.add(self, self._loop)

    def abort(self):
        self.ended_at = self._loop.time()
        self.waited = self.ended_at - self._at
        # As a connection that is lost.
        self._idle.pop(self, None)

    close = abort


def test_each_waits_for_its_own_time_and_a_busy_one_for_none():
    async def live():
        loop = asyncio.get_running_loop()
        idle = IdleConnections(0.3)
        first, second = Connection(idle, loop), Connection(idle, loop)
        await asyncio.sleep(0.1)
        busy, third = Connection(idle, loop), Connection(idle, loop)
        idle.pop(busy)
        # It has had a request meanwhile.
        idle.pop(first)
        first.began()
        while second.ended_at is None or third.ended_at is None or first.ended_at is None:
            await asyncio.sleep(0.01)
        assert min(one.waited for one in (first, second, third)) >= 0.3
        assert second.ended_at < first.ended_at
        assert busy.ended_at is None
        assert not idle
        # And again, after all of them.
        last = Connection(idle, loop)
        while last.ended_at is None:
            await asyncio.sleep(0.01)
        assert last.waited >= 0.3

    async def bounded():
        async with asyncio.timeout(20):
            await live()

    asyncio.run(bounded())


def test_many_that_end_one_by_one_cost_no_more_than_their_number():
    class Counting(IdleConnections):
        looked = 0

        def items(self):
            for one in super().items():
                Counting.looked += 1
                yield one

    async def live():
        loop = asyncio.get_running_loop()
        idle = Counting(0.05)
        ended = []
        for _ in range(100):
            for _ in range(20):
                one = Connection(idle, loop)
                ended.append(one)
            await asyncio.sleep(0.001)
        while idle:
            await asyncio.sleep(0.01)
        assert all(one.ended_at for one in ended)
        # Each is looked at when it ends, and the next one each time.
        assert Counting.looked <= 2 * len(ended)

    asyncio.run(live())
