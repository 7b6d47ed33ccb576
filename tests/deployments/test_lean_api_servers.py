"""The smallest API servers send no details of what they did not find; a deletion ends there all the same."""

import json

import pytest

from deployments.actions import delete_deployment, reconcile
from deployments.cluster.base import TemporaryClusterError
from deployments.manifests import engine_manifests
from deployments.models import Deployment
from tests.deployments.api_server_stub import JSON, TEXT, Stub, driver_of, failure
from tests.deployments.cluster_fixtures import engine_spec
from tests.factories import ClusterFactory, DeploymentFactory


def lean(stub):
    """An API server that sends no details at all, as the smallest ones do."""
    stub.answer = lambda method, path, body: (
        (404, JSON, failure(404, "NotFound", "not found"))
        if method != "PATCH" and path not in stub.held
        else Stub.answer(stub, method, path, body)
    )


def test_a_lean_api_server_is_served_to_the_end(db, stub, kubernetes, operator):
    lean(stub)
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert (deployment.state, stub.runs) == (Deployment.State.HEALTHY, True)
    delete_deployment(deployment.pk, by=operator)
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert (deployment.state, stub.runs) == (Deployment.State.DELETED, False)


def test_a_lean_not_found_is_believed_after_our_own_deletion_and_never_else(stub, kubernetes):
    lean(stub)
    with pytest.raises(TemporaryClusterError):
        kubernetes.observe("quartermaster", "stub-one")
    with pytest.raises(TemporaryClusterError):
        kubernetes.delete("quartermaster", "stub-one")
    kubernetes.apply(engine_manifests(engine_spec(name="stub-one")))
    kubernetes.delete("quartermaster", "stub-one")
    with pytest.raises(TemporaryClusterError):
        kubernetes.observe("quartermaster", "another")
    assert kubernetes.observe("quartermaster", "stub-one") is None
    with pytest.raises(TemporaryClusterError):
        kubernetes.observe("quartermaster", "stub-one")


AWAY = (503, TEXT, "no backend")


def test_a_lost_answer_after_a_lean_deletion_leaves_it_deletable(db, stub, kubernetes, operator):
    lean(stub)
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    delete_deployment(deployment.pk, by=operator)
    serve = stub.answer

    def lose_what_follows(method, path, body):
        answer = serve(method, path, body)
        if method == "DELETE" and "/deployments/" in path:
            stub.stranger = AWAY
        return answer

    stub.answer = lose_what_follows
    for _ in range(2):
        with pytest.raises(TemporaryClusterError):
            reconcile(deployment.pk, cluster=kubernetes)
    stub.answer, stub.stranger = serve, None
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert (deployment.state, stub.held) == (Deployment.State.DELETED, {})


@pytest.mark.parametrize("lost", [("GET", "/deployments/", 2), ("GET", "/services/", 2)])
def test_a_lean_deletion_goes_on_wherever_it_was_cut_off(stub, kubernetes, lost):
    lean(stub)
    kubernetes.apply(engine_manifests(engine_spec(name="stub-one")))
    serve, seen = stub.answer, []

    def lose_one(method, path, body):
        answer = serve(method, path, body)
        if method == lost[0] and lost[1] in path:
            seen.append(path)
            return AWAY if len(seen) == lost[2] else answer
        return answer

    stub.answer = lose_one
    for _ in range(3):
        try:
            kubernetes.delete("quartermaster", "stub-one")
            if kubernetes.observe("quartermaster", "stub-one") is None:
                break
        except TemporaryClusterError:
            continue
    else:
        pytest.fail("never gone")
    assert stub.held == {}


def test_a_deployment_that_is_made_anew_is_not_believed_gone(stub, kubernetes):
    lean(stub)
    manifests = engine_manifests(engine_spec(name="stub-one"))
    kubernetes.apply(manifests)
    kubernetes.delete("quartermaster", "stub-one")
    kubernetes.apply(manifests)
    stub.stranger = (404, JSON, failure(404, "NotFound", "not found"))
    for ask in (kubernetes.observe, kubernetes.delete):
        with pytest.raises(TemporaryClusterError):
            ask("quartermaster", "stub-one")
    stub.stranger = None
    assert kubernetes.observe("quartermaster", "stub-one") is not None


@pytest.mark.parametrize("sees", ["the Deployment gone", "both gone", "nothing of it"])
def test_a_worker_that_died_leaves_a_deletion_that_ends(db, stub, kubernetes, operator, sees):
    """It died after its DELETE and before the look, or its answer was lost: nobody remembers."""
    lean(stub)
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    delete_deployment(deployment.pk, by=operator)
    for path in list(stub.held):
        if "/deployments/" in path or sees != "the Deployment gone":
            del stub.held[path]
    if sees == "nothing of it":
        stub.stranger = AWAY
        with pytest.raises(TemporaryClusterError):
            reconcile(deployment.pk, cluster=driver_of(stub))
        stub.stranger = None
    reconcile(deployment.pk, cluster=driver_of(stub))
    deployment.refresh_from_db()
    assert (deployment.state, stub.held) == (Deployment.State.DELETED, {})


def test_what_is_made_anew_to_be_deleted_runs_nothing(db, stub, kubernetes, operator):
    lean(stub)
    deployment = DeploymentFactory(name="stub-one", replicas=3, cluster=ClusterFactory(driver="kubernetes"))
    delete_deployment(deployment.pk, by=operator)
    written, serve = [], stub.answer

    def listen(method, path, body):
        if method == "PATCH" and "/deployments/" in path:
            written.append(json.loads(body)["spec"]["replicas"])
        return serve(method, path, body)

    stub.answer = listen
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert (written, deployment.state, stub.held) == ([0], Deployment.State.DELETED, {})


def test_a_proxy_that_hides_what_runs_does_not_keep_it_running(db, stub, kubernetes, operator):
    """Every read is answered by a proxy, and writes reach the cluster: the engines stop, and nothing counts as gone."""
    deployment = DeploymentFactory(name="stub-one", replicas=3, cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    delete_deployment(deployment.pk, by=operator)
    bare = (404, JSON, failure(404, "NotFound", "not found"))
    stub.answer = lambda method, path, body: (
        bare if method == "GET" else Stub.answer(stub, method, path, body)
    )
    with pytest.raises(TemporaryClusterError):
        reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    (held,) = (document for path, document in stub.held.items() if "/deployments/" in path)
    assert (deployment.state == Deployment.State.DELETED, held["spec"]["replicas"]) == (False, 0)
