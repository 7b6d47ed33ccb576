"""The gateway's own work beside calls goes on after a fault, and operators see which one fails."""

import asyncio
from types import SimpleNamespace

import pytest

from gateway.proxy import background
from gateway.proxy.background import Background
from gateway.proxy.metrics import Metrics
from gateway.proxy.state import State

WORDS = "The gateway failed at its own work (usage: ZeroDivisionError). Its log says where (background_work_failed)."


@pytest.fixture
def failing(monkeypatch):
    """Work that fails twice and then goes on, its clock, and how often it began."""
    monkeypatch.setattr(background, "_AGAIN_SECONDS", 0.0)
    one = SimpleNamespace(metrics=Metrics(), now=1000.0, began=0)
    one.beside = Background(one.metrics, clock=lambda: one.now)

    async def work():
        one.began += 1
        if one.began <= 2:
            raise ZeroDivisionError("qm_secret")
        await asyncio.Event().wait()

    async def live():
        running = asyncio.create_task(one.beside.keep_running("usage", work))
        while one.began < 3:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()

    asyncio.run(live())
    return one


def test_work_that_fails_begins_again_and_is_counted(failing):
    assert failing.began == 3
    assert b'llm_gateway_background_failures_total{work="usage"} 2.0' in failing.metrics.text()


def test_operators_see_for_ten_minutes_what_failed(failing):
    assert failing.beside.problem == WORDS
    failing.now += 600
    assert failing.beside.problem == WORDS
    failing.now += 1
    assert failing.beside.problem == ""


def test_the_report_of_a_gateway_says_so(failing):
    sound = SimpleNamespace(problem="", is_writable=True, alarms=SimpleNamespace(problem=""))
    state = State(None, None, sound, sound, failing.metrics, sound, 0.0, None, None, None)
    assert state._problem() == ""
    state.background_problem = lambda: failing.beside.problem
    assert state._problem() == WORDS
