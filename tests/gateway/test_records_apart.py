"""A row that cannot be compiled, or a route that an older gateway could not read, holds nothing else back."""

from contextlib import contextmanager

import msgspec
import pytest
from django.utils.timezone import now

from gateway import apart, proof, records
from gateway.compile import prove_again
from gateway.contract import versions
from gateway.models import ConfigRefusal
from tenants.models import ApiKey
from tenants.revision import raise_revision
from tests.gateway.granted import compiled, compiled_changes
from tests.gateway.test_held_back import World, read, revoke

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return World()


def models_of(index, key):
    known = index.keys.get(key.digest)
    return sorted(known.config.models) if known else []


@contextmanager
def unreadable(kind, *rows):
    """Let the records of these rows fail while they are compiled, as an odd value in a column would."""
    real = getattr(records, f"{kind}_records")
    odd = {str(row.pk) for row in rows}

    def compile_some(ids=None):
        for record in real(ids):
            if (record.key_id if kind == "key" else record.id) in odd:
                raise OverflowError("an odd row")
            yield record

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, f"{kind}_records", compile_some)
        yield


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["tenant", "project", "key"])
def test_a_record_that_cannot_be_compiled_holds_back_no_other(world, kind, version):
    index = read(compiled(version))
    assert models_of(index, world.keys[2])
    row = {"tenant": world.free.tenant, "project": world.free, "key": world.keys[2]}[kind]
    raise_revision(
        tenants=[world.free.tenant.pk, world.bound.tenant.pk],
        projects=[world.free.pk, world.bound.pk],
        keys=[key.pk for key in world.keys],
    )
    with unreadable(kind, row):
        # Their row is there before the one at fault, and after it.
        ApiKey.objects.across_tenants().filter(pk=world.keys[0].pk).update(state="revoked", revoked_at=now())
        raise_revision(keys=[world.keys[0].pk])
        _, body = compiled_changes(index.revision, index.state, version)
        for after in (read(body, index), read(compiled(version))):
            assert after.keys.get(world.keys[0].digest) is None
            assert models_of(after, world.lasting) == models_of(index, world.lasting)
            assert not models_of(after, world.keys[2])
        refusal = ConfigRefusal.objects.get()
        assert refusal.stands
        assert f"{row.pk} cannot be compiled and opens nothing" in refusal.reason
    assert prove_again()
    assert models_of(read(compiled(version)), world.keys[2]) == models_of(index, world.keys[2])


def test_where_more_cannot_be_compiled_than_a_few_nothing_is_left_out(world, monkeypatch):
    """The code is at fault then, and gateways keep what they have."""
    monkeypatch.setattr(apart, "MOST_APART", 1)
    with unreadable("key", *world.keys[:2]), pytest.raises(OverflowError):
        compiled()


@pytest.mark.parametrize("how", ["raises", "unreadable"])
def test_a_route_that_only_version_1_cannot_have_holds_nothing_back_there(world, how, monkeypatch):
    index = read(compiled(1))
    assert "two" in index.routes
    real = versions.downgraded_route

    def downgraded(route):
        if route.model != "two":
            return real(route)
        if how == "raises":
            raise KeyError("an odd route")
        first = real(route)
        return msgspec.structs.replace(
            first, backends=[msgspec.structs.replace(one, url="ftp://odd/v1") for one in first.backends]
        )

    monkeypatch.setattr(versions, "downgraded_route", downgraded)
    monkeypatch.setattr(proof, "downgraded_route", downgraded)
    holds = revoke(world)
    raise_revision(routing=True)
    first = compiled_changes(index.revision, index.state, 1)
    bodies = [compiled(1)] if first is None else [compiled(1), first[1]]
    for body in bodies:
        after = read(body, index if body is not bodies[0] else None)
        assert holds(after)
        assert {"one", "three"} <= after.routes.keys()
        assert "ftp" not in repr(after.routes)
    reason = ConfigRefusal.objects.get().reason
    assert "of two" in reason
    # Gateways of version 2 have it as it is.
    assert "two" in read(compiled(2)).routes
