"""A report holds its own tenant's costs, and its file is handed to nobody else."""

from __future__ import annotations

from datetime import date

import pytest
from django.utils.timezone import now

from billing.cost_reports import ask_for_cost_report
from billing.ingest import record_usage
from core.ids import uuid7
from exports import tasks
from exports.files import path_of
from exports.models import Export
from tests.factories import ApiKeyFactory, ProjectFactory
from tests.usage_records import usage_record

MONTH = {"start_day": date(2026, 10, 1), "end_day": date(2026, 10, 31)}


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@pytest.fixture
def two_reports(transactional_db, lab, owner, stranger):
    """A report of the lab and one of elsewhere, both built; each tenant made a call in both months."""
    built = []
    for person in (owner, stranger):
        tenant = person.memberships.get().tenant
        project = ProjectFactory(tenant=tenant, slug=f"of-{tenant.slug}", name=f"Of {tenant.slug}")
        key = ApiKeyFactory(tenant=tenant, project=project)
        moment = now().replace(year=2026, month=10, day=14)
        model = f"model-of-{tenant.slug}"
        call = usage_record(event_id=uuid7(), key_id=key.pk, model=model, occurred_at=moment, input=9)
        record_usage("gateway", [call])
        built.append(ask_for_cost_report(tenant, by=person, **MONTH))
    for export in built:
        tasks.build_export(str(export.tenant_id), str(export.pk))
    return [Export.objects.across_tenants().get(pk=export.pk) for export in built]


def test_a_file_holds_the_rows_of_its_tenant_alone(two_reports):
    for export, own, foreign in zip(two_reports, ("lab", "elsewhere"), ("elsewhere", "lab"), strict=True):
        text = path_of(export).read_text()
        assert f"of-{own}" in text
        assert f"of-{foreign}" not in text
        assert f"model-of-{foreign}" not in text


def test_a_file_is_not_handed_over_the_wall(client, two_reports, owner, stranger):
    of_lab, of_elsewhere = two_reports
    for person, own, foreign in ((owner, of_lab, of_elsewhere), (stranger, of_elsewhere, of_lab)):
        client.force_login(person)
        slug = person.memberships.get().tenant.slug
        for export, status in ((own, 200), (foreign, 404)):
            for path in (
                f"/t/{slug}/exports/{export.pk}/download/",
                f"/api/v1/exports/{export.pk}/download/",
            ):
                assert client.get(path).status_code == status, path
        theirs = foreign.tenant.slug
        assert client.get(f"/t/{theirs}/exports/{foreign.pk}/download/").status_code == 404


def test_a_report_is_built_for_its_own_tenant_only(transactional_db, lab, owner, stranger):
    """A message with the wrong tenant builds nothing, and says nothing."""
    export = ask_for_cost_report(lab, by=owner, **MONTH)
    tasks.build_export(str(stranger.memberships.get().tenant_id), str(export.pk))
    export = Export.objects.across_tenants().get(pk=export.pk)
    assert (export.state, export.attempts) == ("queued", 0)
    assert not path_of(export).exists()
