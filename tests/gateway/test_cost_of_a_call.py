"""What makes a call cheap: it leaves no garbage, and shares its writes with others."""

import asyncio
import gc
import json
import os
import select
import time
import weakref

import pytest

from gateway.proxy import ids, logs, spool
from gateway.proxy.watch import Watch
from tests.gateway.test_proxy_spool import event


class _Request:
    is_gone = False

    def watch(self, on_gone):
        self.on_gone = on_gone


class _Call:
    """Has a watch that asks it, as a real call."""

    def __init__(self):
        self.watch = Watch(_Request(), set(), self.lacks_only_usage)

    def lacks_only_usage(self):
        return False

    async def work(self):
        pass


def test_a_call_that_is_over_is_freed_at_once():
    async def run():
        call = _Call()
        await call.watch.run(call.work)
        return weakref.ref(call)

    gc.disable()
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


def test_calls_that_end_together_wake_the_writer_once(tmp_path, monkeypatch):
    taken = []
    take = spool.Spool._take_jobs

    def noted(self):
        jobs, is_ending = take(self)
        taken.append(len(jobs))
        return jobs, is_ending

    monkeypatch.setattr(spool.Spool, "_take_jobs", noted)

    async def run():
        one = spool.Spool(tmp_path / "spool")
        one.start()
        await asyncio.gather(*(one.append(event()) for _ in range(20)))
        await asyncio.gather(*(one.append(event()) for _ in range(10)))
        assert one.pending == 30
        await asyncio.to_thread(one.close)

    asyncio.run(run())
    assert [number for number in taken if number] == [20, 10]


def test_records_that_come_while_the_disk_works_share_the_next_write(tmp_path, monkeypatch):
    sizes = []
    write = spool.Spool._write

    def slowly(self, written):
        sizes.append(len(written))
        time.sleep(0.1)
        return write(self, written)

    monkeypatch.setattr(spool.Spool, "_write", slowly)

    async def run():
        one = spool.Spool(tmp_path / "spool")
        one.start()
        records = []
        for number in range(6):
            records.append(asyncio.create_task(one.append(event())))
            await asyncio.sleep(0.02 if number == 0 else 0.005)
        await asyncio.gather(*records)
        await asyncio.to_thread(one.close)

    asyncio.run(run())
    assert sizes == [1, 5]


def test_what_waits_is_written_when_the_spool_is_closed(tmp_path):
    async def run():
        one = spool.Spool(tmp_path / "spool")
        one.start()
        waiting = [asyncio.create_task(one.append(event())) for _ in range(5)]
        await asyncio.sleep(0)
        one.close()
        await asyncio.gather(*waiting)

    asyncio.run(run())
    (path,) = (tmp_path / "spool").glob("*.spool")
    assert len(spool.read_segment(path).events) == 5


@pytest.fixture
def writes(monkeypatch):
    """Every write to standard output."""
    written = []
    monkeypatch.setattr(logs, "_write", written.append)
    return written


@pytest.fixture
def lines(monkeypatch, writes):
    lines = logs._Lines()
    lines.configure("info", "gw", 0)
    monkeypatch.setattr(logs, "lines", lines)
    return lines


def test_lines_about_calls_are_written_together_and_soon(lines, writes):
    async def run():
        for number in range(3):
            lines.add(json.dumps({"call": number}).encode())
        assert writes == []
        await asyncio.sleep(0.2)

    asyncio.run(run())
    (text,) = writes
    assert [json.loads(line)["call"] for line in text.splitlines()] == [0, 1, 2]


def test_no_write_is_longer_than_a_pipe_keeps_whole(lines, writes):
    async def run():
        for number in range(40):
            lines.add(json.dumps({"call": number, "trace": "x" * (number * 100)}).encode())
        lines.flush()

    asyncio.run(run())
    assert all(len(text) <= select.PIPE_BUF or text.count(b"\n") == 1 for text in writes)
    shown = [json.loads(line)["call"] for line in b"".join(writes).splitlines()]
    assert shown == list(range(40))
    assert len(writes) < 40


def test_another_line_comes_after_those_that_wait(lines, writes):
    async def run():
        lines.add(b'{"event":"call_answered"}')
        logs._Output().msg(b'{"event":"gateway_ended"}')

    asyncio.run(run())
    assert [json.loads(text)["event"] for text in writes] == ["call_answered", "gateway_ended"]


def test_ids_of_calls_differ_beyond_one_draw_of_randomness(monkeypatch):
    draws = []
    draw = os.urandom
    monkeypatch.setattr(ids.os, "urandom", lambda size: draws.append(size) or draw(size))
    made = {ids.new_call_id() for _ in range(2000)}
    assert len(made) == 2000
    assert len({one[15:] for one in made}) == 2000
    assert 1 < len(draws) < 20
