"""A configuration at which the gateway itself fails: the last good one stays in force, and operators see why."""

import pytest

from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_client import ConfigClient
from gateway.proxy.config_store import ConfigStore
from tests.gateway.config_follower import refreshing
from tests.gateway.config_lines import FIRST, SECOND, changes, everything, key, models_of, revoked
from tests.gateway.proxy_fixtures import MODEL

READING = (
    "The configuration could not be read: an unexpected ZeroDivisionError. The gateway's log says where."
)


class Faulty:
    """Fails as long as it says so, at what has the revision; otherwise it does what it did before."""

    def __init__(self, monkeypatch, owner, name, revision, *, of):
        self.is_on, self.revision, self.of = True, revision, of
        original = getattr(owner, name)

        def step(one, *arguments, **named):
            if self.is_on and self.of(one, *arguments) == self.revision:
                raise ZeroDivisionError("qm_secret")
            return original(one, *arguments, **named)

        monkeypatch.setattr(owner, name, step)


@pytest.fixture
def at_reading(monkeypatch):
    return Faulty(monkeypatch, IndexBuilder, "index", 11, of=lambda builder: builder.head.revision)


def reported(one):
    """What the control plane was told last: the revision in force, the problem, and the refused revision."""
    if not one.control.acks:
        return 0, "", None
    ack = one.control.acks[-1]
    return ack.revision, ack.problem, ack.refused.revision if ack.refused else None


def counted(one):
    return one.metrics.config_problems._value.get()


async def at_ten(one):
    one.control.answers[""] = 10, everything(10, key(FIRST), key(SECOND))
    await one.until(lambda: one.serves(10), "the first configuration")


def test_changes_that_cannot_be_read_leave_the_last_ones_in_force_and_operators_see_why(follower, at_reading):
    async def scenario(one):
        await at_ten(one)
        one.control.answers["s10"] = 11, changes(10, **revoked(FIRST))
        one.control.answers[""] = 11, everything(11, key(SECOND))
        await one.until(lambda: reported(one) == (10, READING, 11), "the report")
        assert "qm_secret" not in str(one.control.acks)
        assert one.metrics.control_up._value.get() == 0
        assert counted(one) == 1
        assert models_of(one.index(), FIRST) == [MODEL]
        at_reading.is_on = False
        await one.until(lambda: one.serves(11), "the next try")
        await one.until(lambda: reported(one) == (11, "", None), "the end of the report")
        assert models_of(one.index(), FIRST) is None
        assert counted(one) == 1

    follower.run(scenario)


def test_a_fault_while_everything_is_fetched_anew_is_reported_and_changes_go_on(follower, at_reading):
    async def scenario(one):
        at_reading.of = lambda builder: builder.head.after is None and builder.head.revision
        await refreshing(one, everything(11, key(FIRST), key(SECOND)))
        await one.until(lambda: reported(one) == (11, READING, 11), "the report")
        one.control.answers["s11"] = 12, changes(11, **revoked(FIRST))
        await one.until(lambda: one.serves(12), "a change meanwhile")
        assert models_of(one.index(), FIRST) is None

    follower.run(scenario)


@pytest.mark.parametrize("is_everything", [True, False])
def test_what_was_put_in_force_by_half_is_taken_back(follower, is_everything):
    follower_applies = follower.apply

    def apply(index):
        follower_applies(index)
        if index.revision == 11:
            raise ZeroDivisionError

    follower.apply = apply

    async def scenario(one):
        await at_ten(one)
        body = everything(11, key(SECOND))
        one.control.answers["s10"] = 11, body if is_everything else changes(10, **revoked(FIRST))
        one.control.answers[""] = 11, body
        await one.until(lambda: reported(one) == (10, READING, 11), "the report")
        await one.until(lambda: len(one.applied) > 4, "another try")
        assert one.serves(10)
        assert {index.revision for index in one.applied[::2]} == {10}
        one.control.answers["s10"] = one.control.answers[""] = 12, everything(12, key(SECOND))
        await one.until(lambda: one.serves(12), "the next revision")
        await one.until(lambda: reported(one) == (12, "", None), "the end of the report")

    follower.run(scenario)


def test_a_copy_on_disk_at_which_the_gateway_fails_does_not_end_it(with_a_copy, monkeypatch):
    Faulty(monkeypatch, ConfigStore, "_load", None, of=lambda store: None)

    async def scenario(one):
        await one.until(lambda: one.serves(10), "the configuration from the control plane")
        assert counted(one) == 1

    with_a_copy.run(scenario, again=True)


def test_a_disk_that_fails_in_an_unknown_way_does_not_hold_a_revision_back(follower, monkeypatch):
    Faulty(monkeypatch, ConfigStore, "add", None, of=lambda store, data: None)

    async def scenario(one):
        await at_ten(one)
        one.control.answers["s10"] = 11, changes(10, **revoked(FIRST))
        await one.until(lambda: reported(one)[0] == 11, "the change")
        _, problem, refused = reported(one)
        assert (
            "Revision 11 is active, but cannot be stored on disk: an unexpected ZeroDivisionError" in problem
        )
        assert refused is None
        assert models_of(one.index(), FIRST) is None

    follower.run(scenario)


def test_a_fault_at_an_answer_that_nothing_is_newer_ends_once_everything_came(follower, monkeypatch):
    fault = Faulty(monkeypatch, ConfigClient, "_require_nothing_newer", 10, of=lambda one, _: one._revision)

    async def scenario(one):
        await at_ten(one)
        await one.until(lambda: reported(one)[:2] == (10, READING), "the report")
        fault.is_on = False
        await one.until(lambda: reported(one) == (10, "", None), "the end of the report")

    follower.run(scenario)
