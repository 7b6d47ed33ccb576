"""Records that the event loop writes and the kernel syncs: the same promises, and every error is the writer's."""

import asyncio
import os
import select
import threading
import time

import pytest

from gateway.proxy import direct_writes, spool
from gateway.proxy.direct_writes import DirectWrites
from gateway.proxy.kernel_sync import KernelSync, kernel_sync
from gateway.proxy.spool import Spool
from gateway.proxy.spool_jobs import Job
from tests.gateway.test_proxy_spool import event, in_spool, spooled_ids


@pytest.fixture(autouse=True)
def kernel(tmp_path_factory):
    """The kernel syncs files itself. Containers may forbid it; then the writer thread gets everything."""
    sync = kernel_sync()
    if sync is None:
        pytest.skip("io_setup is not allowed here, so the kernel syncs nothing by itself")
    try:
        with (tmp_path_factory.mktemp("kernel") / "x").open("wb") as file:
            sync.begin(file.fileno())
    except OSError as error:
        pytest.skip(f"io_submit is not allowed here: {error.strerror}")
    finally:
        sync.close()


@pytest.fixture(autouse=True)
def patiently(monkeypatch):
    """No write is slow only because the machine is busy, and the writer does nothing by itself."""
    monkeypatch.setattr(direct_writes, "_SLOW_SECONDS", 60.0)
    monkeypatch.setattr(spool, "_TICK_SECONDS", 60.0)


@pytest.fixture
def groups(monkeypatch):
    """The groups that the writer thread gets, by their sizes."""
    taken = []
    take = Spool._take_jobs

    def noted(self):
        jobs, is_ending = take(self)
        if jobs:
            taken.append(len(jobs))
        return jobs, is_ending

    monkeypatch.setattr(Spool, "_take_jobs", noted)
    return taken


def appended(directory, count, *, before_last=lambda: None):
    """Append events one by one. Returns their ids."""
    events = [event() for _ in range(count)]

    async def work(spool):
        for one in events[:-1]:
            await spool.append(one)
        before_last()
        await spool.append(events[-1])
        assert spool.pending == count

    in_spool(directory, work)
    return [one.call_id for one in events]


def test_only_what_needs_space_from_the_disk_wakes_the_writer(tmp_path, groups):
    assert kernel_sync() is not None
    assert appended(tmp_path, 100) == spooled_ids(tmp_path)
    assert 1 <= sum(groups) <= 5


def test_without_the_kernel_the_writer_gets_everything(tmp_path, groups, monkeypatch):
    monkeypatch.setattr(spool, "kernel_sync", lambda: None)
    assert appended(tmp_path, 20) == spooled_ids(tmp_path)
    assert sum(groups) == 20


def failing_sync(monkeypatch):
    finish = KernelSync.finish

    def failed(self):
        finish(self)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(KernelSync, "finish", failed)


def failing_request(monkeypatch):
    def failed(self, file):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(KernelSync, "begin", failed)


def half_write(monkeypatch):
    loop, write = threading.main_thread(), os.pwrite

    def written(descriptor, data, at):
        is_direct = threading.current_thread() is loop
        return write(descriptor, data[:100] if is_direct else data, at)

    monkeypatch.setattr(os, "pwrite", written)


@pytest.mark.parametrize("goes_wrong", [failing_sync, failing_request, half_write])
def test_whatever_goes_wrong_the_writer_writes_the_record_again_in_its_place(
    tmp_path, groups, monkeypatch, goes_wrong
):
    ids = appended(tmp_path, 4, before_last=lambda: goes_wrong(monkeypatch))
    assert spooled_ids(tmp_path) == ids
    (path,) = tmp_path.glob("*.spool")
    assert path.read_bytes().count(b"\n") == 4
    assert groups == [1, 1], "the first, which made the file, and the last"


def test_after_an_error_or_a_slow_write_the_writer_writes_for_a_while(tmp_path, groups, monkeypatch):
    monkeypatch.setattr(direct_writes, "_SLOW_SECONDS", -1.0)
    ids = appended(tmp_path, 10)
    assert spooled_ids(tmp_path) == ids
    assert sum(groups) == 9, "all but the one that was slow"


def test_what_the_kernel_still_syncs_at_the_end_is_the_writers(tmp_path, monkeypatch):
    async def run():
        one, last = Spool(tmp_path), event()
        one.start()
        await one.append(event())
        monkeypatch.setattr(KernelSync, "begin", lambda self, file: None)
        waiting = one.append(last)
        await asyncio.sleep(0.05)
        assert not waiting.done(), "the kernel has not said that it is on disk"
        one.close()
        await waiting
        return last.call_id

    last = asyncio.run(run())
    assert spooled_ids(tmp_path)[1:] == [last]


def test_what_the_kernel_cannot_sync_at_the_very_end_is_written_too(tmp_path, monkeypatch):
    pause, closing = DirectWrites._pause, []

    async def run():
        one, last = Spool(tmp_path), event()

        def ends_meanwhile(self, error):
            pause(self, error)
            closing.append(threading.Thread(target=one.close))
            closing[0].start()
            # Until the writer has taken its last order, and waits for its turn.
            while one.groups.directly is not None or not one._jobs.empty():
                time.sleep(0.01)
            time.sleep(0.1)

        monkeypatch.setattr(DirectWrites, "_pause", ends_meanwhile)
        one.start()
        await one.append(event())
        failing_sync(monkeypatch)
        async with asyncio.timeout(30):
            await one.append(last)
        await asyncio.to_thread(closing[0].join)
        return last.call_id

    last = asyncio.run(run())
    assert spooled_ids(tmp_path)[1:] == [last]


def test_nothing_is_written_into_a_segment_that_the_ending_writer_closes(tmp_path, monkeypatch):
    at_its_end, tried = threading.Event(), threading.Event()
    close = Spool._checkpoint_current

    def slowly(self):
        at_its_end.set()
        tried.wait(30)
        close(self)

    async def run():
        one = Spool(tmp_path)
        one.start()
        await one.append(event())
        monkeypatch.setattr(Spool, "_checkpoint_current", slowly)
        closing = asyncio.create_task(asyncio.to_thread(one.close))
        await asyncio.to_thread(at_its_end.wait, 30)
        # A step of the loop that had begun before the end.
        is_begun = one._write_directly([Job(None, b"too late\n")])
        tried.set()
        await closing
        return is_begun

    assert not asyncio.run(run())


def test_streams_are_noted_by_whoever_wrote_them(tmp_path, groups):
    async def work(spool):
        await spool.append(event())
        await spool.begin(event(call_id="x", status="cancelled"), lambda: {"input": 3})
        begun = spool._begun["x"]
        await spool.append(event(call_id="x"))
        return begun.path, dict(spool._begun)

    path, left = in_spool(tmp_path, work)
    assert ([path], left) == (list(tmp_path.glob("*.spool")), {})
    assert groups == [1]


def test_a_descriptor_that_cannot_be_synced_is_an_error(tmp_path):
    sync = KernelSync()
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        sync.begin(writing)
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync.begin(writing)
    with (tmp_path / "x").open("wb", buffering=0) as file:
        file.write(b"x")
        with pytest.raises(BlockingIOError):
            sync.finish()
        sync.begin(file.fileno())
        assert select.select([sync.descriptor], [], [], 30)[0]
        sync.finish()
    sync.close()
