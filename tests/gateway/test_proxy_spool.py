"""The spool: on disk before it counts, whole or not at all, and never lost."""

import asyncio
import os
import subprocess
import sys

import pytest

from gateway.contract import UsageEventReport
from gateway.proxy import spool as spool_module
from gateway.proxy.ids import new_call_id, rfc3339
from gateway.proxy.spool import Spool, SpoolError, read_segment
from tests.gateway.proxy_fixtures import REPOSITORY, wait_until


@pytest.fixture(autouse=True, params=["kernel", "writer"])
def synced_by(request, monkeypatch):
    """Each test runs with syncs of the kernel, and then on a system that has none."""
    if request.param == "writer":
        monkeypatch.setattr(spool_module, "kernel_sync", lambda: None)
    return request.param


def event(**changes):
    fields = {
        "call_id": new_call_id(),
        "occurred_at": rfc3339(1_750_000_000.5),
        "key_id": "key",
        "model": "model",
        "status": "ok",
        "http_status": 200,
        "is_exact": True,
        "usage": {"input": 3, "output": 4},
        "latency_ms": 5,
        "first_token_ms": None,
        "is_stream": False,
        "target_id": "b",
        "config_revision": 1,
        "trace_id": None,
        "request_id": "r",
    }
    return UsageEventReport(**{**fields, **changes})


def in_spool(directory, work):
    """Run `work(spool)` with a started spool, and close it."""

    async def run():
        spool = Spool(directory)
        spool.start()
        try:
            return await work(spool)
        finally:
            await asyncio.to_thread(spool.close)

    return asyncio.run(run())


def spooled_ids(directory):
    return [one.call_id for path in sorted(directory.glob("*.spool")) for one in read_segment(path).events]


def test_what_was_appended_is_on_disk_at_once(tmp_path):
    one = event()

    async def append(spool):
        await spool.append(one)
        return [found for path in tmp_path.glob("*.spool") for found in read_segment(path).events]

    assert in_spool(tmp_path, append) == [one]


def test_nothing_is_acknowledged_before_it_is_synced(tmp_path, synced_by):
    """Seen from outside: strace-free, by letting the sync itself say in which order things happened."""
    program = f"""
import asyncio, os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
order = []
def watched(sync):
    def note(descriptor):
        sync(descriptor)
        is_file = os.readlink(f"/proc/self/fd/{{descriptor}}").endswith(".spool")
        order.append("synced" if is_file else "directory")
    return note
os.fsync, os.fdatasync = watched(os.fsync), watched(os.fdatasync)
from gateway.proxy import kernel_sync, spool
finish = kernel_sync.KernelSync.finish
def finished(self):
    finish(self)
    order.append("synced")
kernel_sync.KernelSync.finish = finished
if {synced_by!r} == "writer":
    spool.kernel_sync = lambda: None
from tests.gateway.test_proxy_spool import event, in_spool
async def append(spool):
    for _ in range(3):
        await spool.append(event())
        order.append("acknowledged")
in_spool(Path({str(tmp_path)!r}), append)
print(" ".join(order))
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == ["directory", *["synced", "acknowledged"] * 3]


def test_many_at_once_share_a_few_fsyncs_and_keep_their_order(tmp_path):
    events = [event() for _ in range(2500)]

    async def append_all(spool):
        await asyncio.gather(*(spool.append(one) for one in events))
        assert spool.pending == 2500

    in_spool(tmp_path, append_all)
    assert spooled_ids(tmp_path) == [one.call_id for one in events]
    assert all(len(read_segment(path).events) <= 2000 for path in tmp_path.glob("*.spool"))


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_tail_is_dropped_and_reported(tmp_path, cut):
    events = [event() for _ in range(3)]

    async def append_all(spool):
        for one in events:
            await spool.append(one)

    in_spool(tmp_path, append_all)
    (path,) = tmp_path.glob("*.spool")
    os.truncate(path, path.stat().st_size - cut)

    async def look(spool):
        return spool.pending, spool.torn

    assert in_spool(tmp_path, look) == (2, 1)
    assert spooled_ids(tmp_path) == [one.call_id for one in events[:2]]


def test_most_records_need_no_new_space_from_the_disk(tmp_path):
    sizes = []

    async def append_all(spool):
        for _ in range(200):
            await spool.append(event())
            (path,) = tmp_path.glob("*.spool")
            sizes.append(path.stat().st_size)

    in_spool(tmp_path, append_all)
    assert len(set(sizes)) <= 5
    (path,) = tmp_path.glob("*.spool")
    assert path.read_bytes().endswith(b"}\n")
    assert len(spooled_ids(tmp_path)) == 200


@pytest.mark.parametrize("cut", [0, 1, 20, 200])
def test_space_that_a_crash_left_unused_is_no_record(tmp_path, cut):
    """As after the kill of a process: its segment was not closed, and the last record may be incomplete."""
    events = [event() for _ in range(3)]

    async def append_all(spool):
        for one in events:
            await spool.append(one)
        (path,) = tmp_path.glob("*.spool")
        return path.read_bytes()

    left = in_spool(tmp_path, append_all)
    size = len(left.rstrip(b"\0"))
    assert len(left) > size
    (path,) = tmp_path.glob("*.spool")
    path.write_bytes(left[: size - cut] + bytes(len(left) - size + cut))
    segment = read_segment(path)
    assert segment.events == (events[:2] if cut else events)
    assert (segment.is_torn, segment.corrupt) == (cut > 0, [])


def test_a_disk_with_room_for_a_record_only_takes_it(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: real(descriptor, data[:300], at))
    events = [event() for _ in range(5)]

    async def append_all(spool):
        for one in events:
            await spool.append(one)
        (path,) = tmp_path.glob("*.spool")
        return path.stat().st_size

    assert in_spool(tmp_path, append_all) < 5 * 600
    assert spooled_ids(tmp_path) == [one.call_id for one in events]


def test_what_a_failed_write_left_is_removed(tmp_path, monkeypatch):
    real, fails = os.fdatasync, [False]

    def sync(descriptor):
        if fails[0]:
            fails[0] = False
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(spool_module, "kernel_sync", lambda: None)
    events = [event() for _ in range(3)]

    async def work(spool):
        await spool.append(events[0])
        fails[0] = True
        with pytest.raises(SpoolError, match="Input/output error"):
            await spool.append(events[1])
        (path,) = tmp_path.glob("*.spool")
        assert [one.call_id for one in read_segment(path).events] == [events[0].call_id]
        assert path.read_bytes().endswith(b"\n")
        await spool.append(events[2])

    in_spool(tmp_path, work)
    assert spooled_ids(tmp_path) == [one.call_id for one in events]


def test_a_record_with_a_wrong_checksum_spoils_only_itself(tmp_path):
    events = [event(model="a" * 8), event(model="b" * 8), event(model="c" * 8)]

    async def append_all(spool):
        for one in events:
            await spool.append(one)

    in_spool(tmp_path, append_all)
    (path,) = tmp_path.glob("*.spool")
    path.write_bytes(path.read_bytes().replace(b"bbbbbbbb", b"bbbbXbbb"))
    segment = read_segment(path)
    assert [one.model[0] for one in segment.events] == ["a", "c"]
    assert len(segment.corrupt) == 1
    assert not segment.is_torn


def test_a_segment_goes_only_when_it_is_confirmed(tmp_path):
    async def live(spool):
        await spool.append(event())
        assert spool.oldest() is None
        await spool.checkpoint()
        path = spool.oldest()
        assert path.exists()
        await spool.append(event())
        spool.confirm(path, 1)
        assert not path.exists()
        assert spool.pending == 1

    in_spool(tmp_path, live)
    assert len(spooled_ids(tmp_path)) == 1


def test_a_new_process_goes_on_behind_what_it_finds(tmp_path):
    async def append(spool):
        await spool.append(event())
        return spool.pending

    assert [in_spool(tmp_path, append) for _ in range(3)] == [1, 2, 3]
    assert len(list(tmp_path.glob("*.spool"))) == 3


def test_a_cancelled_caller_leaves_its_event_on_disk(tmp_path):
    async def cancel(spool):
        appending = spool.append(event())
        await asyncio.sleep(0)
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
        assert appending.cancelled()

    in_spool(tmp_path, cancel)
    assert len(spooled_ids(tmp_path)) == 1


def test_a_spool_that_cannot_be_written_says_so_and_recovers(tmp_path):
    directory = tmp_path / "spool"
    lost = event()

    async def live(spool):
        await spool.append(event())
        await spool.checkpoint()
        directory.rename(tmp_path / "elsewhere")
        with pytest.raises(SpoolError, match="cannot be recorded"):
            await spool.append(lost)
        assert not spool.is_writable
        (tmp_path / "elsewhere").rename(directory)
        await asyncio.to_thread(wait_until, lambda: spool.is_writable)
        assert spool.pending == 2

    in_spool(directory, live)
    assert spooled_ids(directory)[-1] == lost.call_id


@pytest.mark.parametrize(
    "stray", ["999999999999.spool", "٠٠٠٠٠٠٠٠٠٠٠٩.spool", "9000000000000.spool", "-00000000001.spool"]
)
def test_what_is_written_beside_a_stray_file_is_found_at_the_next_start(tmp_path, stray):
    directory = tmp_path / "spool"
    directory.mkdir()
    (directory / stray).write_bytes(b"nothing of ours")
    one, two = event(), event()

    async def append(one, spool):
        await spool.append(one)
        return spool.problem, spool.pending

    problem, _ = in_spool(directory, lambda spool: append(one, spool))
    assert stray in problem
    problem, pending = in_spool(directory, lambda spool: append(two, spool))
    assert (problem, pending) == ("", 2)
    assert spooled_ids(directory) == [one.call_id, two.call_id]


def test_a_segment_that_somebody_put_there_meanwhile_refuses_no_call(tmp_path):
    one, two = event(), event()

    async def append(spool):
        await spool.append(one)
        await spool.checkpoint()
        for number in (2, 3):
            (tmp_path / f"{number:012d}.spool").write_bytes(b"")
        await spool.append(two)

    in_spool(tmp_path, append)
    assert spooled_ids(tmp_path) == [one.call_id, two.call_id]
