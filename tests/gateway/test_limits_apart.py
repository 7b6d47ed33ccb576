"""Limits that cannot be read hold nothing else back, and let nobody do more: what they are set on makes no calls."""

import asyncio
from decimal import Decimal

import pytest
from django.db import connection

from audit.models import AuditEntry
from gateway import apart, used
from gateway.compile import compile_snapshot, prove_again
from gateway.models import ConfigRefusal
from gateway.proxy.limits import LEAST, LimitReached, MemoryLimiter
from tenants.actions import set_limits
from tenants.models import Limit
from tenants.revision import raise_revision
from tests.gateway.granted import compiled, compiled_changes
from tests.gateway.test_held_back import World, read, revoke

pytestmark = pytest.mark.django_db
LARGEST = Decimal(10) ** 12 - 1


@pytest.fixture
def world():
    return World()


def spoil(limit, column, value):
    """Write what no action writes, and the database allows; gateways hear of it with the next revision."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE tenants_limit SET {column} = %s WHERE id = %s", [value, limit.pk])
    raise_revision(limits=[limit.key_id or limit.project_id or limit.tenant_id])


NO_NUMBER, NO_KIND = ("value", "NaN"), ("kind", "calls_per_moon")


def limit_on(world, scope):
    """A limit on the free tenant, its project or its key."""
    key = world.keys[2]
    where = {"project": {"project": key.project}, "key": {"key": key}}.get(scope, {})
    set_limits(key.tenant, {"tokens_per_day": Decimal(500)}, by=None, **where)
    rows = Limit.objects.in_tenant(key.tenant)
    return rows.get(project=where.get("project"), key=where.get("key"), kind="tokens_per_day")


def calls(index, key):
    """Whether a gateway with this index admits the smallest call of a key; what it says if not."""
    known = index.keys.get(key.digest)

    async def call():
        try:
            await MemoryLimiter().admit(known.config.limits, LEAST, known.config.tenant_id)
        except LimitReached as refusal:
            return str(refusal)
        return True

    return asyncio.run(call())


CLOSED = "limit of 0 requests per minute allows no calls"


@pytest.mark.parametrize(
    ("scope", "column", "value", "version"),
    [
        ("tenant", *NO_NUMBER, 1),
        ("tenant", *NO_KIND, 2),
        ("project", *NO_NUMBER, 2),
        ("project", *NO_KIND, 1),
        ("key", *NO_NUMBER, 2),
        ("key", *NO_KIND, 2),
    ],
)
def test_limits_that_cannot_be_read_hold_back_no_revocation_and_open_nothing(
    world, scope, column, value, version
):
    limit = limit_on(world, scope)
    index = read(compiled(version))
    assert calls(index, world.keys[2]) is True
    spoil(limit, column, value)
    holds = revoke(world)
    _, body = compiled_changes(index.revision, index.state, version)
    changed = read(body, index)
    for after in (changed, read(compiled(version))):
        assert holds(after)
        assert calls(after, world.lasting) is True
        assert CLOSED in calls(after, world.keys[2])
    refusal = ConfigRefusal.objects.get()
    assert refusal.stands
    place = {"tenant": world.free.tenant, "project": world.free, "key": world.keys[2]}[scope]
    assert (
        f"The limits of the {scope} {place.pk} cannot be read, so all its calls are refused" in refusal.reason
    )
    assert value in refusal.reason
    assert AuditEntry.objects.across_tenants().filter(verb="configuration.refused").exists()

    # A change of the key, which brings its tenant and project again, opens it no more.
    raise_revision(keys=[world.keys[2].pk], tenants=[world.free.tenant.pk], projects=[world.free.pk])
    _, body = compiled_changes(changed.revision, changed.state, version)
    assert CLOSED in calls(read(body, changed), world.keys[2])
    assert not prove_again()

    spoil(limit, column, {"value": "500", "kind": "tokens_per_day"}[column])
    _, body = compiled_changes(changed.revision, changed.state, version)
    assert calls(read(body, changed), world.keys[2]) is True
    assert prove_again()


def test_a_snapshot_of_one_piece_has_them_closed_too(world):
    spoil(limit_on(world, "tenant"), "value", "NaN")
    keys = {key.digest: key for key in compile_snapshot().keys}
    assert [(limit.kind, limit.value) for limit in keys[world.keys[2].digest].limits] == [
        ("requests_per_minute", 0)
    ]
    assert not any(limit.value == 0 for limit in keys[world.lasting.digest].limits)


def test_the_page_of_gateways_says_what_is_closed_and_why(world, client):
    spoil(limit_on(world, "tenant"), "kind", "calls_per_moon")
    compiled()
    client.force_login(world.operator)
    page = client.get("/admin/gateway/gateway/").content.decode()
    assert str(world.free.tenant.pk) in page
    assert "calls_per_moon" in page


def test_where_more_cannot_be_read_than_a_few_nothing_is_published(world, monkeypatch):
    """The code is at fault then, and gateways keep what they have."""
    monkeypatch.setattr(apart, "MOST_APART", 1)
    for scope in ("tenant", "key"):
        spoil(limit_on(world, scope), "value", "NaN")
    with pytest.raises(ValueError, match="NaN"):
        compiled()


@pytest.mark.parametrize("version", [1, 2])
def test_the_largest_limit_that_may_be_set_reaches_gateways(world, version):
    """In billionths it has more than 64 bits, which no gateway could keep."""
    set_limits(world.free.tenant, {"money_per_month": LARGEST}, by=None)
    index = read(compiled(version))
    money = [
        one for one in index.keys.get(world.keys[2].digest).config.limits if one.kind == "money_per_month"
    ]
    assert [one.value for one in money] == [used.MOST]
    assert calls(index, world.keys[2]) is True


def test_more_used_than_a_gateway_can_count_is_all_that_it_can_count():
    assert used._in_64_bits(str(10**30)) == used.MOST
    assert used._in_64_bits("-5") == 0
    assert used._in_64_bits("7") == 7
