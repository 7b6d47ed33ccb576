"""A tenant that moves to another time zone: its limits are told, and nobody else's."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.contract.stream import ConfigRecords, Unpacker
from gateway.contract.versions import PartReader
from gateway.proxy.config_build import IndexBuilder
from tenants.actions import change_tenant, set_limits
from tenants.revision import raise_revision
from tests.factories import CatalogModelFactory, ProjectFactory
from tests.gateway.granted import compiled, compiled_changes, key_for


@pytest.mark.django_db
def test_a_new_time_zone_travels_as_the_limits_of_that_tenant(project, owner, stranger_project):
    keys = [key_for(one, CatalogModelFactory()) for one in (project, project, stranger_project)]
    ten = {"tokens_per_day": Decimal(10)}
    set_limits(project.tenant, ten, by=None)
    set_limits(project.tenant, ten, by=None, project=project)
    set_limits(project.tenant, ten, by=None, key=keys[0])
    set_limits(stranger_project.tenant, ten, by=None)
    raise_revision()
    builder = IndexBuilder(None)
    for line in Unpacker().feed(compiled()):
        builder.take(line)
    index = builder.index()

    change_tenant(project.tenant.pk, by=owner, timezone="Asia/Tokyo")

    found = compiled_changes(index.revision, index.state)
    assert found is not None, "everything is told, of all tenants"
    builder = IndexBuilder(index)
    limited = set()
    reader = PartReader()
    for line in Unpacker().feed(found[1]):
        builder.take(line)
        part = reader.read(line)
        if isinstance(part, ConfigRecords):
            limited.update(record.scope_id for record in part.limits)
            assert not part.keys
    assert limited == {str(project.tenant.pk), str(project.pk), str(keys[0].pk)}
    zones = {
        limit.time_zone for key in keys[:2] for limit in builder.index().keys.get(key.digest).config.limits
    }
    assert zones == {"Asia/Tokyo"}
    [other] = builder.index().keys.get(keys[2].digest).config.limits
    assert other.time_zone == "UTC"


@pytest.fixture
def stranger_project(db):
    return ProjectFactory()
