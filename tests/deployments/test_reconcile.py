"""What is wanted becomes what runs, and what runs becomes what gateways call."""

import threading
from contextvars import copy_context
from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.utils.timezone import now

from audit.models import AuditEntry
from core.errors import Conflict
from deployments import actions, observation, tasks
from deployments.actions import (
    create_deployment,
    delete_deployment,
    reconcile,
    reconcile_what_is_due,
    scale_deployment,
    watch_engines,
)
from deployments.cluster.base import Condition, ConditionType, TemporaryClusterError
from deployments.cluster.memory import MemoryCluster
from deployments.models import Deployment, RouteEntry, TargetAddress
from tenants.revision import current_revision
from tests.factories import ClusterFactory, DeploymentFactory, ModelVersionFactory, routed

State = Deployment.State


@pytest.fixture
def cluster():
    return MemoryCluster()


@pytest.fixture
def deployment(db):
    return DeploymentFactory(name="chat", replicas=2)


def seen(deployment):
    deployment.refresh_from_db()
    return deployment


def addresses():
    return sorted(TargetAddress.objects.values_list("url", flat=True))


def test_one_replica_of_a_version_becomes_an_address_in_a_new_revision(deployment, cluster):
    before = current_revision()
    reconcile(deployment.pk, cluster=cluster)
    row = seen(deployment)
    assert (row.state, row.ready_replicas, row.observed_generation) == (State.HEALTHY, 2, row.generation)
    assert addresses() == ["http://chat.quartermaster.svc:8000/v1"]
    assert TargetAddress.objects.get().target == row.target
    assert not RouteEntry.objects.exists(), "a new deployment gets no traffic until somebody says so"
    assert current_revision() == before + 1


def test_reconciling_again_changes_nothing(deployment, cluster):
    for _ in range(3):
        reconcile(deployment.pk, cluster=cluster)
    assert cluster.changes == 1
    assert current_revision() == 1
    assert AuditEntry.objects.across_tenants().filter(verb="deployment.state_changed").count() == 1


def test_scaling_raises_the_generation_and_is_written_down(deployment, cluster, operator):
    reconcile(deployment.pk, cluster=cluster)
    scaled = scale_deployment(deployment.pk, 3, by=operator)
    assert (scaled.generation, scaled.observed_generation) == (2, 1)
    reconcile(deployment.pk, cluster=cluster)
    assert (seen(deployment).ready_replicas, seen(deployment).observed_generation) == (3, 2)
    line = AuditEntry.objects.across_tenants().get(verb="deployment.scaled")
    assert (line.actor, line.changes) == (operator, {"replicas": [2, 3]})


def test_scaling_to_zero_takes_the_model_off_its_route(deployment, cluster, operator):
    reconcile(deployment.pk, cluster=cluster)
    scale_deployment(deployment.pk, 0, by=operator)
    reconcile(deployment.pk, cluster=cluster)
    assert (seen(deployment).state, addresses()) == (State.HEALTHY, [])


def test_a_deleted_deployment_leaves_nothing_but_its_row_and_its_name_is_free(deployment, cluster, operator):
    reconcile(deployment.pk, cluster=cluster)
    delete_deployment(deployment.pk, by=operator)
    with pytest.raises(Conflict, match="another name"):
        create_deployment(deployment.version, deployment.cluster, 1, "chat", by=operator)
    reconcile(deployment.pk, cluster=cluster)
    assert (seen(deployment).state, addresses()) == (State.DELETED, [])
    create_deployment(deployment.version, deployment.cluster, 1, "chat", by=operator)
    with pytest.raises(Conflict, match="already"):
        delete_deployment(deployment.pk, by=operator)


def test_an_edit_made_while_the_cluster_thinks_is_not_overwritten(deployment, cluster, operator):
    class Slow(MemoryCluster):
        def apply(self, manifests):
            observed = super().apply(manifests)
            scale_deployment(deployment.pk, 5, by=operator)  # somebody, meanwhile
            return observed

    reconcile(deployment.pk, cluster=Slow())
    row = seen(deployment)
    assert (row.generation, row.observed_generation, row.ready_replicas) == (2, 0, 0)
    assert addresses() == []


@pytest.mark.django_db(transaction=True)
def test_two_workers_take_turns_and_the_cluster_is_called_without_a_transaction(deployment):
    inside, most, in_transaction = [], [], []

    class Watched(MemoryCluster):
        def apply(self, manifests):
            inside.append(1)
            most.append(len(inside))
            in_transaction.append(connection.in_atomic_block)
            threading.Event().wait(0.2)
            inside.pop()
            return super().apply(manifests)

    cluster = Watched()

    def work():
        reconcile(deployment.pk, cluster=cluster)
        connection.close()

    threads = [threading.Thread(target=copy_context().run, args=[work]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, in_transaction) == ([1, 1, 1], [False, False, False])


def test_a_cluster_that_does_not_answer_is_asked_again_and_the_routes_stay(deployment, cluster):
    reconcile(deployment.pk, cluster=cluster)
    cluster.is_away = True
    with pytest.raises(TemporaryClusterError):
        reconcile(deployment.pk, cluster=cluster)
    row = seen(deployment)
    assert (row.state, row.conditions[0]["reason"]) == (State.DEGRADED, "ClusterAway")
    assert len(addresses()) == 1
    assert row.next_look_at > now()
    cluster.is_away = False
    reconcile(deployment.pk, cluster=cluster)
    assert seen(deployment).state == State.HEALTHY


def test_a_refusal_is_said_in_words_and_not_tried_again_soon(deployment, cluster):
    cluster.denied = {"patch deployments.apps"}
    # Raises nothing: trying again would not help.
    reconcile(deployment.pk, cluster=cluster)
    row = seen(deployment)
    assert (row.state, row.observed_generation) == (State.DOWN, row.generation)
    assert row.conditions[0]["type"] == "Accepted"
    assert "patch" in row.conditions[0]["message"]
    assert (row.next_look_at - now()).total_seconds() > 600
    assert reconcile_what_is_due() == 0
    assert watch_engines(cluster=cluster) == 0


def test_what_no_cluster_would_take_is_refused_in_the_same_way(db, cluster):
    deployment = DeploymentFactory(version=ModelVersionFactory(memory="a lot"))
    reconcile(deployment.pk, cluster=cluster)
    assert seen(deployment).state == State.DOWN
    assert "a lot" in deployment.conditions[0]["message"]


def test_credentials_that_cannot_be_used_are_said_in_words(db):
    cluster = ClusterFactory(driver="kubernetes", kubeconfig_path="/nowhere/kubeconfig")
    deployment = DeploymentFactory(cluster=cluster)
    reconcile(deployment.pk)
    assert seen(deployment).state == State.DOWN
    assert "kubeconfig" in deployment.conditions[0]["message"]


def test_a_machine_without_an_engine_host_is_asked_again(db, settings, tmp_path):
    settings.ENGINE_STATE_DIR = tmp_path
    deployment = DeploymentFactory()
    with pytest.raises(TemporaryClusterError):
        reconcile(deployment.pk)
    assert (seen(deployment).state, deployment.conditions[0]["reason"]) == (State.STARTING, "ClusterAway")
    assert "engine host is not running" in deployment.conditions[0]["message"]


def test_an_engine_that_came_back_elsewhere_is_followed(deployment, cluster):
    reconcile(deployment.pk, cluster=cluster)
    cluster.endpoint = "http://127.0.0.1:4444"
    assert watch_engines(cluster=cluster) == 1
    assert addresses() == ["http://127.0.0.1:4444/v1"]
    assert current_revision() == 2
    assert watch_engines(cluster=cluster) == 0
    assert current_revision() == 2


def broken(cluster):
    condition = Condition(ConditionType.CRASHING, "True", "EngineExits", "It exited with code 1.")
    cluster.problems["quartermaster", "chat"] = condition


def test_a_route_keeps_its_last_address_while_the_engine_is_down(deployment, cluster):
    """An empty route is answered with 404, which clients take for an answer; a dead address with 503."""
    reconcile(deployment.pk, cluster=cluster)
    broken(cluster)
    assert watch_engines(cluster=cluster) == 1
    assert (seen(deployment).state, len(addresses())) == (State.DOWN, 1)
    assert watch_engines(cluster=cluster) == 0, "nothing new"


def test_an_address_that_is_down_leaves_a_route_that_has_another(deployment, cluster):
    DeploymentFactory(name="second", version=deployment.version, cluster=deployment.cluster)
    for row in Deployment.objects.all():
        routed(row)
        reconcile(row.pk, cluster=cluster)
    assert len(addresses()) == 2
    broken(cluster)
    watch_engines(cluster=cluster)
    assert addresses() == ["http://second.quartermaster.svc:8000/v1"]


def test_an_address_serves_one_engine(deployment, cluster):
    """A port that another engine has taken over must not go on getting the first one's calls."""
    cluster.endpoint = "http://127.0.0.1:4444"
    reconcile(deployment.pk, cluster=cluster)
    broken(cluster)
    watch_engines(cluster=cluster)
    other = DeploymentFactory(name="other", cluster=deployment.cluster)
    reconcile(other.pk, cluster=cluster)
    assert [address.target.deployment for address in TargetAddress.objects.all()] == [other]


def test_what_the_cluster_forgot_is_asked_for_again(deployment, cluster, monkeypatch):
    reconcile(deployment.pk, cluster=cluster)
    cluster.delete("quartermaster", "chat", str(deployment.pk))
    sent = collect(monkeypatch)
    watch_engines(cluster=cluster)
    watch_engines(cluster=cluster)
    assert set(sent) == {str(deployment.pk)}


def collect(monkeypatch):
    """What would have been sent to the broker."""
    sent = []
    monkeypatch.setattr(tasks.reconcile_deployment, "delay", sent.append)
    return sent


def test_the_sweep_starts_what_a_lost_message_left_undone_once(deployment, monkeypatch):
    sent = collect(monkeypatch)
    assert (reconcile_what_is_due(), reconcile_what_is_due()) == (1, 0)
    assert sent == [str(deployment.pk)]


def test_the_sweep_leaves_what_is_gone(deployment, cluster, operator, monkeypatch):
    delete_deployment(deployment.pk, by=operator)
    reconcile(deployment.pk, cluster=cluster)
    Deployment.objects.update(next_look_at=now())
    assert reconcile_what_is_due() == 0


@pytest.mark.django_db(transaction=True)
def test_a_deployment_can_be_wanted_while_the_broker_is_away(monkeypatch, operator):
    def away(*args, **options):
        raise OSError("no broker")

    monkeypatch.setattr(tasks.reconcile_deployment, "apply_async", away)
    created = create_deployment(ModelVersionFactory(), ClusterFactory(), 1, "chat", by=operator)
    assert Deployment.objects.filter(pk=created.pk).exists()


@pytest.mark.parametrize("name", ["Chat", "-chat", "chat_1", "a" * 54, ""])
def test_a_name_that_no_cluster_would_take_is_refused(name, operator):
    with pytest.raises(ValidationError):
        create_deployment(ModelVersionFactory(), ClusterFactory(), 1, name, by=operator)


@pytest.mark.parametrize("replicas", [-1, 257])
def test_an_impossible_number_of_replicas_is_refused(replicas, deployment, operator):
    with pytest.raises(ValidationError, match="replicas"):
        scale_deployment(deployment.pk, replicas, by=operator)


def test_only_operators_change_deployments(deployment, owner, security_reviewer):
    for person in (owner, security_reviewer):
        with pytest.raises(PermissionDenied):
            create_deployment(deployment.version, deployment.cluster, 1, "mine", by=person)
        with pytest.raises(Deployment.DoesNotExist):
            scale_deployment(deployment.pk, 3, by=person)
        with pytest.raises(Deployment.DoesNotExist):
            delete_deployment(deployment.pk, by=person)


def test_starting_is_not_falling(deployment, cluster):
    broken(cluster)
    observed = cluster.apply(actions.manifests_of(deployment))
    cluster.problems.clear()
    assert observation.state_of(deployment, observed) == State.DOWN, "it crashes at once"
    assert observation.state_of(deployment, None) == State.STARTING, "nothing is there yet"


def drift_lines():
    return list(AuditEntry.objects.across_tenants().filter(verb="deployment.drift_healed"))


def test_what_somebody_changed_in_the_cluster_leaves_a_condition_and_an_audit_entry(deployment, cluster):
    reconcile(deployment.pk, cluster=cluster)
    cluster.tamper("quartermaster", "chat", 0)
    reconcile(deployment.pk, cluster=cluster)
    row = seen(deployment)
    assert row.ready_replicas == 2
    assert row.conditions[-1]["type"] == "DriftHealed"
    assert "Deployment spec.replicas: 0 → 2" in row.conditions[-1]["message"]
    (line,) = drift_lines()
    assert line.details["put_back"] == "Deployment spec.replicas: 0 → 2"
    reconcile(deployment.pk, cluster=cluster)
    # It stays for a day.
    assert seen(deployment).conditions[-1]["type"] == "DriftHealed"
    assert len(drift_lines()) == 1


def test_what_somebody_deleted_is_drift_too(deployment, cluster):
    reconcile(deployment.pk, cluster=cluster)
    cluster.delete("quartermaster", "chat", str(deployment.pk))
    reconcile(deployment.pk, cluster=cluster)
    (line,) = drift_lines()
    assert line.details["put_back"] == "Deployment: deleted, created again"


def test_two_who_fight_over_a_field_write_one_entry_an_hour(deployment, cluster):
    reconcile(deployment.pk, cluster=cluster)
    for _ in range(3):
        cluster.tamper("quartermaster", "chat", 5)
        reconcile(deployment.pk, cluster=cluster)
    assert len(drift_lines()) == 1
    cluster.tamper("quartermaster", "chat", 6)
    reconcile(deployment.pk, cluster=cluster)
    assert len(drift_lines()) == 2
    an_hour_ago = now() - observation.DRIFT_AUDITED_EVERY
    Deployment.objects.filter(pk=deployment.pk).update(drift_at=an_hour_ago)
    cluster.tamper("quartermaster", "chat", 6)
    reconcile(deployment.pk, cluster=cluster)
    assert len(drift_lines()) == 3


def test_the_condition_of_old_drift_goes_away(deployment, cluster):
    reconcile(deployment.pk, cluster=cluster)
    cluster.tamper("quartermaster", "chat", 0)
    reconcile(deployment.pk, cluster=cluster)
    Deployment.objects.filter(pk=deployment.pk).update(drift_at=now() - observation.DRIFT_SHOWN)
    reconcile(deployment.pk, cluster=cluster)
    assert "DriftHealed" not in [each["type"] for each in seen(deployment).conditions]


def test_a_change_of_ours_is_no_drift(deployment, cluster, operator):
    reconcile(deployment.pk, cluster=cluster)
    scale_deployment(deployment.pk, 3, by=operator)
    reconcile(deployment.pk, cluster=cluster)
    assert drift_lines() == []


def test_a_cluster_that_takes_a_workers_time_is_away(deployment, cluster, monkeypatch):
    reconcile(deployment.pk, cluster=cluster)

    def hang(manifests):
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(cluster, "apply", hang)
    monkeypatch.setattr(actions, "get_cluster", lambda row: cluster)
    tasks.reconcile_deployment(str(deployment.pk))
    row = seen(deployment)
    assert row.conditions[0]["reason"] == "ClusterAway"
    assert row.state == State.DEGRADED
    assert row.next_look_at > now() + timedelta(seconds=30)
