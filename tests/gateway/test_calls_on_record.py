"""A call goes on record before its answer ends; meanwhile its limits are settled."""

import asyncio
from types import SimpleNamespace

import pytest

from gateway.proxy.calls import Call
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


@pytest.mark.parametrize("is_written", [True, False])
def test_a_failed_write_is_told_even_if_settling_fails(is_written):
    async def scenario(call):
        assert not await call.has_ended()
        call.counted.set_exception(ZeroDivisionError())
        assert not await call.has_ended(), "it waits for the disk"
        call.on_disk.set_result(None) if is_written else call.on_disk.set_exception(SpoolError("full"))
        with pytest.raises(ZeroDivisionError if is_written else SpoolError):
            await call.ending

    run(scenario)


def test_a_failed_write_of_a_cancelled_call_is_no_exception_that_nobody_retrieved():
    async def scenario(call):
        assert not await call.has_ended()
        call.ending.cancel()
        assert await call.has_ended()
        assert call.ending.cancelled()
        call.on_disk.set_exception(SpoolError("full"))
        await asyncio.sleep(0)
        assert not call.on_disk._log_traceback

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


class Faulty(Call):
    """A call at which the gateway itself fails, after its backend has said something."""

    __slots__ = ("written",)

    def __init__(self, stream):
        self.written = []
        loop = asyncio.get_running_loop()
        on_disk = loop.create_future()
        on_disk.set_result(None)

        async def settle(reservation, tokens, nano):
            reservation.is_settled = True

        def append(event):
            self.written.append(event)
            return on_disk

        self._attempts = SimpleNamespace(reached="backend", quota=None)
        self._beginning, self._share = loop.create_future(), SimpleNamespace(size=0)
        self._facts = SimpleNamespace(
            started=0.0, first_token=None, event=lambda *said, **more: (*said, more)
        )
        self._is_finished, self._parsed = False, SimpleNamespace(model="m")
        self._price = self._route = self._so_far = self._tier = None
        self._request = SimpleNamespace(id="call", is_recorded=False, status=200)
        self._reservation = SimpleNamespace(is_settled=False, headers={})
        self._state = SimpleNamespace(
            call_began=lambda: None,
            call_ended=lambda: None,
            limiter=SimpleNamespace(settle=settle),
            metrics=SimpleNamespace(count_finished=lambda *_: 7),
            spool=SimpleNamespace(append=append, forget=lambda call_id: self.written.append("forgotten")),
        )
        self._stream, self._watch = stream, Watched()

    async def _admit(self):
        pass

    async def _serve(self):
        raise ZeroDivisionError


class Watched:
    is_client_gone, stopped = False, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize("can_count", [True, False])
def test_a_fault_of_the_gateway_itself_puts_the_call_on_record(can_count):
    def counted(*_, is_failed):
        return ({"output": 7}, True) if can_count else 1 // 0

    async def live():
        call = Faulty(SimpleNamespace(counted=counted, service_tier=None))
        with pytest.raises(ZeroDivisionError):
            await call.run()
        [(status, http_status, usage, backend, more)] = call.written
        assert (status, http_status, backend, more["is_exact"]) == ("error", 200, "backend", False)
        assert usage == ({"output": 7} if can_count else {})
        assert call._reservation.is_settled

    asyncio.run(live())
