"""A configuration is published only once it is proved to permit no more than the rows do."""

import re
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils.timezone import now

from audit.models import AuditEntry
from deployments.degrading import Degrading, change_degrading
from deployments.fallbacks import change_fallbacks
from deployments.models import Provider
from deployments.routes import EntryPlan, change_route, make_routable, plan_of
from gateway import records
from gateway.compile import compile_snapshot, prove_again
from gateway.contract.stream import Unpacker
from gateway.corrections import Publishable
from gateway.models import ConfigRefusal
from gateway.proof import Proof
from gateway.proxy.config_build import IndexBuilder
from gateway.snapshots import SharedSnapshots
from tenants.actions.tenancy import change_tenant
from tenants.revision import current_revision, raise_revision
from tests.factories import (
    CatalogModelFactory,
    ProjectFactory,
    ProviderFactory,
    ProviderModelFactory,
    member_of,
    staff,
)
from tests.gateway.granted import RouteEntryFactory, compiled, compiled_changes, grant, key_for, registered

CONFIG = "/internal/v1/config"
LINES = {"Accept": "application/vnd.quartermaster.config", "x-contract-versions": "1,2"}


@pytest.fixture
def project(db):
    """A tenant bound to eu, and a model with a target inside, one outside, and a provider for public data only."""
    project = ProjectFactory(tenant__regions=["eu"], tenant__slug="lab", slug="search")
    model = CatalogModelFactory(name="spread")
    for number, region in enumerate(["eu-central-1", "us-east-1"]):
        route = RouteEntryFactory(
            deployment__version__model=model,
            deployment__version__version=str(number),
            deployment__cluster__region=region,
        ).route
    provider = ProviderFactory(highest_data_class="public", regions=["eu"])
    make_routable([listed := ProviderModelFactory(provider=provider, model=model)])
    change_route(route.pk, [*plan_of(route), EntryPlan(listed.target.pk)], based_on=route.generation, by=None)
    project.key, project.model = key_for(project, model), model
    return project


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No compilation of another test, which ended at the same revision."""
    monkeypatch.setattr("gateway.views.shared_snapshots", SharedSnapshots())


def alter(monkeypatch, name, **fields):
    """Let a function of `gateway.records` give records with other values, as a fault in it would."""
    real = getattr(records, name)
    monkeypatch.setattr(records, name, lambda *args: iter([_with(one, fields) for one in real(*args)]))


def _with(one, fields):
    return type(one)(**{field: getattr(one, field) for field in one.__struct_fields__} | fields)


def alter_targets(monkeypatch, **fields):
    real = records.target_config

    def other(*args):
        config = real(*args)
        return config if config is None else _with(config, fields)

    monkeypatch.setattr(records, "target_config", other)


def everything(version):
    return compiled(version)


def read(body, index=None):
    """What a gateway serves once it has got this; `index` if these are changes."""
    builder = IndexBuilder(index)
    for line in Unpacker().feed(body):
        builder.take(line)
    return builder.index()


@contextmanager
def refused(words):
    """Expect that a part is refused with these words. Yields the row that the audit entry names."""
    ConfigRefusal.objects.all().delete()
    row = {}
    yield row
    assert re.search(words, ConfigRefusal.objects.get().reason)
    entries = AuditEntry.objects.across_tenants().filter(verb="configuration.refused")
    row.update(entries.latest("pk").details["row"])


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_rows_permit_is_proved(project, version):
    raise_revision()
    assert everything(version)
    assert compile_snapshot(version).routes


@pytest.mark.parametrize(
    ("function", "fields", "words"),
    [
        ("tenant_records", {"regions": []}, "Tenant lab would get regions"),
        ("tenant_records", {"may_degrade": True}, "Tenant lab would get smaller models"),
        ("project_records", {"data_classes": {}}, "may not receive that class"),
        ("project_records", {"data_classes": {"spread": "public"}}, "may not receive that class"),
        ("project_records", {"grant_ends": {"spread": 2**40}}, "not granted to it for that long"),
        ("project_records", {"grant_ends": {"another": 5}}, "another, which is not granted"),
    ],
)
def test_records_that_permit_too_much_are_not_published(project, monkeypatch, function, fields, words):
    alter(monkeypatch, function, **fields)
    for compile_all in (lambda: everything(2), compile_snapshot):
        with refused(words):
            compile_all()


@pytest.mark.parametrize(
    ("function", "fields"),
    [
        ("tenant_records", {"regions": []}),
        ("tenant_records", {"may_degrade": True}),
        ("project_records", {"data_classes": {}}),
        ("project_records", {"data_classes": {"spread": "public"}}),
        ("project_records", {"grant_ends": {"spread": 2**40}}),
        ("project_records", {"grant_ends": {"spread": 2**40, "another": 5}}),
    ],
)
def test_records_that_permit_too_much_are_published_as_the_rows_have_them(
    project, monkeypatch, function, fields
):
    right, whole = read(everything(2)).keys.get(project.key.digest).config, compile_snapshot().keys
    alter(monkeypatch, function, **fields)
    assert read(everything(2)).keys.get(project.key.digest).config == right
    assert compile_snapshot().keys == whole


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"regions": ["eu"]}, "lies outside the tenant's regions"),
        ({"highest_data_class": "restricted"}, "may not receive that class"),
        ({"id": "0198c5b0-0000-7000-8000-000000000000"}, "its route does not have"),
    ],
)
def test_targets_that_say_too_much_are_not_published(project, monkeypatch, fields, words):
    alter_targets(monkeypatch, **fields)
    with refused(words) as row:
        index = read(everything(2))
    assert row["model"] == "spread"
    # None was proved before.
    assert index.route("spread") is None


def test_a_target_of_one_tenant_is_kept_from_all_others(project, monkeypatch):
    other = ProjectFactory(slug="other")
    entry = RouteEntryFactory(
        deployment__version__model=project.model,
        deployment__version__version="9",
        deployment__cluster__region="eu-west-1",
        deployment__only_tenant=other.tenant,
    )
    assert everything(2)
    alter_targets(monkeypatch, only_tenant=None, regions=["eu"], highest_data_class="restricted")
    type(entry.route.entries.first()).objects.exclude(pk=entry.pk).update(weight=0)
    with refused("another tenant only"):
        everything(2)


def test_an_old_gateway_is_not_told_of_a_model_with_a_forbidden_target(project, monkeypatch):
    monkeypatch.setattr("gateway.contract.versions.Downgrade._is_safe", lambda *args: True)
    for compile_all in (lambda: read(everything(1)).keys.get(project.key.digest).config, whole_first):
        with refused("outside the tenant's regions"):
            key = compile_all()
        assert key.models == []


def whole_first():
    [key] = compile_snapshot(1).keys
    return key


def test_changed_routes_are_proved_for_every_policy_that_gateways_have(project, monkeypatch):
    raise_revision()
    index = read(everything(2))
    alter_targets(monkeypatch, regions=["eu"])
    raise_revision(routing=True)
    with refused("outside the tenant's regions"):
        compiled_changes(index.revision, index.state)


def test_a_changed_tenant_is_proved_with_the_projects_that_gateways_have(project, monkeypatch):
    raise_revision()
    change_tenant(project.tenant.pk, by=(owner := member_of(project.tenant, "owner")), regions=[])
    index = read(everything(2))
    change_tenant(project.tenant.pk, by=owner, regions=["eu"])
    assert compiled_changes(index.revision, index.state)
    # As if gateways ignored regions.
    monkeypatch.setattr("gateway.proxy.index.may_receive", lambda *args: True)
    with refused("outside the tenant's regions"):
        _, body = compiled_changes(index.revision, index.state)
    [left] = read(body, index).route("spread").config.targets
    assert left.regions == ["eu-central-1"]


def fall_back(route):
    change_fallbacks(route.pk, ["stand-in"], based_on=route.generation, by=None)


def degrade(route):
    change_degrading(route.pk, Degrading("stand-in", 80), based_on=route.generation, by=None)


@pytest.mark.parametrize("name_it", [fall_back, degrade])
def test_another_model_is_proved_with_the_class_of_data_of_the_one_that_was_asked_for(
    project, monkeypatch, name_it
):
    other = CatalogModelFactory(name="stand-in")
    make_routable([listed := ProviderModelFactory(provider=ProviderFactory(regions=["eu"]), model=other)])
    Provider.objects.filter(pk=listed.provider_id).update(highest_data_class="internal")
    change_route(other.route.pk, [EntryPlan(listed.target.pk)], based_on=0, by=None)
    key_for(project, other)
    project.model.route.refresh_from_db()
    name_it(project.model.route)
    raise_revision()
    index = read(everything(2))
    # As if gateways forgot that the call may contain data of a higher class.
    grant(key_for(project), project.model, data_class="restricted")
    assert everything(2)
    assert compiled_changes(index.revision, index.state)
    monkeypatch.setattr("gateway.proof.may_stand_in", lambda *classes: True)
    with refused("may not receive that class") as row:
        index = read(everything(2))
    assert (row["model"], row["asked_model"]) == ("stand-in", "spread")
    assert index.keys.get(project.key.digest).config.models == []


def test_a_changed_project_is_proved(project, monkeypatch):
    raise_revision()
    index = read(everything(2))
    raise_revision(projects=[project.pk])
    assert compiled_changes(index.revision, index.state)
    alter(monkeypatch, "project_records", grant_ends={"spread": 2**40})
    with refused("for that long"):
        _, body = compiled_changes(index.revision, index.state)
    ends = read(body, index).keys.get(project.key.digest).config.grant_ends
    assert ends == index.keys.get(project.key.digest).config.grant_ends


@pytest.mark.parametrize("headers", [LINES, {"x-contract-versions": "1,2"}])
def test_a_refused_configuration_reaches_no_gateway_and_raises_an_alarm(
    project, client, monkeypatch, headers
):
    # As if what replaces the parts at fault were at fault itself.
    monkeypatch.setattr("gateway.publishing.publishable", lambda routing, last: Publishable(routing, []))
    monkeypatch.setattr("gateway.corrections.Corrector.corrected", lambda self, part: part)
    alter_targets(monkeypatch, regions=["eu"])
    revision = raise_revision()
    _, token = registered()
    for _ in range(2):
        answer = client.get(CONFIG, {"after": 0}, headers={**token, **headers})
        assert (answer.status_code, answer.json()["code"]) == (503, "configuration_refused")
        assert answer["Retry-After"] == "5"
    entry = AuditEntry.objects.across_tenants().get(verb="configuration.refused")
    assert entry.details["revision"] == revision
    assert entry.details["row"]["model"] == "spread"
    assert "outside the tenant's regions" in ConfigRefusal.objects.get().reason
    client.force_login(staff("operator"))
    assert "a part is not published" in client.get("/admin/gateway/gateway/").content.decode()


def test_once_it_is_mended_gateways_get_the_whole(project, client, monkeypatch):
    assert not prove_again()
    with monkeypatch.context() as broken:
        alter_targets(broken, regions=["eu"])
        raise_revision()
        index = read(everything(2))
        assert index.route("spread") is None
        assert not prove_again()
        client.force_login(operator := staff("operator"))
        # However long nobody asks.
        ConfigRefusal.objects.update(refused_at=now() - timedelta(days=9))
        assert "a part is not published" in client.get("/admin/gateway/gateway/").content.decode()
    # A release that mends it changes no row, so the console looks again by itself.
    assert prove_again()
    assert current_revision() > index.revision
    assert compiled_changes(index.revision, index.state) is None
    assert len(read(everything(2)).route("spread").config.targets) == 3
    assert AuditEntry.objects.across_tenants().filter(verb="configuration.proved").count() == 1
    client.force_login(operator)
    assert "a part is not published" not in client.get("/admin/gateway/gateway/").content.decode()


def test_each_pair_of_policy_and_route_is_looked_at_once(project, monkeypatch):
    for number in range(20):
        key_for(ProjectFactory(tenant=project.tenant, slug=f"more-{number}"), project.model)
    looked = []
    real = Proof._faults_of
    monkeypatch.setattr(
        Proof,
        "_faults_of",
        lambda self, model, *policies: looked.append(model) or real(self, model, *policies),
    )
    everything(2)
    assert looked == ["spread"] * 2, (
        "21 projects share one policy: once for the routes, once for the projects"
    )


def test_the_proof_takes_a_fixed_number_of_queries(project):
    def queries():
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as seen:
            everything(2)
        return len(seen)

    before = queries()
    for number in range(5):
        key_for(ProjectFactory(slug=f"more-{number}"), CatalogModelFactory())
    assert queries() == before
