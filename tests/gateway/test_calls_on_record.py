"""A call goes on record before its answer ends; meanwhile its limits are settled."""

import asyncio
from types import SimpleNamespace

import pytest

from gateway.proxy.recorded_calls import RecordedCall
from gateway.proxy.spool_jobs import SpoolError


class Ended:
    """A call that ends, with a disk and limits that take as long as the test wants."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.on_disk, self.counted = loop.create_future(), loop.create_future()
        self.appended, self.settled = [], []
        call = RecordedCall()
        call._attempts = SimpleNamespace(reached=None, quota=None)
        call._facts = SimpleNamespace(started=0.0, first_token=None, event=lambda *_, **__: "event")
        call._parsed = SimpleNamespace(model="m")
        call._price = call._stream = call._tier = None
        call._request, call._reservation = SimpleNamespace(is_recorded=False), "reservation"
        call._state = SimpleNamespace(
            metrics=SimpleNamespace(count_finished=lambda *_: 7),
            spool=SimpleNamespace(append=self._append),
            limiter=SimpleNamespace(settle=self._settle),
        )
        self.ending = asyncio.create_task(call._finish("ok", 200, {"input": 7}, is_exact=True))

    def _append(self, event):
        self.appended.append(event)
        return self.on_disk

    async def _settle(self, reservation, tokens, nano):
        self.settled.append((reservation, tokens))
        await self.counted

    async def has_ended(self):
        for _ in range(5):
            await asyncio.sleep(0)
        return self.ending.done()


def run(scenario):
    async def live():
        await scenario(Ended())

    asyncio.run(live())


@pytest.mark.parametrize("first", ["on_disk", "counted"])
def test_it_ends_once_it_is_on_disk_and_its_limits_are_settled_whichever_comes_first(first):
    async def scenario(call):
        assert not await call.has_ended()
        assert (call.appended, call.settled) == (["event"], [("reservation", 7)])
        getattr(call, first).set_result(None)
        assert not await call.has_ended()
        (call.counted if first == "on_disk" else call.on_disk).set_result(None)
        assert await call.has_ended()

    run(scenario)


def test_what_cannot_be_recorded_is_settled_all_the_same_and_has_no_answer():
    async def scenario(call):
        call.on_disk.set_exception(SpoolError("full"))
        assert not await call.has_ended()
        call.counted.set_result(None)
        with pytest.raises(SpoolError):
            await call.ending
        assert call.settled

    run(scenario)


def test_a_call_that_is_cancelled_meanwhile_is_recorded():
    async def scenario(call):
        assert not await call.has_ended()
        call.ending.cancel()
        assert await call.has_ended()
        assert call.ending.cancelled()
        assert call.appended
        assert not call.on_disk.cancelled(), "the write goes on"

    run(scenario)
