"""Nobody between keeps a newer configuration away from a gateway without its noticing."""

from dataclasses import replace

import pytest

from gateway.contract.stream import KEEP_ALIVE
from gateway.proxy.control import Patience
from tests.gateway.config_lines import LinesControlPlane, changes, everything, key
from tests.gateway.test_config_signatures import STRANGER, Pinned, seal, sign


@pytest.fixture
def pinned(tmp_path):
    control = LinesControlPlane()
    control.seals = seal
    control.up()
    yield Pinned(control, tmp_path)
    control.close()


FORGED = {
    "not signed": lambda message, nonce: None,
    "may be old": lambda message, nonce: seal(message, "yesterday"),
    "for gateway 'other'": lambda message, nonce: seal(message, nonce, gateway="other"),
    "none of the keys": lambda message, nonce: seal(message, nonce, STRANGER),
    "signature is wrong": lambda message, nonce: seal(replace(message, revision=9), nonce),
}


@pytest.mark.parametrize("words", FORGED)
def test_nobody_else_can_say_that_nothing_is_newer(pinned, words):
    """A proxy that answers 204 in place of the console would keep revocations away, and nobody would notice."""
    answers = pinned.control.answers
    pinned.control.on_the_way = sign
    answers[""] = 3, everything(3, key(0))

    async def scenario(one):
        await one.until(lambda: one.applied, "the first revision")
        await one.until(lambda: one.acks and not one.acks[-1].problem, "the report of the first revision")
        one.control.seals = FORGED[words]
        await one.until(
            lambda: any("nothing is newer is refused" in ack.problem for ack in one.acks), "the report"
        )
        assert words in one.reports.problem
        assert [index.revision for index in one.applied] == [3], "it serves the last good revision"
        one.control.seals = seal
        await one.until(lambda: not one.reports.problem and not one.acks[-1].problem, "the end of the report")

    pinned.run(scenario)


def test_nobody_gets_the_console_to_say_it_of_a_later_revision(pinned):
    """A redirect to a revision that the gateway lacks: the console would sign that nothing is newer than that one.

    The gateway follows no redirect, and counts it as no answer.
    """
    answers = pinned.control.answers
    pinned.control.on_the_way = sign
    answers[""] = 3, everything(3, key(0))

    async def scenario(one):
        await one.until(lambda: one.metrics.control_up._value.get() == 1, "the first revision")
        one.control.led_astray[3] = 4
        await one.until(lambda: one.metrics.control_up._value.get() == 0, "the notice")
        assert not any(after == 4 for after, _salt in one.control.asked)
        answers["s3"] = 4, changes(3, keys=[key(1)])
        one.control.led_astray.clear()
        await one.until(lambda: one.applied[-1].revision == 4, "the second revision")

    pinned.run(scenario)


class Soon:
    """An event that is set the fifth time that somebody looks."""

    def __init__(self):
        self.looks = 0

    def is_set(self):
        self.looks += 1
        return self.looks > 4


def drops():
    while True:
        yield KEEP_ALIVE
        yield Soon()


def test_an_answer_that_never_ends_is_noticed(pinned, monkeypatch):
    """A proxy between may keep the connection alive for ever, as the console does while it compiles."""
    monkeypatch.setattr("gateway.proxy.config_client._PATIENCE", Patience(1.0, silence=40.0))
    answers = pinned.control.answers
    pinned.control.on_the_way = sign
    answers[""] = 3, everything(3, key(0))

    async def scenario(one):
        await one.until(lambda: one.metrics.control_up._value.get() == 1, "the first revision")
        answers["s3"] = 10**12, drops()
        await one.until(lambda: one.metrics.control_up._value.get() == 0, "the notice")
        assert [index.revision for index in one.applied] == [3]

    pinned.run(scenario)
