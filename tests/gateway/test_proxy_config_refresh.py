"""Everything is fetched anew beside the changes: what is revoked meanwhile stays revoked, whatever becomes of it."""

import pytest

from tests.gateway.config_follower import refreshing, slowly
from tests.gateway.config_lines import (
    FIRST,
    SECOND,
    SECRETS,
    THIRD,
    LinesControlPlane,
    changes,
    everything,
    in_version_1,
    is_refused,
    key,
    models_of,
    revoked,
    routes_of,
)
from tests.gateway.proxy_fixtures import MODEL, Rig, ask, wait_until


def test_a_console_that_is_upgraded_gives_everything_in_its_newer_version(follower):
    """Version 1 says less, so nothing of it stays, even while no revision is newer."""

    async def scenario(one):
        one.control.speaks = 1
        one.control.answers[""] = 10, in_version_1(everything(10, key(FIRST)))
        await one.until(lambda: one.serves(10), "the configuration of the old console")
        assert one.index().snapshot.contract_version == 1
        one.control.speaks = 2
        one.control.answers[""] = 10, everything(10, key(FIRST))
        await one.until(lambda: one.index().snapshot.contract_version == 2, "everything in version 2")
        await one.until(
            lambda: one.file.exists() and one.on_disk().snapshot.contract_version == 2, "version 2 on disk"
        )

    follower.run(scenario)


def test_a_revocation_by_an_old_console_survives_on_disk(follower):
    async def scenario(one):
        one.control.speaks = 1
        body, rest = slowly(in_version_1(everything(11, key(FIRST), key(SECOND))))
        one.control.answers[""] = 10, in_version_1(everything(10, key(FIRST), key(SECOND)))
        await one.until(lambda: one.serves(10), "the first configuration")
        one.control.answers["s10"] = 11, body
        await one.until(lambda: "s10" in {state for _, state in one.control.asked}, "the query for changes")
        one.control.answers["s11"] = 12, in_version_1(changes(11, **revoked(FIRST)))
        await one.until(lambda: models_of(one.index(), FIRST) is None, "the revocation")
        assert models_of(one.index(), SECOND) == [MODEL]
        await one.until(
            lambda: one.file.exists() and models_of(one.on_disk(), FIRST) is None, "the revocation on disk"
        )
        rest.set()

    follower.run(scenario)


def test_a_key_revoked_while_everything_arrives_is_refused_at_once_and_stays_so(follower):
    async def scenario(one):
        body, rest = slowly(everything(11, key(FIRST), key(SECOND), key(THIRD)))
        await refreshing(one, body)
        one.control.answers["s11"] = 12, changes(11, **revoked(FIRST))
        await one.until(lambda: one.serves(12), "the revocation, which waits for nothing")
        assert models_of(one.index(), FIRST) is None
        since = len(one.applied)
        assert not rest.is_set()
        rest.set()
        await one.until(lambda: len(one.applied) > since, "everything")
        for index in one.applied[since:]:
            assert [models_of(index, number) for number in (FIRST, SECOND)] == [None, [MODEL]]
            assert index.revision == 12
        await one.until(lambda: not one.file.with_suffix(".changes").exists(), "the copy on disk")
        assert (one.on_disk().revision, models_of(one.on_disk(), FIRST)) == (12, None)
        one.control.answers["s12"] = 13, changes(12, **revoked(SECOND))
        await one.until(lambda: one.serves(13), "a change on top of it")

    follower.run(scenario)


@pytest.mark.parametrize("news", [(), (11,)], ids=["nothing new", "a change meanwhile"])
def test_a_gateway_that_starts_with_a_copy_hears_of_changes_while_everything_arrives(with_a_copy, news):
    async def scenario(one):
        answers = one.control.answers
        for revision in news:
            answers[f"s{revision - 1}"] = revision, changes(revision - 1, keys=[key(THIRD)])
        known = 10 + len(news)
        body, rest = slowly(everything(known, key(FIRST), key(SECOND), key(THIRD)))
        answers[""] = known, body
        await one.until(lambda: (known, f"s{known}") in one.control.asked, "the query for changes")
        await one.until(lambda: one.asked_for_everything(0) > 1, "the query for everything")
        answers[f"s{known}"] = known + 1, changes(known, **revoked(FIRST))
        await one.until(lambda: one.serves(known + 1), "the revocation, which waits for nothing")
        assert models_of(one.index(), FIRST) is None
        since = len(one.applied)
        rest.set()
        await one.until(lambda: len(one.applied) > since, "everything")
        assert [models_of(one.index(), number) for number in range(3)] == [None, [MODEL], [MODEL]]

    with_a_copy.run(scenario, again=True)


def test_a_copy_of_another_history_is_replaced_by_everything(with_a_copy):
    async def scenario(one):
        one.control.answers[""] = 10, everything(10, key(SECOND), state="other")
        await one.until(lambda: models_of(one.index(), FIRST) is None, "what this control plane says")
        assert models_of(one.index(), SECOND) == [MODEL]

    with_a_copy.run(scenario, again=True)


def test_a_change_that_was_arriving_when_everything_came_is_asked_for_again_from_there(follower):
    async def scenario(one):
        body, rest = slowly(everything(12, key(FIRST), key(SECOND)))
        await refreshing(one, body)
        change, end = slowly(changes(11, revision=13, **revoked(FIRST)))
        one.control.answers["s11"] = 13, change
        await one.until(lambda: (11, "s11") in one.control.asked, "the query for changes")
        rest.set()
        await one.until(lambda: one.serves(12), "everything")
        one.control.answers["s12"] = 13, changes(12, keys=[key(THIRD)], **revoked(FIRST))
        end.set()
        await one.until(lambda: one.serves(13), "the change")
        assert [models_of(one.index(), number) for number in (FIRST, THIRD)] == [None, [MODEL]]
        await one.until(lambda: one.on_disk().revision == 13, "the change on disk")
        assert models_of(one.on_disk(), FIRST) is None

    follower.run(scenario)


@pytest.mark.parametrize("end", ["broken off", "cut off", "damaged"])
def test_a_refresh_that_fails_changes_nothing_and_is_tried_again(follower, end):
    async def scenario(one):
        body = everything(11, key(FIRST), key(SECOND))
        ends = {"broken off": [body[:-60], None], "cut off": body[:-60], "damaged": body[:-4] + b"xxxx"}
        await refreshing(one, ends[end])
        applied = len(one.applied)
        await one.until(lambda: one.asked_for_everything(0) > 2, "the second try")
        assert len(one.applied) == applied
        assert one.on_disk().revision == 11
        one.control.answers["s11"] = 12, changes(11, **revoked(FIRST))
        await one.until(lambda: one.serves(12), "a change between two tries")
        one.control.answers[""] = 12, everything(12, key(SECOND))
        await one.until(lambda: len(one.applied) > applied + 1, "everything")
        assert (one.index().revision, models_of(one.index(), FIRST)) == (12, None)

    follower.run(scenario)


def test_a_fetch_after_an_unnamed_change_is_tried_again_without_another_reason(follower):
    async def scenario(one):
        answers = one.control.answers
        answers[""] = 10, everything(10, key(FIRST))
        await one.until(lambda: one.serves(10), "the first configuration")
        body = everything(11, key(SECOND))
        answers[""] = 11, [body[:-60], None]
        answers["s10"] = 11, body
        await one.until(lambda: one.asked_for_everything(10) > 1, "the second try")
        assert one.serves(10)
        answers[""] = 11, body
        await one.until(lambda: one.serves(11), "everything")

    follower.run(scenario)


def test_everything_that_contradicts_what_is_known_of_its_revision_is_dropped(follower):
    """The database was restored from a copy in between, so one of the two is of another history."""

    async def scenario(one):
        body = everything(11, key(FIRST), key(SECOND), state="of another history")
        await refreshing(one, body)
        applied = len(one.applied)
        await one.until(lambda: one.asked_for_everything(0) > 2, "the second try")
        assert len(one.applied) == applied

    follower.run(scenario)


def test_two_unnamed_changes_during_one_fetch_and_revocations_after_each(follower):
    async def scenario(one):
        answers = one.control.answers
        answers[""] = 10, everything(10, key(FIRST), key(SECOND))
        await one.until(lambda: one.serves(10), "the first configuration")
        first = everything(11, key(FIRST), key(SECOND), key(THIRD))
        body, rest = slowly(first)
        answers[""] = answers["s10"] = 11, body
        await one.until(lambda: one.asked_for_everything(10), "the query for everything")
        answers["s11"] = 12, changes(11, **revoked(FIRST))
        await one.until(lambda: models_of(one.index(), FIRST) is None, "the revocation after the first")
        answers["s12"] = 13, everything(13, key(SECOND), key(THIRD))
        answers["s13"] = 14, changes(13, **revoked(SECOND))
        await one.until(lambda: models_of(one.index(), SECOND) is None, "the revocation after the second")
        assert one.index().revision == 10, "the rest is still to come"
        narrowed = len(one.applied)
        await one.until(lambda: models_of(one.on_disk(), FIRST) is None, "the first revocation on disk")
        assert one.on_disk().revision == 10
        assert not rest.is_set()
        rest.set()
        await one.until(lambda: one.asked_for_everything(12), "the query for what is newer")
        assert len(one.applied) == narrowed, "the first one cannot be brought up to date"
        answers[""] = 13, everything(13, key(SECOND), key(THIRD))
        await one.until(lambda: one.serves(14), "everything")
        for index in one.applied[narrowed:]:
            found = [models_of(index, number) for number in (FIRST, SECOND, THIRD)]
            assert found == [None, None, [MODEL]]

    follower.run(scenario)


def test_everything_that_is_older_than_what_was_taken_away_is_not_put_in_force(follower):
    """After changes that cannot be understood everything is waited for, and may have been compiled before."""

    async def scenario(one):
        answers = one.control.answers
        answers[""] = 10, everything(10, key(FIRST), key(SECOND))
        await one.until(lambda: one.serves(10), "the first configuration")
        body, _ = slowly(everything(11, key(FIRST)))
        answers[""] = answers["s10"] = 11, body
        await one.until(lambda: one.asked_for_everything(10), "the query for everything")
        answers["s11"] = 12, changes(11, **revoked(FIRST))
        await one.until(lambda: models_of(one.index(), FIRST) is None, "the revocation")
        since = len(one.applied)
        answers[""] = answers["s10"] = 11, everything(11, key(FIRST))
        answers["s12"] = 13, changes(12)[:-10]
        await one.until(lambda: one.asked_for_everything(0) > 1, "the query for everything")
        answers["s12"] = 13, changes(12)
        answers[""] = answers["s10"] = 13, everything(13, key(SECOND))
        await one.until(lambda: one.serves(13), "everything")
        assert {str(models_of(index, FIRST)) for index in one.applied[since:]} == {"None"}

    follower.run(scenario)


def test_a_gateway_refuses_a_revoked_key_while_everything_arrives_and_after_a_crash(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.gateway.proxy_fixtures.StandInControlPlane", LinesControlPlane)
    rig = Rig(tmp_path)
    try:
        answers, routes = rig.control.answers, routes_of(rig)
        answers[""] = 10, everything(10, key(FIRST), key(SECOND), routes=routes)
        wait_until(lambda: not is_refused(rig, FIRST), what="everything")
        body, rest = slowly(everything(11, key(FIRST), key(SECOND), key(THIRD), routes=routes))
        answers[""] = answers["s10"] = 11, body
        wait_until(lambda: (10, "") in rig.control.asked, what="the query for everything")
        answers["s11"] = 12, changes(11, **revoked(FIRST))
        wait_until(lambda: is_refused(rig, FIRST), what="the refusal")
        assert ask(rig.client(SECRETS[SECOND]))
        assert is_refused(rig, THIRD)
        rig.control.down()
        rig.gateway.process.kill()
        rig.gateway.start()
        assert is_refused(rig, FIRST)
        assert ask(rig.client(SECRETS[SECOND]))
        rest.set()
        rig.control.up()
        wait_until(lambda: not is_refused(rig, THIRD), what="everything")
        wait_until(lambda: rig.gateway.metric("llm_gateway_config_revision") == 12, what="what came after it")
        assert is_refused(rig, FIRST)
    finally:
        rig.close()
