"""Records share a sync where others are likely to come soon, and no call waits in vain."""

import asyncio
import queue
import time

import pytest

from gateway.proxy import spool_groups
from gateway.proxy.spool_groups import Groups
from gateway.proxy.spool_jobs import Job


@pytest.fixture(autouse=True)
def slowly(monkeypatch):
    """Time enough for a busy machine."""
    monkeypatch.setattr(spool_groups, "_GATHER_SECONDS", 0.5)


def handed_over(work, *, in_progress):
    """Run `work(groups)`. Returns the sizes of the groups that the writer got by its end."""
    writer = queue.SimpleQueue()

    async def run():
        groups = Groups(writer)
        groups.calls_in_progress = in_progress
        await work(groups)

    asyncio.run(run())
    return [len(writer.get_nowait()) for _ in range(writer.qsize())]


async def one_group(groups, size=1):
    """A first group, which the writer has written."""
    for _ in range(size):
        groups.add(Job(None))
    await asyncio.sleep(0)
    groups.written()


def test_a_call_that_is_alone_never_waits():
    async def work(groups):
        for _ in range(5):
            await one_group(groups)

    assert handed_over(work, in_progress=lambda: 1) == [1] * 5


def test_calls_wait_for_others_until_all_of_them_wait():
    async def work(groups):
        await one_group(groups, 3)
        began = time.monotonic()
        for _ in range(3):
            groups.add(Job(None))
            await asyncio.sleep(0.01)
        assert time.monotonic() - began < 0.5

    assert handed_over(work, in_progress=lambda: 3) == [3, 3]


def test_nobody_waits_longer_than_a_moment_for_calls_that_go_on():
    async def work(groups):
        await one_group(groups)
        groups.add(Job(None))
        groups.add(Job(None))
        await asyncio.sleep(1.5)

    assert handed_over(work, in_progress=lambda: 100) == [1, 2]


def test_nobody_waits_where_records_come_seldom(monkeypatch):
    monkeypatch.setattr(spool_groups, "_GATHER_SECONDS", 0.02)

    async def work(groups):
        for _ in range(3):
            await one_group(groups)
            await asyncio.sleep(0.1)
        groups.add(Job(None))
        await asyncio.sleep(0)

    assert handed_over(work, in_progress=lambda: 100) == [1] * 4


def test_one_group_at_a_time():
    async def work(groups):
        await one_group(groups)
        for _ in range(3):
            groups.add(Job(None))
        # As its timer does, in the same step of the loop.
        groups._hand_over()
        groups.add(Job(None))
        await asyncio.sleep(0.01)
        groups.add(Job(None))
        await asyncio.sleep(0.01)

    assert handed_over(work, in_progress=lambda: 1) == [1, 3]


def test_what_waits_at_the_end_is_not_lost():
    async def work(groups):
        await one_group(groups)
        groups.add(Job(None))
        await asyncio.sleep(0)
        assert len(groups.rest()) == 1
        await asyncio.sleep(0.7)

    assert handed_over(work, in_progress=lambda: 2) == [1]
