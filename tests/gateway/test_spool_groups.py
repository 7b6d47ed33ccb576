"""Records that come while the writer works share its next sync, and no call waits in vain."""

import asyncio
import queue
import time

import pytest

from gateway.proxy import spool_groups
from gateway.proxy.spool_groups import Groups
from gateway.proxy.spool_jobs import Job
from tests.patience import overload


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


async def one_group(groups, *, came=0):
    """A first group, which the writer has written; meanwhile `came` further records came."""
    groups.add(Job(None))
    await asyncio.sleep(0)
    for _ in range(came):
        groups.add(Job(None))
    await asyncio.sleep(0)
    groups.written()
    await asyncio.sleep(0)


def test_a_record_that_finds_the_writer_free_never_waits():
    async def work(groups):
        for _ in range(5):
            await one_group(groups)

    assert handed_over(work, in_progress=lambda: 100) == [1] * 5


def test_records_that_came_meanwhile_wait_for_more_until_all_calls_wait():
    async def work(groups):
        began = time.monotonic()
        await one_group(groups, came=1)
        for _ in range(2):
            groups.add(Job(None))
            await asyncio.sleep(0.01)
        assert time.monotonic() - began < 0.5 * overload()

    assert handed_over(work, in_progress=lambda: 3) == [1, 3]


def test_nobody_waits_for_calls_that_are_over():
    async def work(groups):
        await one_group(groups, came=2)

    assert handed_over(work, in_progress=lambda: 2) == [1, 2]


def test_nobody_waits_longer_than_a_moment_for_calls_that_go_on():
    async def work(groups):
        await one_group(groups, came=2)
        await asyncio.sleep(1.5)

    assert handed_over(work, in_progress=lambda: 100) == [1, 2]


def test_one_group_at_a_time():
    async def work(groups):
        await one_group(groups, came=1)
        groups.add(Job(None))
        # As its timer does, in the same step of the loop.
        groups._hand_over()
        groups.add(Job(None))
        await asyncio.sleep(0.01)
        groups.add(Job(None))
        await asyncio.sleep(0.01)

    assert handed_over(work, in_progress=lambda: 3) == [1, 2]


def test_what_waits_at_the_end_is_not_handed_over_twice():
    async def work(groups):
        await one_group(groups, came=1)
        assert len(groups.rest()) == 1
        await asyncio.sleep(0.7)

    assert handed_over(work, in_progress=lambda: 2) == [1]
