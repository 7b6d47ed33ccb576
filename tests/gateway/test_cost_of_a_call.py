"""What makes a call cheap: it leaves no garbage, and shares its writes with others."""

import ast
import asyncio
import gc
import json
import os
import select
import time
import weakref
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.contract import LimitConfig
from gateway.proxy import ids, logs, spool
from gateway.proxy.http.heads import Heads
from gateway.proxy.limits import LEAST as ONE
from gateway.proxy.limits import LimitReached, MemoryLimiter
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
        with call.watch:
            await call.work()
        return weakref.ref(call)

    gc.disable()
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


@pytest.fixture
def writer_syncs(monkeypatch):
    """As on a system whose kernel does not sync by itself."""
    monkeypatch.setattr(spool, "kernel_sync", lambda: None)


@pytest.mark.usefixtures("writer_syncs")
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


@pytest.mark.usefixtures("writer_syncs")
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
            records.append(one.append(event()))
            await asyncio.sleep(0.02 if number == 0 else 0.005)
        await asyncio.gather(*records)
        await asyncio.to_thread(one.close)

    asyncio.run(run())
    assert sizes == [1, 5]


def test_what_waits_is_written_when_the_spool_is_closed(tmp_path):
    async def run():
        one = spool.Spool(tmp_path / "spool")
        one.start()
        waiting = [one.append(event()) for _ in range(5)]
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


@pytest.mark.parametrize(
    "name",
    [
        "streaming",
        "alike_events",
        "whole_answers",
        "answer_errors",
        "members",
        "media",
        "parsed_requests",
        "names",
    ],
)
def test_bytes_are_searched_without_making_an_exception(name):
    """`b"x" in data` takes `b"x"` for a number first, and fails: that costs five times as much as `find`."""
    tree = ast.parse((Path(ids.__file__).parent / f"{name}.py").read_text())
    found = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.In | ast.NotIn)
        and isinstance(node.left, ast.Constant)
        and isinstance(node.left.value, bytes)
    ]
    assert not found


def test_the_head_of_the_last_request_is_not_read_again():
    heads = Heads()
    fields = [(b"Host", b"x"), (b"content-length", b" 7 "), (b"Authorization", b"Bearer one")]
    first, length = heads.read(list(fields), 60)
    assert (first.fields, length) == (((b"host", b"x"), (b"authorization", b"Bearer one")), b"7")
    first.known = "known"
    longer = [fields[0], (b"content-length", b"12"), fields[2]]
    again, length = heads.read(longer, 61)
    assert again is first
    assert length == b"12"


@pytest.mark.parametrize(
    "fields",
    [
        [(b"host", b"x"), (b"content-length", b"7"), (b"authorization", b"Bearer two")],
        [(b"host", b"y"), (b"content-length", b"7"), (b"authorization", b"Bearer one")],
        [(b"host", b"x"), (b"Content-Length", b"7"), (b"authorization", b"Bearer one")],
        [(b"host", b"x"), (b"authorization", b"Bearer one"), (b"content-length", b"7")],
        [(b"host", b"x"), (b"content-lengtH", b"7"), (b"authorization", b"Bearer one"), (b"a", b"b")],
        [(b"host", b"x"), (b"transfer-encoding", b"chunked"), (b"authorization", b"Bearer one")],
        [(b"host", b"x"), (b"authorization", b"Bearer one")],
        [],
    ],
)
def test_any_other_head_is_read(fields):
    heads = Heads()
    first, _ = heads.read([(b"host", b"x"), (b"content-length", b"7"), (b"authorization", b"Bearer one")], 60)
    first.known = "known"
    head, length = heads.read(fields, 60)
    assert head.known is None
    assert dict(head.fields) == {
        name.lower(): value for name, value in fields if name.lower() != b"content-length"
    }
    assert length == (b"7" if any(name.lower() == b"content-length" for name, _ in fields) else None)


def test_a_head_without_fields_is_nobody_elses():
    mine, theirs = Heads(), Heads()
    mine.read([], 0)[0].known = "known"
    assert theirs.read([], 0)[0].known is None


def test_a_head_that_is_large_is_not_kept():
    heads = Heads()
    fields = [(b"x", b"a" * 5000)]
    assert heads.read(fields, 5001)[0] is not heads.read(list(fields), 5001)[0]
    assert heads.target(b"/" + b"a" * 5000) is not heads.target(b"/" + b"a" * 5000)
    assert heads.target(b"/a%2Db?c") is heads.target(b"/a%2Db?c")
    assert heads.target(b"/a%2Db?c").path == "/a-b"


def test_a_counter_that_was_dropped_is_in_no_set_of_limits():
    one = LimitConfig(id="one", scope="key", scope_id="k", kind="concurrent_calls", value=1)
    limiter = MemoryLimiter()

    async def run():
        first = await limiter.admit([one], ONE, "t")
        await limiter.settle(first, 1, 0)
        limiter.forget(["one"])
        # Another set of limits with the same one makes its counter anew.
        await limiter.admit([one, replace(one, id="other", value=9)], ONE, "t")
        with pytest.raises(LimitReached):
            await limiter.admit([one], ONE, "t")
        with pytest.raises(LimitReached):
            await limiter.look([one], "t")

    asyncio.run(run())
