"""Until everything has arrived, only what changes take away is in force; the rest waits for it."""

from gateway.contract import digest
from gateway.contract.stream import LimitSetting, LimitsRecord, ProjectRecord, TenantRecord
from gateway.proxy.config_build import IndexBuilder, NarrowingBuilder
from gateway.proxy.config_store import ConfigStore
from tests.gateway.config_lines import (
    FIRST,
    SECOND,
    SECRETS,
    THIRD,
    Unpacker,
    changes,
    everything,
    index_of,
    key,
    models_of,
    revoked,
)
from tests.gateway.proxy_fixtures import MODEL


def narrowed(index, begins_at, body):
    builder = NarrowingBuilder(index, begins_at)
    for line in Unpacker().feed(body):
        builder.take(line)
    return builder


def from_disk(directory, whole, *messages):
    """The index of a gateway that starts with these on its disk."""
    (directory / "snapshot.json").write_bytes(whole)
    (directory / "snapshot.changes").write_bytes(b"".join(messages))
    return ConfigStore(directory / "snapshot.json").load()


def test_of_changes_beyond_an_unnamed_one_only_what_they_take_away_is_in_force(tmp_path):
    old = index_of(everything(1, key(FIRST), key(SECOND), ends={MODEL: 100, "other": 100}))
    granted = ProjectRecord(id="project", slug="p", tenant_id="tenant", grant_ends={MODEL: 50, "new": 200})
    body = changes(
        7,
        tenants=[TenantRecord(id="elsewhere", slug="elsewhere")],
        projects=[granted, ProjectRecord(id="theirs", slug="t", tenant_id="elsewhere")],
        keys=[key(THIRD), key(SECOND, networks=["10.0.0.0/8"], models=[MODEL, "new"])],
        limits=[
            LimitsRecord(
                scope="project",
                scope_id="project",
                limits=[LimitSetting(id="one", kind="requests_per_minute", value=3)],
            )
        ],
        **revoked(FIRST),
    )
    builder = narrowed(old, 7, body)
    new = builder.index()
    assert (new.revision, new.state, len(new.keys)) == (1, "s1", 1)
    assert [models_of(new, number) for number in range(3)] == [None, [MODEL], None]
    found = new.keys.get(digest(SECRETS[SECOND])).config
    assert (found.networks, found.grant_ends, [limit.id for limit in found.limits]) == (
        ["10.0.0.0/8"],
        {MODEL: 50},
        ["one"],
    )
    again = from_disk(tmp_path, everything(1, key(FIRST), key(SECOND), ends={MODEL: 100, "other": 100}), body)
    assert (again.revision, again.state) == (1, "s1")
    assert again.keys.get(digest(SECRETS[SECOND])).config == found
    assert models_of(again, FIRST) is None


def test_classes_of_data_hold_while_everything_arrives(tmp_path):
    """Without its class, a confidential project's calls could go to a target for internal data."""
    old = index_of(everything(1, key(FIRST)))
    confidential = ProjectRecord(
        id="project",
        slug="p",
        tenant_id="tenant",
        grant_ends={MODEL: 50, "new": 50},
        data_classes={MODEL: "confidential", "new": "public"},
    )
    body = changes(7, projects=[confidential])
    kept = from_disk(tmp_path, everything(1, key(FIRST)), body)
    for index in (narrowed(old, 7, body).index(), kept):
        config = index.keys.get(digest(SECRETS[FIRST])).config
        assert (config.models, config.data_classes) == ([MODEL], {MODEL: "confidential"})


def test_a_tenant_that_is_resumed_opens_its_keys_again_only_with_everything():
    """Between the two one of its keys may have been revoked, and what said so is still arriving."""
    stopped = index_of(changes(1, removed_tenants=["tenant"]), index_of(everything(1, key(FIRST))))
    resumed = changes(7, tenants=[TenantRecord(id="tenant", slug="lab")])
    assert models_of(narrowed(stopped, 7, resumed).index()) is None


def test_limits_that_are_gone_are_forgotten_when_everything_was_brought_up_to_date():
    limits = [LimitSetting(id="one", kind="requests_per_minute", value=3)]
    old = index_of(everything(1, key(FIRST)))
    old = index_of(changes(1, limits=[LimitsRecord(scope="key", scope_id="key-0", limits=limits)]), old)
    assert models_of(old)
    assert "one" in old.limit_ids
    builder = IndexBuilder(index_of(everything(5, key(FIRST)), old), is_rebuilt=True)
    for line in Unpacker().feed(changes(5, keys=[key(SECOND)])):
        builder.take(line)
    assert "one" not in builder.index().limit_ids
