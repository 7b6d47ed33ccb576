"""The operators' pages: what runs where, why it does not, and the actions with a question before them."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from audit.models import AuditEntry
from config.celery import app
from core.secrets import digest
from deployments import connection
from deployments.actions import add_cluster, reconcile
from deployments.cluster.base import ClusterFacts
from deployments.cluster.memory import MemoryCluster
from deployments.models import Cluster, Deployment, Route
from gateway.models import Gateway
from tenants.revision import raise_revision
from tests.factories import ClusterFactory, DeploymentFactory, ModelVersionFactory, routed
from tests.gateway.granted import registered

pytest_plugins = ["tests.deployments.cluster_plugin"]
SUBMITTED = {"_form_submitted": "on"}


@pytest.fixture
def deployment(db):
    deployment = routed(DeploymentFactory(name="chat"))
    reconcile(deployment.pk, cluster=MemoryCluster())
    return deployment


@pytest.fixture
def desk(client, operator):
    """The operator's browser."""
    client.force_login(operator)
    return client


def page(desk, name, *args):
    answer = desk.get(reverse(f"admin:{name}", args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_is_not_done_daily_is_in_the_menu_of_the_page(desk, deployment):
    text = page(desk, "deployments_deployment_change", deployment.pk)
    head = text.index('qm-more"')
    menu = text.index("</details>", head)
    for path, is_in_menu in (("scale", False), ("dedicate", False), ("controls", False), ("remove", True)):
        at = text.index(f"/admin/deployments/deployment/{deployment.pk}/{path}/")
        assert (head < at < menu) is is_in_menu, path


def test_the_list_says_what_runs_and_why(desk, deployment):
    text = page(desk, "deployments_deployment_changelist")
    assert "Healthy" in text
    assert "1 / 1" in text
    assert "1 of 1 replicas are ready." in text


def test_a_deployment_shows_its_conditions_addresses_and_events_and_edits_nothing(desk, deployment):
    text = page(desk, "deployments_deployment_change", deployment.pk)
    for words in ("MinimumReplicasAvailable", "http://chat.quartermaster.svc:8000/v1", "state changed"):
        assert words in text
    assert 'name="state"' not in text
    desk.post(reverse("admin:deployments_deployment_change", args=[deployment.pk]), {"state": "down"})
    deployment.refresh_from_db()
    assert deployment.state == "healthy"


def test_creating_goes_through_the_action(desk, deployment):
    path = reverse("admin:deployments_deployment_add")
    assert "conditions" not in page(desk, "deployments_deployment_add")
    wanted = {
        "version": str(ModelVersionFactory().pk),
        "cluster": str(deployment.cluster.pk),
        "replicas": "2",
        "name": "fresh",
    }
    assert desk.post(path, wanted).status_code == 302
    assert Deployment.objects.get(name="fresh").replicas == 2
    assert AuditEntry.objects.across_tenants().filter(verb="deployment.created").count() == 1
    again = desk.post(path, wanted)
    assert again.status_code == 200, "a name that lives is an error in the form"
    assert Deployment.objects.filter(name="fresh").count() == 1


def test_scaling_and_deleting_ask_first(desk, deployment):
    scale = reverse("admin:deployments_deployment_scale", args=[deployment.pk])
    assert "Scale this deployment" in desk.get(scale).content.decode()
    deployment.refresh_from_db()
    assert deployment.replicas == 1
    answer = desk.post(scale, SUBMITTED | {"replicas": "4"})
    assert answer.headers["Location"].endswith(f"{deployment.pk}/change/")
    assert Deployment.objects.get().replicas == 4

    delete = reverse("admin:deployments_deployment_delete_now", args=[deployment.pk])
    assert "Delete this deployment?" in desk.get(delete).content.decode()
    assert not Deployment.objects.get().is_deleted
    desk.post(delete, SUBMITTED)
    assert Deployment.objects.get().is_deleted
    again = desk.post(delete, SUBMITTED)
    assert again.status_code == 409
    assert "already being deleted" in again.content.decode()


def test_an_operator_sees_clusters_and_routes(desk, deployment):
    assert deployment.cluster.name in page(desk, "deployments_cluster_changelist")
    assert "http://chat.quartermaster.svc:8000/v1" in page(desk, "deployments_route_changelist")
    assert "http://chat.quartermaster.svc:8000/v1" in page(
        desk, "deployments_route_change", Route.objects.get().pk
    )


def test_the_list_of_gateways_shows_lag_and_what_waits_on_their_disks(desk):
    gateway, _ = registered("edge-1")
    raise_revision()
    raise_revision()
    Gateway.objects.update(acknowledged_revision=1, spool_pending=42, report={"problem": "disk is full"})
    text = page(desk, "gateway_gateway_changelist")
    for words in ("edge-1", "1 revision", "42", "disk is full", "never"):
        assert words in text
    assert gateway.digest not in page(desk, "gateway_gateway_change", gateway.pk)


def test_a_gateways_token_is_shown_once_and_kept_nowhere(desk):
    answer = desk.post(reverse("admin:gateway_gateway_register"), SUBMITTED | {"name": "edge-1"})
    secret = answer.content.decode().partition("data-unsaved-secret>")[2].partition("<")[0]
    gateway = Gateway.objects.get()
    assert gateway.digest == digest(secret)
    assert "no-store" in answer.headers["Cache-Control"]
    again = desk.post(reverse("admin:gateway_gateway_register"), SUBMITTED | {"name": "edge-1"})
    assert "already" in again.content.decode()

    renewed = desk.post(reverse("admin:gateway_gateway_renew", args=[gateway.pk]), SUBMITTED)
    assert secret not in renewed.content.decode()
    desk.post(reverse("admin:gateway_gateway_revoke", args=[gateway.pk]), SUBMITTED)
    gateway.refresh_from_db()
    assert gateway.revoked_at is not None


@pytest.mark.parametrize(
    "name",
    ["deployments_deployment", "deployments_cluster", "deployments_route", "gateway_gateway"],
)
def test_reviewers_do_not_see_where_models_run(client, security_reviewer, deployment, name):
    client.force_login(security_reviewer)
    assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403


def test_reviewers_cannot_do_what_operators_do(client, security_reviewer, deployment):
    gateway, _ = registered()
    client.force_login(security_reviewer)
    for path, data in (
        (reverse("admin:deployments_deployment_scale", args=[deployment.pk]), {"replicas": "9"}),
        (reverse("admin:deployments_deployment_delete_now", args=[deployment.pk]), {}),
        (reverse("admin:gateway_gateway_revoke", args=[gateway.pk]), {}),
        (reverse("admin:gateway_gateway_register"), {"name": "mine"}),
    ):
        assert client.post(path, SUBMITTED | data).status_code == 403
    deployment.refresh_from_db()
    assert (deployment.replicas, deployment.is_deleted) == (1, False)


@pytest.fixture
def worked_at_once():
    """Tasks are done by whoever asks for them, as by a worker that is there."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


NEW_CLUSTER = {
    "name": "berlin",
    "driver": "local",
    "namespace": "models",
    "kubeconfig_path": "",
    "region": "eu",
}


def test_a_cluster_is_tried_before_it_is_saved(desk, worked_at_once, engine_host, settings):
    settings.ENGINE_STATE_DIR = engine_host.state_dir
    path = reverse("admin:deployments_cluster_add")
    assert "A file on the workers" in page(desk, "deployments_cluster_add")
    assert desk.post(path, NEW_CLUSTER).status_code == 302
    saved = Cluster.objects.get(name="berlin")
    assert (saved.resources, bool(saved.version), bool(saved.tested_at)) == (
        {"nvidia.com/gpu": "2"},
        True,
        True,
    )
    assert "2 nvidia.com/gpu" in page(desk, "deployments_cluster_change", saved.pk)
    assert AuditEntry.objects.across_tenants().filter(verb="cluster.added").count() == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"driver": "kubernetes", "kubeconfig_path": "/nowhere/config"}, "kubeconfig is not usable"),
        ({}, "The engine host is not running"),
    ],
)
def test_a_cluster_that_does_not_answer_is_not_saved_and_the_form_says_why(
    desk, worked_at_once, settings, tmp_path, change, fault
):
    settings.ENGINE_STATE_DIR = tmp_path
    answer = desk.post(reverse("admin:deployments_cluster_add"), NEW_CLUSTER | change)
    assert answer.status_code == 200
    assert fault in answer.content.decode()
    assert not Cluster.objects.exists()


def test_a_cluster_without_a_permission_is_not_saved(operator, worked_at_once, monkeypatch):
    cluster = MemoryCluster()
    cluster.denied = {"patch deployments.apps", "list pods"}
    monkeypatch.setattr(connection, "get_cluster", lambda row: cluster)
    with pytest.raises(ValidationError, match=r"may not: list pods, patch deployments\.apps in namespace"):
        add_cluster(Cluster(name="berlin", driver="kubernetes"), by=operator)
    assert not Cluster.objects.exists()


def test_a_cluster_that_does_not_tell_its_version_is_saved_with_a_warning(desk, worked_at_once, monkeypatch):
    cluster = MemoryCluster()
    monkeypatch.setattr(
        cluster, "check", lambda namespace: ClusterFacts("", resources={"nvidia.com/gpu\x00": "2"})
    )
    monkeypatch.setattr(connection, "get_cluster", lambda row: cluster)
    answer = desk.post(reverse("admin:deployments_cluster_add"), NEW_CLUSTER, follow=True)
    assert "does not reveal its version" in answer.content.decode()
    saved = Cluster.objects.get()
    assert (saved.version, saved.resources, bool(saved.tested_at)) == ("", {"nvidia.com/gpu": "2"}, True)


def test_a_saved_cluster_is_tried_again_from_its_page(desk, worked_at_once, engine_host, settings, tmp_path):
    cluster = ClusterFactory(name="berlin")
    path = reverse("admin:deployments_cluster_test_now", args=[cluster.pk])
    settings.ENGINE_STATE_DIR = tmp_path
    answer = desk.post(path, SUBMITTED, follow=True)
    assert "engine host is not running" in answer.content.decode()
    cluster.refresh_from_db()
    assert cluster.tested_at is None
    settings.ENGINE_STATE_DIR = engine_host.state_dir
    desk.post(path, SUBMITTED)
    cluster.refresh_from_db()
    assert cluster.tested_at
    assert AuditEntry.objects.across_tenants().filter(verb="cluster.tested").count() == 1


def test_where_no_worker_is_the_operator_is_told(operator, settings, monkeypatch, db):
    monkeypatch.setattr(connection, "QUEUE_SECONDS", 0)
    settings.CLUSTER_TIMEOUT_SECONDS = 1
    with pytest.raises(ValidationError, match="Check that the workers run"):
        add_cluster(Cluster(name="berlin", driver="local"), by=operator)
