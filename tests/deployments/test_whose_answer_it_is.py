"""A proxy, a load balancer or a sign-in page in front of an API server answers too. Its word is nobody's word: what
runs goes on running, and the console goes on asking."""

import json
from datetime import timedelta

import pytest
from django.utils.timezone import now

from deployments.actions import delete_deployment, reconcile, reconcile_what_is_due, scale_deployment
from deployments.cluster.base import PermanentClusterError, QuotaExceededError, TemporaryClusterError
from deployments.manifests import engine_manifests
from deployments.models import Deployment
from tests.deployments.api_server_stub import HTML, JSON, TEXT, Stub, failure
from tests.deployments.cluster_fixtures import STUB_ID, engine_spec
from tests.factories import ClusterFactory, DeploymentFactory

STRANGERS = {
    "proxy 404": (404, TEXT, "404 page not found\n"),
    "html 404": (404, HTML, "<html>Not found</html>"),
    "html 403": (403, HTML, "<html>Blocked by policy</html>"),
    "html 401": (401, HTML, "<html>Sign in</html>"),
    "login page": (200, HTML, "<html>Sign in</html>"),
    "empty": (200, JSON, ""),
    "null": (200, JSON, "null"),
    "half an answer": (200, JSON, '{"kind": "Deploy'),
    "redirect": (302, HTML, ""),
    "another json": (200, JSON, '{"ok": true}'),
    "another kind": (200, JSON, '{"kind": "Pod", "metadata": {"name": "stub-one"}}'),
    "another object": (200, JSON, '{"kind": "Deployment", "metadata": {"name": "other", "generation": 1}}'),
    "an object without numbers": (200, JSON, '{"kind": "Deployment", "metadata": {"name": "stub-one"}}'),
    "labels in a list": (
        200,
        JSON,
        '{"kind": "Deployment", "metadata": {"name": "stub-one", "uid": "u", "labels": ["a"], "generation": 1}}',
    ),
    "json 404": (404, JSON, '{"message": "no Route matched with those values"}'),
    "404 about another": (
        404,
        JSON,
        '{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, '
        '"details": {"name": "other", "kind": "deployments"}}',
    ),
    "404 about the path": (
        404,
        JSON,
        '{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "details": {}}',
    ),
    "a Status of nobody": (404, JSON, '{"kind": "Status", "code": 404}'),
    "a Status of an access proxy": (
        404,
        JSON,
        '{"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound", '
        '"message": "kubernetes cluster \\"lab\\" not found", "code": 404}',
    ),
    "404 about another group": (
        404,
        JSON,
        '{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, '
        '"details": {"name": "stub-one", "kind": "deployments", "group": "example.com"}}',
    ),
    "404 about the namespace": (
        404,
        JSON,
        '{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, '
        '"details": {"name": "quartermaster", "kind": "namespaces"}}',
    ),
    "401 of an access proxy": (
        401,
        JSON,
        '{"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401}',
    ),
    "403 of an access proxy": (
        403,
        JSON,
        '{"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "denied", "code": 403}',
    ),
    "404 of another reason": (404, JSON, '{"kind": "Status", "status": "Failure", "code": 404}'),
    "a failure in a 200": (
        200,
        JSON,
        '{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}',
    ),
}


@pytest.fixture
def deployment(db, kubernetes):
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.state == Deployment.State.HEALTHY
    return deployment


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_no_driver_call_believes_a_stranger(stub, kubernetes, stranger):
    manifests = engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one"))
    kubernetes.apply(manifests)
    stub.stranger = stranger
    for ask in (
        lambda: kubernetes.apply(manifests),
        lambda: kubernetes.observe("quartermaster", "stub-one", STUB_ID),
        lambda: kubernetes.delete("quartermaster", "stub-one", STUB_ID),
        lambda: kubernetes.check("quartermaster"),
    ):
        with pytest.raises(TemporaryClusterError):
            ask()
    assert ("GET", "/sign-in") not in stub.asked, "a redirect is not followed: it would carry our token along"


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_a_deletion_ends_only_when_the_cluster_itself_says_so(
    deployment, stub, kubernetes, stranger, operator
):
    delete_deployment(deployment.pk, by=operator)
    stub.stranger = stranger
    with pytest.raises(TemporaryClusterError):
        reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.state != Deployment.State.DELETED
    assert deployment.conditions[0]["reason"] == "ClusterAway"
    assert deployment.next_look_at <= now() + timedelta(minutes=1)
    assert stub.runs

    stub.stranger = None
    Deployment.objects.filter(pk=deployment.pk).update(next_look_at=now())
    assert reconcile_what_is_due() == 1
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert (deployment.state, stub.runs) == (Deployment.State.DELETED, False)


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_a_change_is_tried_again_soon_after_a_stranger_answered(
    deployment, stub, kubernetes, stranger, operator
):
    scale_deployment(deployment.pk, 2, by=operator)
    stub.stranger = stranger
    with pytest.raises(TemporaryClusterError):
        reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert [each["reason"] for each in deployment.conditions if each["type"] == "Accepted"] == []
    assert deployment.next_look_at <= now() + timedelta(minutes=1)
    stub.stranger = None
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert (deployment.state, deployment.ready_replicas) == (Deployment.State.HEALTHY, 2)


ANOTHER = "0199aaaa-0000-7000-8000-000000000002"


def test_an_object_that_is_not_ours_and_has_no_labels_is_left_alone(stub, kubernetes):
    nobodys = {"name": "stub-one", "uid": "u1", "labels": None, "annotations": None, "generation": 1}
    stub.stranger = (
        200,
        JSON,
        json.dumps({"kind": "Deployment", "metadata": nobodys, "spec": {"replicas": 1}}),
    )
    with pytest.raises(PermanentClusterError, match="was not made by Quartermaster"):
        kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    assert ("DELETE", "/apis/apps/v1/namespaces/quartermaster/deployments/stub-one") not in stub.asked


@pytest.mark.parametrize("kind", ["deployments", "services"])
def test_an_object_of_another_deployment_is_left_alone(stub, kubernetes, kind):
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    (path,) = (path for path in stub.held if f"/{kind}/" in path)
    stub.held[path]["metadata"]["labels"]["quartermaster.dev/deployment"] = ANOTHER
    kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    assert list(stub.held) == [path]
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID) is None
    with pytest.raises(PermanentClusterError, match=f"belongs to another deployment .{ANOTHER}.*kubectl -n"):
        kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    assert list(stub.held) == [path]


def test_a_deletion_is_of_the_object_that_was_looked_at(stub, kubernetes):
    """Somebody deletes ours and makes another of that name, between our look and our DELETE."""
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    asked = []

    def answer(method, path, body):
        if method != "DELETE":
            return Stub.answer(stub, method, path, body)
        asked.append(json.loads(body)["preconditions"]["uid"])
        name, kind = path.rsplit("/", 1)[-1], path.split("/")[-2]
        return (
            409,
            JSON,
            failure(409, "Conflict", "the UID in the precondition does not match", name=name, kind=kind),
        )

    stub.answer = answer
    with pytest.raises(TemporaryClusterError):
        kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    assert (asked, len(stub.held)) == (["u1"], 2)


@pytest.mark.parametrize(
    "answer",
    [
        {
            "kind": "Status",
            "status": "Success",
            "details": {"name": "other", "kind": "deployments", "uid": "u1"},
        },
        {
            "kind": "Status",
            "status": "Success",
            "details": {"name": "stub-one", "kind": "deployments", "uid": "u2"},
        },
        {"kind": "Status", "status": "Success", "details": {"name": "stub-one", "kind": "pods", "uid": "u1"}},
        {"kind": "Deployment", "metadata": {"name": "stub-one", "uid": "u2"}},
    ],
    ids=["another name", "another uid", "another kind", "an object of another uid"],
)
def test_a_deletion_that_speaks_of_another_object_is_none(stub, kubernetes, answer):
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    stub.answer = lambda method, path, body: (
        (200, JSON, json.dumps(answer)) if method == "DELETE" else Stub.answer(stub, method, path, body)
    )
    with pytest.raises(TemporaryClusterError):
        kubernetes.delete("quartermaster", "stub-one", STUB_ID)


def test_a_success_without_the_name_is_known_by_the_uid(stub, kubernetes):
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))

    def answer(method, path, body):
        status, kind, text = Stub.answer(stub, method, path, body)
        if method != "DELETE":
            return status, kind, text
        details = {"kind": path.split("/")[-2], "uid": "u1"}
        return 200, JSON, json.dumps({"kind": "Status", "status": "Success", "details": details})

    stub.answer = answer
    kubernetes.delete("quartermaster", "stub-one", STUB_ID)
    assert kubernetes.observe("quartermaster", "stub-one", STUB_ID) is None
    assert not stub.held


def test_a_missing_namespace_is_made_only_on_the_word_of_the_api_server(stub, kubernetes):
    def without_namespace(details):
        return lambda method, path, body: (
            (404, JSON, failure(404, "NotFound", 'namespaces "quartermaster" not found', **details))
            if method == "PATCH"
            else Stub.answer(stub, method, path, body)
        )

    manifests = engine_manifests(engine_spec())
    for details, is_made in [({}, False), ({"kind": "namespaces", "name": "quartermaster"}, True)]:
        stub.answer = without_namespace(details)
        with pytest.raises(TemporaryClusterError):
            kubernetes.apply(manifests)
        assert (("POST", "/api/v1/namespaces") in stub.asked) is is_made


@pytest.mark.parametrize("name", ["", "quartermaster"])
@pytest.mark.parametrize(
    "words", ["exceeded quota: few", "insufficient quota to match these scopes", "Quota exceeded"]
)
def test_a_quota_of_namespaces_waits(stub, kubernetes, name, words):
    message = f'namespaces "quartermaster" is forbidden: {words}'
    absent = failure(404, "NotFound", "namespaces not found", kind="namespaces", name="quartermaster")
    full = failure(403, "Forbidden", message, kind="namespaces", name=name)
    answers = {"PATCH": (404, JSON, absent), "POST": (403, JSON, full)}
    stub.answer = lambda method, path, body: answers.get(method) or Stub.answer(stub, method, path, body)
    with pytest.raises(QuotaExceededError, match=words):
        kubernetes.apply(engine_manifests(engine_spec()))


def test_a_refusal_of_the_very_object_is_a_refusal(stub, kubernetes):
    details = {"name": "smollm", "group": "apps", "kind": "Deployment"}
    stub.answer = lambda method, path, body: (
        (422, JSON, failure(422, "Invalid", "field is immutable", **details))
        if method == "PATCH" and "/deployments/" in path
        else Stub.answer(stub, method, path, body)
    )
    with pytest.raises(PermanentClusterError, match="field is immutable"):
        kubernetes.apply(engine_manifests(engine_spec()))


def test_a_quota_met_at_the_door_waits_and_goes_on_by_itself(db, stub, kubernetes):
    stub.quota = "is forbidden: exceeded quota: small, requested: count/services=1, used: 5, limited: 5"
    with pytest.raises(QuotaExceededError):
        kubernetes.apply(engine_manifests(engine_spec()))
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    # Raises nothing: the sweep asks again.
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    (condition,) = deployment.conditions
    assert (condition["type"], condition["reason"]) == ("QuotaExceeded", "ExceededQuota")
    assert "exceeded quota: small" in condition["message"]
    assert (deployment.state, deployment.observed_generation) == (Deployment.State.DOWN, 0)
    assert deployment.next_look_at <= now() + timedelta(minutes=1)
    stub.quota = None
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.state == Deployment.State.HEALTHY
