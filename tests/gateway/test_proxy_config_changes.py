"""A gateway that is told everything once and then what changed: in memory, on disk, and as a process."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract import ContractError, digest
from gateway.contract.stream import (
    KEEP_ALIVE,
    ConfigEnd,
    ConfigHead,
    ConfigRecords,
    ConfigRouting,
    LimitSetting,
    LimitsRecord,
    ProjectRecord,
    TenantRecord,
    Unpacker,
    pack,
)
from gateway.proxy.config_arrival import Arrival
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.shards import Shards
from tests.gateway.config_lines import (
    SECRETS,
    LinesControlPlane,
    changes,
    everything,
    index_of,
    is_refused,
    key,
    models_of,
    routes_of,
)
from tests.gateway.proxy_fixtures import MODEL, Rig, ask, wait_until

# --- in memory ---


@given(st.lists(st.tuples(st.integers(0, 5000), st.none() | st.integers())))
@settings(max_examples=60, deadline=None)
def test_shards_are_a_dictionary_and_copies_leave_the_first_alone(steps):
    first = Shards().edit()
    for number in range(0, 5000, 7):
        first[number] = number
    first = first.done()
    before, expected = dict(first), dict(first)
    edit = first.edit()
    for number, value in steps:
        if value is None:
            assert edit.discard(number) == expected.pop(number, None)
        else:
            edit[number] = expected[number] = value
    second = edit.done()
    assert (dict(second), len(second)) == (expected, len(expected))
    assert (dict(first), len(first)) == (before, len(before))


@given(st.lists(st.tuples(st.integers(0, 3000), st.none() | st.integers(0, 1)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_shards_told_anew_are_what_was_told_and_share_what_is_the_same(steps):
    """Of each number 0 is known; all are told again as they are, with some steps in between."""
    known = Shards().edit()
    for number in range(0, 3000, 2):
        known[number] = (0,)
    known = known.done()
    before, expected = dict(known), {}
    edit = known.edit_anew()
    told = [(number, 0) for number in range(0, 3000, 2)]
    for at, step in enumerate(steps):
        told.insert((at * 997) % len(told), step)
    for number, value in told:
        if value is None:
            assert edit.discard(number) == expected.pop(number, None)
        else:
            edit[number] = expected[number] = (value,)
    anew = edit.done()
    assert (dict(anew), len(anew)) == (expected, len(expected))
    assert (dict(known), len(known)) == (before, len(before))
    touched = {hash(number) % len(known._pieces) for number, _ in steps}
    for number, piece in enumerate(known._pieces):
        if piece and number not in touched:
            assert anew._pieces[number] is piece, "kept twice"
    for number, value in expected.items():
        if before.get(number) == value:
            assert anew[number] is known[number], "kept twice"


def test_changes_make_a_new_index_and_calls_under_way_keep_the_old_one():
    old = index_of(everything(1, key(0), key(1)))
    new = index_of(changes(1, keys=[key(2)], removed_keys=[digest(SECRETS[0])]), old)
    assert [models_of(old, number) for number in range(3)] == [[MODEL], [MODEL], None]
    assert [models_of(new, number) for number in range(3)] == [None, [MODEL], [MODEL]]
    assert (len(old.keys), len(new.keys)) == (2, 2)


@pytest.mark.parametrize("gone", [{"removed_tenants": ["tenant"]}, {"removed_projects": ["project"]}])
def test_a_key_whose_tenant_or_project_is_gone_opens_nothing_and_comes_back_with_it(gone):
    old = index_of(everything(1, key(0)))
    stopped = index_of(changes(1, **gone), old)
    assert models_of(stopped) is None
    again = index_of(
        changes(
            2,
            tenants=[TenantRecord(id="tenant", slug="lab")],
            projects=[ProjectRecord(id="project", slug="p", tenant_id="tenant", grant_ends={MODEL: 2**40})],
        ),
        stopped,
    )
    assert models_of(again) == [MODEL]


@pytest.mark.parametrize(
    "one",
    [
        "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1d",
        "01890B1C-2D3E-7F40-8A5B-6C7D8E9F0A1D",
        "01890b1c2-d3e-7f40-8a5b-6c7d8e9f0a1d",
        "01890b1c-2d3e-7f40-8a5b- c7d8e9f0a1d",
        "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1g",
        "a-name-of-16-ch.",
        "\u00e9",
    ],
)
def test_ids_come_back_as_they_were_sent(one):
    limit = LimitSetting(id=one, kind="requests_per_minute", value=3)
    on_key = LimitsRecord(scope="key", scope_id=one, time_zone="UTC", limits=[limit])
    tenant = TenantRecord(id="tenant", slug="lab")
    project = ProjectRecord(id=one, slug="p", tenant_id="tenant", grant_ends={MODEL: 2**40})
    sent = key(0, key_id=one, project_id=one, person_id=one)
    before = index_of(everything(1))
    index = index_of(changes(1, tenants=[tenant], projects=[project], keys=[sent], limits=[on_key]), before)
    config = index.keys.get(digest(SECRETS[0])).config
    assert (config.key_id, config.project_id, config.person_id) == (one, one, one)
    # It is found for the project and for the key, which have the same id here.
    assert {(limit.id, limit.scope_id) for limit in config.limits} == {(one, one)}
    assert one in index.limit_ids
    without = LimitsRecord(scope="key", scope_id=one, time_zone="UTC", limits=[])
    assert one not in index_of(changes(2, limits=[without]), index).limit_ids


def test_limits_are_those_of_tenant_project_and_key_for_the_models_that_it_may_call():
    def told(scope, **fields):
        setting = LimitSetting(id=scope, kind="requests_per_minute", value=3, **fields)
        return LimitsRecord(scope=scope.split("-")[0], scope_id=scope, limits=[setting])

    old = index_of(everything(1, key(0)))
    new = index_of(
        changes(1, limits=[told("tenant"), told("project", model="other"), told("key-0", model=MODEL)]), old
    )
    found = new.keys.get(digest(SECRETS[0]))
    assert [one.id for one in found.config.limits] == ["tenant", "key-0"]
    assert {"tenant", "key-0"} <= {one for one in ("tenant", "key-0", "other") if one in new.limit_ids}
    newest = index_of(changes(2, limits=[LimitsRecord(scope="tenant", scope_id="tenant")]), new)
    assert [one.id for one in newest.keys.get(digest(SECRETS[0])).config.limits] == ["key-0"]
    assert ("tenant" in newest.limit_ids, "key-0" in newest.limit_ids) == (False, True)
    sent_whole = index_of(everything(9, key(0)), newest)
    assert "key-0" not in sent_whole.limit_ids, "everything was told, and this limit not"


def test_what_was_used_is_as_of_the_moment_that_was_told_with_it():
    def told(scope, used, as_of):
        setting = LimitSetting(id=scope, kind="tokens_per_month", value=9, used=used)
        return LimitsRecord(scope="key", scope_id=scope, limits=[setting], used_as_of=as_of)

    def known(index):
        return [
            (one.used, one.used_as_of) for scope in ("a", "b") for one in index.keys.records.limits_on(scope)
        ]

    def sent_whole(revision, *limits):
        head = ConfigHead(revision=revision, issued_at="now", state=f"s{revision}")
        end = ConfigEnd(revision=revision)
        return pack([head, ConfigRouting(routes=[]), ConfigRecords(limits=list(limits)), end])

    first = index_of(sent_whole(1, told("a", 3, 100), told("b", 0, 100)))
    assert known(first) == [(3, 100), (0, 100)]
    second = index_of(changes(1, limits=[told("b", 4, 200)]), first)
    assert known(second) == [(3, 100), (4, 200)]
    third = index_of(sent_whole(3, told("a", 3, 300), told("b", 4, 300)), second)
    assert known(third) == [(3, 300), (4, 300)]
    assert known(second) == [(3, 100), (4, 200)], "whoever has begun with it goes on with it"


def test_everything_told_again_is_not_kept_twice():
    old = index_of(everything(1, key(0), key(1)))
    new = index_of(everything(2, key(0), key(1, networks=["10.0.0.0/8"])), old)
    same, other = (bytes.fromhex(digest(secret)) for secret in SECRETS[:2])
    assert new.keys.records.keys[same] is old.keys.records.keys[same]
    assert new.keys.records.keys[other] != old.keys.records.keys[other]


@pytest.mark.parametrize("can_wait", [True, False])
def test_what_can_wait_takes_half_of_the_time(can_wait, tmp_path, monkeypatch):
    parts = [ConfigHead(revision=2, issued_at="now"), *[ConfigRecords()] * 100, ConfigEnd(revision=2)]
    rested = []

    class Slow(IndexBuilder):
        def take_part(self, part, line):
            time.sleep(0.001)

    class Answer:
        sent = {}

        async def pieces(self):
            for part in parts:
                yield pack([part])

    async def read():
        async def sleep(seconds):
            rested.append(seconds)
            await real(0)

        real = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", sleep)
        arrival = Arrival(ConfigStore(tmp_path / "snapshot.json"), Slow(None), can_wait=can_wait)
        await arrival.read(Answer())

    asyncio.run(read())
    assert len(rested) == len(parts), "between lines calls go on"
    assert (sum(rested) > 0.09) if can_wait else (sum(rested) == 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        everything(2, key(0))[:-30],
        pack([ConfigRecords(keys=[key(0)])]),
        pack([ConfigHead(revision=2, issued_at="now"), ConfigEnd(revision=2)]),
        pack([ConfigHead(revision=2, issued_at="now"), ConfigRouting(routes=[]), ConfigEnd(revision=3)]),
        pack([ConfigHead(revision=2, issued_at="now"), ConfigHead(revision=2, issued_at="now")]),
        everything(2) + pack([ConfigRecords(keys=[key(0)])]),
        changes(0),
        changes(2),
        everything(2, key(0, networks=["nonsense"])),
        everything(2)[:-4] + b"xxxx",
        b"not compressed",
    ],
    ids=[
        "nothing", "cut off", "no head", "no routes", "another end", "two heads", "goes on", "changes on older",
        "changes on newer", "no network", "damaged", "not gzip",
    ],
)  # fmt: skip
def test_what_is_no_whole_message_is_refused(body):
    with pytest.raises(ContractError):
        index_of(body, index_of(everything(1, key(0))))


def test_an_unknown_part_or_restriction_is_refused():
    """Unknown optional fields are ignored: tests/gateway/test_contract_versions.py."""
    body = pack([ConfigHead(revision=1, issued_at="now", requires=["only_on_sundays"])])
    with pytest.raises(ContractError, match="only_on_sundays"):
        IndexBuilder(None).take(next(Unpacker().feed(body)))
    with pytest.raises(ContractError, match="surprise"):
        IndexBuilder(None).take(b'{"part":"surprise"}')


@given(st.lists(st.integers(1, 400), max_size=40))
@settings(max_examples=50, deadline=None)
def test_lines_are_the_same_however_the_bytes_arrive(sizes):
    body = KEEP_ALIVE + everything(1, key(0), key(1)) + KEEP_ALIVE
    unpacker, lines = Unpacker(), []
    for size in [*sizes, len(body)]:
        lines += unpacker.feed(body[:size])
        body = body[size:]
    assert lines == list(Unpacker().feed(everything(1, key(0), key(1))))


# --- on disk ---


def kept(path, *bodies):
    store = ConfigStore(path)
    for body in bodies:
        draft = store.draft()
        draft.write(body)
        store.keep(draft)
    return store


def test_what_was_kept_and_added_is_there_after_a_restart(tmp_path):
    store = kept(tmp_path / "snapshot.json", everything(1, key(0)))
    assert store.add(changes(1, keys=[key(1)]))
    assert store.add(changes(2, removed_keys=[digest(SECRETS[0])]))
    index = ConfigStore(tmp_path / "snapshot.json").load()
    assert (index.revision, index.state) == (3, "s3")
    assert [models_of(index, number) for number in range(2)] == [None, [MODEL]]


def test_a_crash_while_changes_are_written_costs_that_change_and_nothing_else(tmp_path):
    store = kept(tmp_path / "snapshot.json", everything(1, key(0)))
    store.add(changes(1, keys=[key(1)]))
    whole = (tmp_path / "snapshot.changes").read_bytes()
    last = changes(2, keys=[key(2)])
    # Of the last eight bytes, a checksum, none is missed.
    for length in range(len(last) - 12):
        (tmp_path / "snapshot.changes").write_bytes(whole + last[:length])
        assert ConfigStore(tmp_path / "snapshot.json").load().revision == 2, length


def test_changes_of_before_are_not_put_on_a_newer_whole(tmp_path):
    store = kept(tmp_path / "snapshot.json", everything(1, key(0)))
    store.add(changes(1, removed_keys=[digest(SECRETS[0])]))
    old = (tmp_path / "snapshot.changes").read_bytes()
    kept(tmp_path / "snapshot.json", everything(5, key(0)))
    assert not (tmp_path / "snapshot.changes").exists()
    (tmp_path / "snapshot.changes").write_bytes(old)  # a crash in between
    index = ConfigStore(tmp_path / "snapshot.json").load()
    assert (index.revision, models_of(index)) == (5, [MODEL])


def test_a_draft_that_a_killed_process_left_gives_its_space_back(tmp_path):
    (tmp_path / "snapshot.new").write_bytes(b"x" * 1000)
    assert ConfigStore(tmp_path / "snapshot.json").load() is None
    assert not (tmp_path / "snapshot.new").exists()


def test_many_changes_make_it_ask_for_everything(tmp_path):
    store = kept(tmp_path / "snapshot.json", everything(1))
    piece = b"x" * (1024 * 1024)
    assert [store.add(piece) for _ in range(5)] == [True] * 4 + [False]


# --- as a process ---


@pytest.fixture
def lines_rig(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.gateway.proxy_fixtures.StandInControlPlane", LinesControlPlane)
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_a_revoked_key_is_refused_by_its_change_alone_and_after_a_restart_without_a_control_plane(lines_rig):
    rig = lines_rig
    rig.control.answers[""] = 10, everything(10, key(0), key(1), routes=routes_of(rig))
    wait_until(lambda: not is_refused(rig, 0), what="everything")
    rig.control.answers["s10"] = 11, changes(10, removed_keys=[digest(SECRETS[0])])
    wait_until(lambda: is_refused(rig, 0), what="the refusal")
    assert ask(rig.client(SECRETS[1]))
    assert (10, "s10") in rig.control.asked
    rig.control.acked(11)
    rig.control.down()
    rig.gateway.process.kill()
    rig.gateway.start()
    assert is_refused(rig, 0)
    assert ask(rig.client(SECRETS[1]))
    rig.control.asked.clear()
    rig.control.answers["s11"] = 12, changes(11, removed_keys=[digest(SECRETS[1])])
    rig.control.answers[""] = 12, b"nothing yet"
    rig.control.up()
    wait_until(lambda: is_refused(rig, 1), what="what changed meanwhile, before everything has come")
    assert rig.control.asked[0] == (11, "s11")
    wait_until(lambda: (0, "") in rig.control.asked, what="the query for everything")


def test_changes_that_are_cut_off_change_nothing_and_everything_is_asked_for(lines_rig):
    rig = lines_rig
    rig.control.answers[""] = 10, everything(10, key(0), routes=routes_of(rig))
    wait_until(lambda: not is_refused(rig, 0), what="everything")
    asked = len(rig.control.asked)
    rig.control.answers["s10"] = 11, changes(10, removed_keys=[digest(SECRETS[0])])[:-10]
    wait_until(lambda: any(ack.problem for ack in rig.control.acks), what="the report of the problem")
    assert not is_refused(rig, 0)
    rig.control.answers[""] = 12, everything(12, key(1), routes=routes_of(rig))
    wait_until(lambda: not is_refused(rig, 1), what="everything once more")
    assert is_refused(rig, 0)
    assert (0, "") in rig.control.asked[asked:]
    wait_until(lambda: not rig.control.acks[-1].problem, what="the end of the problem")


def test_an_answer_that_is_slow_but_alive_is_waited_for(lines_rig):
    """A gateway gives up after 40 seconds without a byte; an empty line is one."""
    rig = lines_rig
    began = time.monotonic()
    rig.control.answers[""] = 10, KEEP_ALIVE * 50 + everything(10, key(0), routes=routes_of(rig))
    wait_until(lambda: not is_refused(rig, 0), what="everything")
    assert time.monotonic() - began < 40
