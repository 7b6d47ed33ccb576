"""The smallest API servers send no details of what they did not find; a deletion ends there all the same."""

import contextlib
import json

import pytest

from deployments import connection
from deployments.actions import delete_deployment, reconcile
from deployments.cluster.base import TemporaryClusterError
from deployments.manifests import engine_manifests
from deployments.models import Deployment
from tests.deployments.api_server_stub import JSON, TEXT, Stub, driver_of, failure
from tests.deployments.cluster_fixtures import STUB_ID, engine_spec
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
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)
    with pytest.raises(TemporaryClusterError):
        kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    with pytest.raises(TemporaryClusterError):
        kubernetes.observe("quartermaster", "another", STUB_ID)
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID) is None
    with pytest.raises(TemporaryClusterError):
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)


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
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
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
            kubernetes.delete("quartermaster", "stub-one", STUB_ID)
            if kubernetes.observe("quartermaster", "stub-one", STUB_ID) is None:
                break
        except TemporaryClusterError:
            continue
    else:
        pytest.fail("never gone")
    assert stub.held == {}


def test_a_deployment_that_is_made_anew_is_not_believed_gone(stub, kubernetes):
    lean(stub)
    manifests = engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one"))
    kubernetes.apply(manifests)
    kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    kubernetes.apply(manifests)
    stub.stranger = (404, JSON, failure(404, "NotFound", "not found"))
    for ask in (kubernetes.observe, kubernetes.delete):
        with pytest.raises(TemporaryClusterError):
            ask("quartermaster", "stub-one", STUB_ID)
    stub.stranger = None
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID) is not None


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


BARE = (404, JSON, failure(404, "NotFound", "not found"))


@pytest.mark.parametrize("begins", ["after /deployments/", "after /services/", "in the next pass"])
def test_a_proxy_right_after_our_own_deletion_is_not_believed(db, stub, kubernetes, operator, begins):
    """A server that is slow to delete confirms it; then a proxy that has lost the server answers in its place."""
    lean(stub)
    deployment = DeploymentFactory(name="stub-one", replicas=3, cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    delete_deployment(deployment.pk, by=operator)
    serve, worker, is_lost = stub.answer, driver_of(stub), []

    def lose_reads(method, path, body):
        if method == "GET" and is_lost:
            return BARE
        if method == "DELETE":
            is_lost.extend([path] * (begins.removeprefix("after ") in path))
            if "/deployments/" in path:
                # And it is still there.
                return 200, JSON, '{"kind": "Status", "status": "Success"}'
        return serve(method, path, body)

    stub.answer = lose_reads
    if begins == "in the next pass":
        reconcile(deployment.pk, cluster=worker)
        is_lost.append("all")
    for _ in range(3):
        with pytest.raises(TemporaryClusterError):
            reconcile(deployment.pk, cluster=worker)
        deployment.refresh_from_db()
        assert (deployment.state == Deployment.State.DELETED, stub.runs) == (False, True)
    stub.answer = serve
    reconcile(deployment.pk, cluster=worker)
    deployment.refresh_from_db()
    assert (deployment.state, stub.held) == (Deployment.State.DELETED, {})


@pytest.mark.parametrize("looks_it_stays", range(5))
@pytest.mark.parametrize("lists_pods", [True, False])
def test_a_lean_server_that_is_slow_to_delete_comes_to_an_end(
    db, stub, kubernetes, operator, lists_pods, looks_it_stays
):
    """The Deployment is there for some looks after its deletion, whoever asks for it."""
    lean(stub)
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    delete_deployment(deployment.pk, by=operator)
    serve, looks = stub.answer, {}

    def slowly(method, path, body):
        if path.endswith("/pods") and lists_pods:
            return 200, JSON, json.dumps({"kind": "PodList", "items": []})
        if method == "DELETE" and "/deployments/" in path and path in stub.held:
            looks.setdefault(path, looks_it_stays)
            return 200, JSON, '{"kind": "Status", "status": "Success"}'
        if method == "PATCH":
            looks.pop(path, None)
        if method == "GET" and path in looks:
            looks[path] -= 1
            if looks[path] < 0:
                stub.held.pop(path, None)
        return serve(method, path, body)

    stub.answer = slowly
    for _ in range(4):
        with contextlib.suppress(TemporaryClusterError):
            reconcile(deployment.pk, cluster=kubernetes)
        deployment.refresh_from_db()
        if deployment.state == Deployment.State.DELETED:
            break
    assert (deployment.state, stub.held) == (Deployment.State.DELETED, {})


@pytest.mark.parametrize("is_named", [True, False])
def test_a_deployment_is_not_gone_before_its_service(stub, kubernetes, is_named):
    """The Deployment vanishes after `delete` has seen it and left the Service."""
    lean(stub)
    serve = stub.answer
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    stub.answer = lambda method, path, body: (
        (200, JSON, '{"kind": "Status", "status": "Success"}')
        if method == "DELETE"
        else serve(method, path, body)
    )
    kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    stub.held = {path: document for path, document in stub.held.items() if "/services/" in path}
    stub.answer = (lambda *request: Stub.answer(stub, *request)) if is_named else serve
    (condition,) = kubernetes.observe("quartermaster", "stub-one", STUB_ID).conditions
    assert (condition.type, condition.reason) == ("Terminating", "ServiceLeft")
    kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    assert (kubernetes.observe("quartermaster", "stub-one", STUB_ID), stub.held) == (None, {})


def test_the_service_of_a_deployment_proves_that_its_server_answers(stub, kubernetes):
    lean(stub)
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    paths = [(method, path.split("/")[-2]) for method, path in stub.asked]
    assert paths[-6:] == [
        ("GET", "deployments"), ("DELETE", "deployments"), ("GET", "deployments"), ("GET", "services"),
        ("GET", "services"), ("DELETE", "services"),
    ]  # fmt: skip
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID) is None


def test_a_server_without_access_reviews_is_told_so_when_it_is_tested(db, stub, kubernetes, monkeypatch):
    monkeypatch.setattr(connection, "get_cluster", lambda row: kubernetes)
    row = ClusterFactory.build(driver="kubernetes")
    for serve in (lean, lambda stub: setattr(stub, "stranger", (405, TEXT, "only GET"))):
        serve(stub)
        fault = connection.try_here(row)["fault"]
        assert "serves no access reviews (HTTP 40" in fault
        assert "kubeconfig" in fault
    # Which says nothing of what is served.
    stub.stranger = (502, TEXT, "no backend")
    assert "access reviews" not in connection.try_here(row)["fault"]
