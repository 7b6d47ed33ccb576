"""Only people say which targets serve a model; observation adds and removes addresses, and nothing else."""

from functools import partial
from unittest.mock import Mock

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction

from audit.models import AuditEntry
from config.demo import load
from core.errors import Conflict
from deployments.actions import create_deployment, delete_deployment, reconcile, watch_engines
from deployments.cluster.memory import MemoryCluster
from deployments.models import Deployment, Route, RouteEntry, Target, TargetAddress
from deployments.routes import EntryPlan, change_route, plan_of, plan_with, route_of
from gateway.compile import compile_snapshot
from gateway.contract.versions import downgraded_route, target_of
from tenants.revision import current_revision
from tests.concurrency import queued_at
from tests.factories import (
    CatalogModelFactory,
    ClusterFactory,
    DeploymentFactory,
    ModelVersionFactory,
    routed,
    staff,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment():
    return DeploymentFactory(name="first")


@pytest.fixture
def second(deployment):
    return DeploymentFactory(name="second", version=deployment.version, cluster=deployment.cluster)


@pytest.fixture
def route(deployment):
    return route_of(deployment.version.model)


def backends(route):
    [config] = [one for one in compile_snapshot().routes if one.model == route.model.name]
    return downgraded_route(config).backends


def changed(route, *entries, by=None, **options):
    return change_route(route.pk, entries, based_on=route.generation, by=by, **options)


def test_a_new_deployment_gets_no_traffic_until_somebody_adds_it_to_the_route(operator):
    created = create_deployment(ModelVersionFactory(), ClusterFactory(), 1, "fresh", by=operator)
    reconcile(created.pk, cluster=MemoryCluster())
    route = created.version.model.route
    assert (backends(route), created.gets_traffic) == ([], False)
    change_route(route.pk, plan_with(route, created.target), based_on=0, by=operator)
    [backend] = backends(route)
    assert (backend.id, backend.url) == (str(created.target.pk), "http://fresh.quartermaster.svc:8000/v1")


def test_the_demo_routes_its_engine_or_deploys_none(monkeypatch):
    """A run that was interrupted between the two would leave an engine that no later run routes."""
    ModelVersionFactory(model=CatalogModelFactory(name=load.DEMO_MODEL))
    with monkeypatch.context() as broken:
        broken.setattr(load, "change_route", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            load.load_engine()
    assert not Deployment.objects.exists()
    load.load_engine()
    load.load_engine()
    [entry] = RouteEntry.objects.all()
    assert (entry.target.deployment.name, entry.weight) == (load.DEMO_DEPLOYMENT, 1)


def test_an_observation_never_resets_weight_or_order(deployment, second, route):
    cluster = MemoryCluster()
    changed(route, EntryPlan(deployment.target.pk, 7, 0), EntryPlan(second.target.pk, 3, 2))
    before = list(RouteEntry.objects.order_by("pk").values())
    cluster.endpoint = "http://127.0.0.1:4444"
    reconcile(deployment.pk, cluster=cluster)
    cluster.endpoint = "http://127.0.0.1:5555"
    assert watch_engines(cluster=cluster) > 0
    assert [backend.url for backend in backends(route)] == ["http://127.0.0.1:5555/v1"]
    assert list(RouteEntry.objects.order_by("pk").values()) == before
    route.refresh_from_db()
    assert route.generation == 1, "whoever edits the route meanwhile is not disturbed"


def test_a_target_keeps_its_id_wherever_its_engine_goes(deployment, route):
    routed(deployment)
    cluster = MemoryCluster()
    ids = set()
    for port in (4444, 5555):
        cluster.endpoint = f"http://127.0.0.1:{port}"
        reconcile(deployment.pk, cluster=cluster)
        [backend] = backends(route)
        ids.add(backend.id)
    assert ids == {str(deployment.target.pk)}


def test_the_addresses_of_a_target_share_its_weight(deployment, second, route):
    routed(deployment, *(f"http://127.0.0.1:{port}/v1" for port in (1, 2, 3)), weight=3)
    routed(second, *(f"http://127.0.0.1:{port}/v1" for port in (4, 5)), weight=1)
    shares = {deployment.target: 0, second.target: 0}
    for backend in backends(route):
        shares[Target.objects.get(pk=target_of(backend.id))] += backend.weight
    assert shares[deployment.target] == 3 * shares[second.target]
    assert len({backend.id for backend in backends(route)}) == 5


def test_weight_zero_and_no_address_mean_no_calls(deployment, second, route):
    routed(deployment, "http://127.0.0.1:1/v1", weight=0)
    routed(second)
    assert backends(route) == []


def test_the_change_says_before_and_after_and_raises_the_revision(deployment, second, route, operator):
    routed(deployment)
    route.refresh_from_db()
    revision = current_revision()
    entries = EntryPlan(deployment.target.pk, 5, 1), EntryPlan(second.target.pk, 1)
    after = changed(route, *entries, by=operator)
    assert (current_revision(), after.revision, after.generation) == (revision + 1, revision + 1, 2)
    entry = AuditEntry.objects.across_tenants().filter(verb="route.changed").latest("at")
    assert (entry.actor_label, entry.changes) == (
        operator.email,
        {"first": ["weight 1, order 0", "weight 5, order 1"], "second": ["", "weight 1, order 0"]},
    )
    again = changed(after, *entries, by=operator)
    assert (again.generation, current_revision()) == (2, revision + 1), "the same again changes nothing"


def test_a_change_made_on_an_outdated_page_is_refused(deployment, second, route, operator):
    changed(route, EntryPlan(deployment.target.pk), by=operator)
    with pytest.raises(Conflict, match="Someone else changed this route first") as refused:
        changed(route, EntryPlan(second.target.pk), by=operator)
    assert refused.value.code == "route_changed"


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_at_once_one_wins(deployment, second, route):
    by = staff("operator")
    outcomes = queued_at(
        Route.objects.filter(pk=route.pk),
        partial(changed, route, EntryPlan(deployment.target.pk), by=by),
        partial(changed, route, EntryPlan(second.target.pk), by=by),
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Route"]
    assert RouteEntry.objects.count() == 1


def test_the_last_target_with_weight_goes_only_if_that_is_confirmed(deployment, route, operator):
    routed(deployment)
    route.refresh_from_db()
    for entries in ([], [EntryPlan(deployment.target.pk, 0)]):
        with pytest.raises(Conflict, match="nothing serves") as refused:
            changed(route, *entries, by=operator)
        assert refused.value.code == "route_would_be_empty"
    after = changed(route, by=operator, may_end_service=True)
    assert plan_of(after) == []


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (lambda ours, other: [EntryPlan(other.target.pk)], "serves .*, not"),
        (lambda ours, other: [EntryPlan(ours.target.pk), EntryPlan(ours.target.pk)], "once"),
        (lambda ours, other: [EntryPlan(ours.target.pk, 1001)], "weight of first"),
        (lambda ours, other: [EntryPlan(ours.target.pk, -1)], "weight of first"),
        (lambda ours, other: [EntryPlan(ours.target.pk, 1, 101)], "order of first"),
        (lambda ours, other: [EntryPlan(ours.pk)], "There is no target"),
        (lambda ours, other: [EntryPlan(ours.target.pk)] * 101, "At most 100"),
    ],
)
def test_a_route_takes_only_what_can_serve_its_model(deployment, route, plan, words):
    with pytest.raises(ValidationError, match=words):
        changed(route, *plan(deployment, DeploymentFactory()))


def test_a_deleted_deployment_leaves_its_route_at_once_and_comes_into_none(deployment, route, operator):
    routed(deployment, "http://127.0.0.1:1/v1")
    delete_deployment(deployment.pk, by=operator)
    assert backends(route) == []
    entry = AuditEntry.objects.across_tenants().filter(verb="route.changed").latest("at")
    assert entry.changes == {"first": ["weight 1, order 0", ""]}
    route.refresh_from_db()
    with pytest.raises(ValidationError, match="being deleted"):
        changed(route, EntryPlan(deployment.target.pk))


def test_only_operators_change_routes(deployment, route, security_reviewer):
    for person in (security_reviewer, staff("auditor")):
        with pytest.raises((PermissionDenied, route.DoesNotExist)):
            changed(route, EntryPlan(deployment.target.pk), by=person)


def test_the_database_keeps_what_a_target_and_an_entry_are(deployment, route):
    routed(deployment, "http://127.0.0.1:1/v1")
    target = deployment.target
    for broken in (
        lambda: Target.objects.create(deployment=None),
        lambda: Target.objects.create(deployment=deployment),
        lambda: RouteEntry.objects.create(route=route, target=target),
        lambda: RouteEntry.objects.update(weight=1001),
        lambda: RouteEntry.objects.update(priority=101),
        lambda: TargetAddress.objects.create(target=target, url="http://127.0.0.1:1/v1"),
        target.delete,
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            broken()
