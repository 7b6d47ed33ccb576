"""What a gateway is told: exactly what may be used now, at one moment, at a flat cost."""

import threading
from contextvars import copy_context
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from catalog.models import Grant
from gateway.compile import compile_snapshot
from gateway.contract import ConfigSnapshot, decode, encode
from tenants.actions import set_limits
from tenants.models import ApiKey, Tenant
from tenants.revision import raise_revision
from tenants.suspension import restore_access, suspend_access
from tests.factories import CatalogModelFactory, ProjectFactory, TenantFactory
from tests.gateway.granted import RouteEntryFactory, grant, key_for


def the_key(snapshot):
    [key] = snapshot.keys
    return key


def test_a_granted_model_can_be_called_with_the_key_until_the_grant_ends(project):
    model = CatalogModelFactory(name="llama-4")
    key = key_for(project, model)
    told = the_key(compile_snapshot())
    assert (told.digest, told.models, told.tenant_slug) == (key.digest, ["llama-4"], "lab")
    assert told.grant_ends == {
        "llama-4": int(Grant.objects.across_tenants().get(item__key=key).valid_until.timestamp())
    }


def test_a_key_opens_only_models_that_its_own_list_and_a_grant_both_name(project):
    granted, listed = CatalogModelFactory(name="granted"), CatalogModelFactory(name="listed")
    key = key_for(project, listed)
    grant(key, granted)
    Grant.objects.across_tenants().filter(item__key=key, model=listed).update(revoked_at=now())
    assert the_key(compile_snapshot()).models == []


@pytest.mark.parametrize(
    "change",
    [
        {"valid_until": now() - timedelta(seconds=1)},
        {"valid_from": now() + timedelta(hours=1)},
        {"revoked_at": now()},
    ],
)
def test_a_grant_that_ended_or_has_not_begun_opens_nothing(project, change):
    key = key_for(project, CatalogModelFactory())
    Grant.objects.across_tenants().filter(item__key=key).update(**change)
    assert the_key(compile_snapshot()).models == []


def test_a_grant_of_another_project_opens_nothing(project):
    model = CatalogModelFactory()
    elsewhere = ProjectFactory(tenant=project.tenant)
    key_for(elsewhere, model)
    key = key_for(project)
    ApiKey.objects.across_tenants().filter(pk=key.pk).update(model_names=[model.name])
    told = {one.key_id: one.models for one in compile_snapshot().keys}
    assert told[str(key.pk)] == []


def test_keys_that_are_revoked_expired_or_of_a_suspended_tenant_are_absent(project):
    model = CatalogModelFactory()
    key_for(project, model, state="revoked", revoked_at=now())
    key_for(project, model, expires_at=now() - timedelta(seconds=1))
    suspended = TenantFactory(status=Tenant.Status.SUSPENDED)
    key_for(ProjectFactory(tenant=suspended), model)
    assert compile_snapshot().keys == []


def test_a_key_whose_owner_lost_what_it_depended_on_is_absent_until_it_comes_back(project, developer):
    key_for(project, CatalogModelFactory(), owner=developer)
    suspend_access(developer, tenant=project.tenant, reason="left the group", by=None)
    assert compile_snapshot().keys == []
    restore_access(developer, tenant=project.tenant, by=None)
    assert len(compile_snapshot().keys) == 1


def test_every_limit_that_binds_a_key_is_with_it_and_money_is_in_nano_units(project):
    model, other = CatalogModelFactory(name="this"), CatalogModelFactory(name="other")
    key = key_for(project, model)
    set_limits(project.tenant, {"money_per_month": Decimal("12.34567891")}, by=None)
    set_limits(project.tenant, {"requests_per_minute": Decimal(3)}, by=None, project=project, model="this")
    set_limits(project.tenant, {"tokens_per_day": Decimal(9)}, by=None, key=key)
    set_limits(project.tenant, {"tokens_per_day": Decimal(1)}, by=None, project=project, model=other.name)
    set_limits(TenantFactory(), {"tokens_per_day": Decimal(1)}, by=None)
    told = [(one.scope, one.kind, one.value, one.model) for one in the_key(compile_snapshot()).limits]
    assert told == [
        ("tenant", "money_per_month", 12_345_678_910, None),
        ("project", "requests_per_minute", 3, "this"),
        ("key", "tokens_per_day", 9, None),
    ]


def test_a_tenants_limit_is_one_counter_over_all_of_its_keys(project):
    model = CatalogModelFactory()
    key_for(project, model)
    key_for(project, model)
    set_limits(project.tenant, {"concurrent_calls": Decimal(2)}, by=None)
    first, second = compile_snapshot().keys
    assert [one.id for one in first.limits] == [one.id for one in second.limits]


@pytest.mark.django_db
def test_a_route_names_its_backends_and_the_model_that_they_expect():
    entry = RouteEntryFactory(
        urls=["http://127.0.0.1:9000/v1/"], weight=3, deployment__version__upstream_name="weights-1"
    )
    entry.target.deployment.cluster.region = "eu-central"
    entry.target.deployment.cluster.save()
    [route] = compile_snapshot().routes
    [told] = route.targets
    assert route.model == entry.route.model.name
    assert told.id == str(entry.target.pk)
    assert (told.addresses, told.upstream_model, told.weight, told.regions) == (
        ["http://127.0.0.1:9000/v1"],
        "weights-1",
        3,
        ["eu-central"],
    )


@pytest.mark.django_db
def test_a_model_that_gateways_cannot_serve_is_not_routed():
    model = RouteEntryFactory().route.model
    model.mode = "video_generation"
    model.save()
    assert compile_snapshot().routes == []


@pytest.mark.django_db
def test_the_number_of_queries_does_not_grow_with_tenants_keys_and_routes():
    def fill(times):
        for _ in range(times):
            project = ProjectFactory(tenant=TenantFactory())
            key = key_for(project, RouteEntryFactory().route.model)
            set_limits(project.tenant, {"tokens_per_day": Decimal(9)}, by=None, key=key)

    fill(1)
    with CaptureQueriesContext(connection) as one:
        compile_snapshot()
    fill(6)
    with CaptureQueriesContext(connection) as many:
        assert len(compile_snapshot().keys) == 7
    assert len(many) == len(one)


def test_a_snapshot_survives_the_wire(project):
    key_for(project, CatalogModelFactory(), networks=["10.0.0.0/8"], expires_at=now() + timedelta(days=1))
    set_limits(project.tenant, {"tokens_per_day": Decimal(9)}, by=None)
    snapshot = compile_snapshot()
    assert decode(ConfigSnapshot, encode(snapshot)) == snapshot


@pytest.mark.django_db(transaction=True)
def test_a_change_committed_while_a_snapshot_is_made_is_not_half_in_it(project, monkeypatch):
    """The revision is read first: rows of a later revision would be told under a number that lacks them."""
    from gateway import compile as module

    key = key_for(project, CatalogModelFactory())
    before = raise_revision()

    def revoke_and_raise():
        with transaction.atomic():
            ApiKey.objects.across_tenants().filter(pk=key.pk).update(state="revoked", revoked_at=now())
            raise_revision()
        connection.close()

    def read_then_change():
        number = real()
        other = threading.Thread(target=copy_context().run, args=[revoke_and_raise])
        other.start()
        other.join()
        return number

    real = module.current_revision
    monkeypatch.setattr(module, "current_revision", read_then_change)
    snapshot = compile_snapshot()
    assert (snapshot.revision, len(snapshot.keys)) == (before, 1)
    monkeypatch.undo()
    assert (compile_snapshot().revision, compile_snapshot().keys) == (before + 1, [])
