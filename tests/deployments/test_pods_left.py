"""Deleted means that nothing runs any more: not the Deployment, and no pod that somebody left behind it."""

import json

import pytest

from deployments.actions import delete_deployment, reconcile
from deployments.cluster.base import PermanentClusterError, TemporaryClusterError
from deployments.manifests import engine_manifests
from deployments.models import Deployment
from tests.deployments.api_server_stub import HTML, JSON, Stub, failure
from tests.deployments.cluster_fixtures import STUB_ID, engine_spec
from tests.factories import ClusterFactory, DeploymentFactory


def pod(name="stub-one-x", of="stub-one", phase="Running", **metadata):
    labels = {"app.kubernetes.io/instance": of, "app.kubernetes.io/managed-by": "quartermaster"}
    return {"metadata": {"name": name, "labels": labels} | metadata, "status": {"phase": phase}}


@pytest.fixture
def deployment(db, stub, kubernetes, operator):
    """One whose Deployment object somebody deleted and whose pods they left."""
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    stub.held.clear()
    delete_deployment(deployment.pk, by=operator)
    return deployment


def answer_pods(stub, *answer):
    stub.answer = lambda method, path, body: (
        answer if path.endswith("/pods") else Stub.answer(stub, method, path, body)
    )


def test_the_pods_we_look_for_are_those_we_make():
    template = engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one"))[0]["spec"]["template"]
    assert pod()["metadata"]["labels"].items() <= template["metadata"]["labels"].items()


def test_pods_that_are_left_behind_keep_a_deployment_from_being_deleted(deployment, stub, kubernetes):
    stub.pods = [pod()]
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    (condition,) = deployment.conditions
    assert (condition["type"], condition["reason"]) == ("Terminating", "PodsLeft")
    assert "stub-one-x" in condition["message"]
    assert (
        "kubectl -n quartermaster delete replicasets,pods -l app.kubernetes.io/instance=stub-one"
        in (condition["message"])
    )
    assert deployment.state == Deployment.State.DOWN
    stub.pods = []
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.state == Deployment.State.DELETED


def test_pods_that_are_stopping_need_nobody(deployment, stub, kubernetes):
    stub.pods = [pod(deletionTimestamp="2026-01-01T00:00:00Z")]
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert "kubectl" not in deployment.conditions[0]["message"]


def test_ended_pods_and_pods_of_others_hold_nothing(deployment, stub, kubernetes):
    stub.pods = [pod(phase="Failed"), pod(phase="Succeeded"), pod(of="another"), {"metadata": {"name": "x"}}]
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.state == Deployment.State.DELETED


def test_every_page_of_the_pods_is_read(stub, kubernetes):
    pages = iter([([], "more"), ([pod()], "")])

    def answer(method, path, body):
        if not path.endswith("/pods"):
            return Stub.answer(stub, method, path, body)
        items, more = next(pages)
        return 200, JSON, json.dumps({"kind": "PodList", "metadata": {"continue": more}, "items": items})

    stub.answer = answer
    assert "stub-one-x" in kubernetes.observe("quartermaster", "stub-one", STUB_ID).conditions[0].message


def test_a_list_without_an_end_is_no_answer(stub, kubernetes):
    answer_pods(stub, 200, JSON, '{"kind": "PodList", "metadata": {"continue": "more"}, "items": []}')
    with pytest.raises(TemporaryClusterError, match="does not end"):
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)


@pytest.mark.parametrize(
    "answer",
    [
        (200, JSON, "{}"),
        (200, JSON, '{"items": []}'),
        (200, JSON, '{"kind": "PodList"}'),
        (200, JSON, '{"kind": "PodList", "items": null}'),
        (200, JSON, '{"kind": "DeploymentList", "items": []}'),
        (200, JSON, '{"kind": "PodList", "items": ["x"]}'),
        (200, HTML, "<html>Sign in</html>"),
        (404, HTML, "<html>Not found</html>"),
        (404, JSON, failure(404, "NotFound", 'kubernetes cluster "lab" not found')),
        (503, JSON, failure(503, "ServiceUnavailable", "etcd")),
    ],
)
def test_only_a_list_of_pods_says_that_there_are_none(deployment, stub, kubernetes, answer):
    answer_pods(stub, *answer)
    with pytest.raises(TemporaryClusterError):
        reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.state != Deployment.State.DELETED
    stub.answer = lambda *request: Stub.answer(stub, *request)
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.state == Deployment.State.DELETED


def test_without_the_right_to_list_pods_the_right_is_named(stub, kubernetes):
    said = 'pods is forbidden: User "q" cannot list resource "pods" in API group "" in the namespace "quartermaster"'
    answer_pods(stub, 403, JSON, failure(403, "Forbidden", said, kind="pods"))
    with pytest.raises(PermanentClusterError, match="may not list pods in namespace quartermaster"):
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)


def test_an_api_server_that_serves_no_pods_has_none(stub, kubernetes):
    answer_pods(stub, 404, JSON, failure(404, "NotFound", "no such resource", kind="pods", name=""))
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID) is None


def test_pods_of_another_deployment_of_that_name_keep_nobody(stub, kubernetes):
    labels = pod()["metadata"]["labels"]
    stub.pods = [pod(labels=labels | {"quartermaster.dev/deployment": "another"})]
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID) is None
    stub.pods = [pod(labels=labels | {"quartermaster.dev/deployment": STUB_ID})]
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID).conditions[0].reason == "PodsLeft"
