"""A stream is on record before its client has a byte of it, so that a crash in its middle loses no call."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
import time

import pytest

from gateway.proxy.segments import read_segment
from gateway.proxy.spool import Spool
from tests.gateway.proxy_fixtures import ask, wait_until
from tests.gateway.test_proxy_spool import event, in_spool, spooled_ids


def cut_off(**changes):
    return event(status="cancelled", is_exact=False, is_stream=True, usage={"input": 3}, **changes)


def crashed(directory, work):
    """Run `work(spool)`, and keep the folder as a crash at its end would leave it. Returns that folder."""
    kept = directory.parent / f"{directory.name}-crashed-{time.monotonic_ns()}"

    async def live():
        spool = Spool(directory)
        spool.start()
        result = await work(spool)
        shutil.copytree(directory, kept)
        await asyncio.to_thread(spool.close)
        return result

    asyncio.run(live())
    return kept


async def settled(spool):
    """What the next process makes of what it finds."""
    await asyncio.sleep(0)
    await spool.checkpoint()
    return {one.call_id: one for path in list(spool._closed) for one in read_segment(path).events}


def nothing():
    return {"input": 3}


def test_a_hundred_half_delivered_streams_are_all_on_record_after_a_kill(new_rig):
    rig = new_rig("--token-ms", "100")
    secret = rig.new_key()
    client = rig.client(secret)
    streams = []

    def begin():
        stream = ask(client, stream=True, max_tokens=200)
        next(stream)
        streams.append(stream)

    callers = [threading.Thread(target=begin) for _ in range(100)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    finished = ask(client, stream=True, max_tokens=2)
    list(finished)
    assert len(streams) == 100
    time.sleep(1.5)
    rig.gateway.process.kill()
    rig.gateway.start()
    events = rig.events(secret, 101)
    cancelled = [one for one in events if one.status == "cancelled"]
    assert len(cancelled) == 100
    assert {one.call_id for one in cancelled} == {
        stream.response.headers["x-request-id"] for stream in streams
    }
    assert all(not one.is_exact and one.is_stream and one.usage.get("input", 0) > 0 for one in cancelled)
    # As far as they were told, not only begun.
    assert sum(one.usage.get("output", 0) for one in cancelled) > 300
    assert len({one.call_id for one in rig.control.deliveries}) == len(rig.control.deliveries)
    rig.gateway.process.kill()
    rig.gateway.start()
    time.sleep(1)
    assert len(rig.control.events) == 101


def test_a_beginning_without_an_end_becomes_a_cancelled_call(tmp_path):
    one, two = cut_off(), cut_off()

    async def work(spool):
        await spool.begin(one, nothing)
        await spool.begin(two, nothing)
        await spool.append(event(call_id=two.call_id))

    assert in_spool(crashed(tmp_path / "spool", work), settled) == {
        one.call_id: one,
        two.call_id: event(call_id=two.call_id),
    }


def test_a_beginning_that_was_taken_back_becomes_nothing(tmp_path):
    async def work(spool):
        await spool.begin(cut_off(call_id="x"), nothing)
        spool.forget("x")
        await spool.checkpoint()

    assert in_spool(crashed(tmp_path / "spool", work), settled) == {}


def test_a_beginning_outlives_its_segment(tmp_path):
    long = cut_off()

    async def work(spool):
        await spool.begin(long, nothing)
        for _ in range(3):
            await spool.append(event())
            await spool.checkpoint()
            path = spool.oldest()
            await spool.leave(path)
            spool.confirm(path, 1)

    assert in_spool(crashed(tmp_path / "spool", work), settled) == {long.call_id: long}


def test_an_end_in_a_deleted_segment_is_not_forgotten(tmp_path):
    """Whatever of a beginning is still on disk, its end was confirmed: it is never sent again."""
    done = cut_off()

    async def work(spool):
        await spool.begin(done, nothing)
        await spool.append(event())
        await spool.checkpoint()
        first = spool.oldest()
        ending = asyncio.ensure_future(spool.append(event(call_id=done.call_id)))
        await spool.leave(first)
        spool.confirm(first, 1)
        await ending
        await spool.checkpoint()
        second = spool.oldest()
        await spool.leave(second)
        spool.confirm(second, 1)

    assert in_spool(crashed(tmp_path / "spool", work), settled) == {}


def test_what_a_stream_delivered_is_written_down_as_it_goes_on(tmp_path):
    one = cut_off()
    said = [{"input": 3, "output": 1}]

    async def work(spool):
        await spool.begin(one, lambda: said[0])
        said[0] = {"input": 3, "output": 70}
        await asyncio.sleep(2.5)

    found = in_spool(crashed(tmp_path / "spool", work), settled)
    assert found[one.call_id].usage.get("output", 0) == 70


def test_beginnings_are_settled_once_however_often_the_process_dies(tmp_path):
    one = cut_off()

    async def work(spool):
        await spool.begin(one, nothing)

    async def die_again(spool):
        await spool.checkpoint()
        return sorted(spooled_ids(spool._directory))

    folder = crashed(tmp_path / "spool", work)
    for _ in range(3):
        folder = crashed(folder, die_again)
    assert sorted(spooled_ids(folder)) == [one.call_id]


def test_more_open_streams_than_fit_a_batch_do_not_keep_the_uploader_busy(tmp_path):
    async def work(spool):
        await asyncio.gather(*(spool.begin(cut_off(), nothing) for _ in range(2500)))
        await spool.append(event())
        await spool.checkpoint()
        rounds = 0
        while (path := spool.oldest()) is not None and rounds < 20:
            rounds += 1
            await spool.leave(path)
            spool.confirm(path, len(read_segment(path).events))
        return rounds

    assert in_spool(tmp_path, work) <= 4


def test_a_stray_file_a_folder_and_an_empty_segment_do_not_keep_the_gateway_from_starting(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    ask(rig.client(secret))
    rig.gateway.process.terminate()
    spool = rig.gateway.state / "spool"
    (spool / "abc.spool").write_bytes(b"what is this?\n")
    (spool / "000000000900.spool").mkdir()
    (spool / "000000000901.spool").write_bytes(b"")
    (spool / "000000000902.spool").write_bytes(b"0123")
    (spool / "000000000903.spool").symlink_to("/etc/passwd")
    (spool / "000000000904.spool").write_bytes(b"\x00\xff" * 500 + b"\n")
    rig.gateway.start()
    assert ask(rig.client(secret))
    aside = {path.name for path in (rig.gateway.state / "aside").iterdir()}
    assert aside == {"abc.spool", "000000000900.spool", "000000000903.spool"}
    assert "spool_problem" in rig.gateway.process.output()
    assert "Traceback" not in rig.gateway.process.output()
    wait_until(
        lambda: any("abc.spool is not a segment" in ack.problem for ack in rig.control.acks), 15, "the ack"
    )
    wait_until(lambda: not rig.gateway.spooled(), what="the empty spool")
    assert len(rig.events(secret, 2)) == 2


def test_a_spool_that_is_no_folder_makes_the_gateway_unready_until_it_is_one(new_rig):
    rig = new_rig()
    secret = rig.new_key()
    rig.gateway.process.terminate()
    spool = rig.gateway.state / "spool"
    shutil.rmtree(spool)
    spool.write_bytes(b"")
    rig.gateway.start(until_ready=False)
    assert rig.gateway.status("/readyz") == 503
    spool.unlink()
    wait_until(lambda: rig.gateway.status("/readyz") == 200, what="the recovery")
    assert ask(rig.client(secret))
    rig.events(secret, 1)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(directory):
    """Take all room that is left."""
    argument = directory / "argument"
    with argument.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(64 * 1024)):
            pass
    assert os.statvfs(directory).f_bavail == 0
    return argument


def test_a_full_disk_is_seen_before_a_call_fails_and_usage_in_progress_still_gets_on_it(new_rig, small_disk):
    rig = new_rig("--token-ms", "50", GATEWAY_STATE_DIR=str(small_disk / "gateway"))
    secret = rig.new_key()
    stream = ask(rig.client(secret), stream=True, max_tokens=60)
    next(stream)
    argument = fill(small_disk)
    wait_until(lambda: rig.gateway.status("/readyz") == 503, what="seeing that the disk is full")
    # Whose end is written into the reserve.
    list(stream)
    (done,) = rig.events(secret, 1)
    assert done.status == "ok"
    assert rig.gateway.status("/readyz") == 503
    # A snapshot that has no room.
    rig.publish()
    wait_until(lambda: any("space" in ack.problem for ack in rig.control.acks), what="the complaint")
    assert not list((small_disk / "gateway").glob("*.new"))
    argument.unlink()
    wait_until(lambda: rig.gateway.status("/readyz") == 200, what="the recovery")
    assert ask(rig.client(secret))


def test_the_reserve_is_given_up_for_what_is_in_progress(tmp_path, monkeypatch):
    real, is_full = os.pwrite, [False]

    def write(descriptor, data, at):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if is_full[0] and (tmp_path / "reserve").exists() and name.endswith(".spool"):
            raise OSError(28, "No space left on device")
        return real(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", write)

    async def work(spool):
        await spool.append(event())
        assert (tmp_path / "reserve").stat().st_size >= 4 * 1024 * 1024
        is_full[0] = True
        await spool.append(event())
        is_full[0] = False
        assert not spool.is_writable
        await asyncio.to_thread(wait_until, lambda: spool.is_writable, 5)
        assert (tmp_path / "reserve").exists()

    in_spool(tmp_path, work)
    assert len(spooled_ids(tmp_path)) == 2
