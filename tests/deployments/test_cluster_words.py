"""How the words of a Kubernetes cluster become conditions and errors an operator can act on."""

import json
import re

import pytest
from django.utils.translation import override

from core.stored_words import retold
from deployments.cluster.base import PermanentClusterError, QuotaExceededError, TemporaryClusterError
from deployments.cluster.kubernetes_answers import Asked
from deployments.cluster.kubernetes_conditions import observed, service_left
from deployments.cluster.kubernetes_errors import cluster_error
from deployments.cluster.summary import terminating
from deployments.manifests import engine_manifests
from tests.deployments.cluster_fixtures import engine_spec

DEPLOYMENT = Asked("Deployment", "deployments", "smollm", group="apps", uid="u1")
ABOUT_IT = {"name": "smollm", "group": "apps", "kind": "deployments"}


def status_body(code, **more):
    return json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, **more})


STRANGERS = {
    "a proxy's page": "404 page not found",
    "a login page": "<html>Sign in</html>",
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "another shape": '{"message": "no such route", "status": CODE}',
    "another status": '{"kind": "Status", "status": "Failure", "code": 599}',
    "a success": '{"kind": "Status", "status": "Success"}',
    "about another group": '{"kind": "Status", "status": "Failure", "code": CODE, '
    '"details": {"kind": "deployments", "name": "smollm", "group": "example.com"}}',
    "about one of that name before": '{"kind": "Status", "status": "Failure", "code": CODE, '
    '"details": {"kind": "deployments", "name": "smollm", "uid": "u0"}}',
    "without a code": '{"kind": "Status", "status": "Failure", "details": {"kind": "deployments", "name": "smollm"}}',
    "about another object": '{"kind": "Status", "status": "Failure", "code": CODE, '
    '"details": {"kind": "deployments", "name": "other"}}',
    "about another kind": '{"kind": "Status", "status": "Failure", "code": CODE, '
    '"details": {"kind": "ingresses", "name": "smollm"}}',
}
"""What stands in front of an API server and answers in its place."""


def stored(*, generation=2, **status):
    """A Deployment as an API server returns it."""
    deployment, _ = engine_manifests(engine_spec(replicas=2))
    deployment["metadata"]["generation"] = generation
    deployment["status"] = {"observedGeneration": generation, **status}
    return deployment


def pod(**container):
    status = {"name": "engine", "image": "registry.example/engine:1", "restartCount": 4, **container}
    return {"metadata": {"name": "smollm-1"}, "status": {"containerStatuses": [status]}}


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


def test_all_replicas_ready_and_none_outdated_is_settled():
    seen = observed(stored(replicas=2, updatedReplicas=2, readyReplicas=2), [])
    assert seen.is_settled
    assert seen.endpoints == ("http://smollm.quartermaster.svc:8000",)


@pytest.mark.parametrize(
    "status",
    [
        # An old one is left.
        {"replicas": 3, "updatedReplicas": 2, "readyReplicas": 2},
        {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 1},
        {"replicas": 2, "updatedReplicas": 1, "readyReplicas": 2},
        # News of yesterday.
        {
            "replicas": 2,
            "updatedReplicas": 2,
            "readyReplicas": 2,
            "observedGeneration": 1,
        },
        {},
    ],
)
def test_anything_else_is_not(status):
    assert not observed(stored(**status), []).is_settled


CRASHED = {
    "state": waiting("CrashLoopBackOff"),
    "lastState": {"terminated": {"reason": "Error", "exitCode": 7}},
}
OUT_OF_MEMORY = {"state": waiting("CrashLoopBackOff"), "lastState": {"terminated": {"reason": "OOMKilled"}}}
NO_IMAGE = {"state": waiting("ImagePullBackOff", "Back-off pulling")}
NO_SECRET = {"state": waiting("CreateContainerConfigError", 'secret "token" not found')}


@pytest.mark.parametrize(
    ("container", "kind", "words"),
    [
        (NO_IMAGE, "ImagePull", "registry.example/engine:1 cannot be pulled"),
        (NO_SECRET, "CannotStart", 'secret "token" not found'),
        (CRASHED, "Crashing", "exited with code 7, 4 time"),
        (OUT_OF_MEMORY, "Crashing", "more memory than its limit"),
    ],
)
def test_a_waiting_container_is_explained_once_however_many_wait(container, kind, words):
    (problem,) = observed(
        stored(replicas=2, updatedReplicas=2), [pod(**container), pod(**container)]
    ).problems
    assert problem.type == kind
    assert words in problem.message


def test_a_deployment_that_somebody_else_made_is_read_without_surprise():
    theirs = stored(replicas=2, updatedReplicas=2, readyReplicas=2)
    theirs["metadata"]["annotations"] = {"quartermaster.dev/generation": "latest"}
    del theirs["spec"]["template"]["spec"]["containers"][0]["ports"]
    seen = observed(theirs, [])
    assert (seen.generation, seen.spec_digest, seen.endpoints) == (0, "", ())


def test_a_pod_that_is_leaving_is_no_problem():
    leaving = pod(state=waiting("ImagePullBackOff"))
    leaving["metadata"]["deletionTimestamp"] = "2026-10-01T00:00:00Z"
    assert observed(stored(replicas=2, updatedReplicas=2), [leaving]).problems == ()


def test_a_change_that_takes_too_long_is_stalled_while_the_old_replicas_serve():
    deadline = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    seen = observed(stored(replicas=3, updatedReplicas=1, readyReplicas=2, conditions=[deadline]), [])
    assert [problem.type for problem in seen.problems] == ["Stalled"]
    assert seen.endpoints


@pytest.mark.parametrize("status", [0, 408, 409, 429, 500, 502, 503, 504])
def test_what_may_pass_is_temporary(status):
    assert isinstance(cluster_error(status, "whatever", ""), TemporaryClusterError)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 422])
def test_what_will_not_pass_is_permanent(status):
    body = status_body(
        status, message="no", reason="NotFound" if status == 404 else "", details=ABOUT_IT | {"uid": "u1"}
    )
    assert isinstance(cluster_error(status, "whatever", body, DEPLOYMENT), PermanentClusterError)


@pytest.mark.parametrize("details", [{}, {"details": None}, {"details": {}}], ids=str)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 415, 422])
def test_what_refuses_and_does_not_name_it_is_asked_again(status, details):
    """So speak access proxies, such as Teleport: their Status has a reason and no details."""
    body = status_body(status, message="kubernetes cluster not found", reason="NotFound", **details)
    error = cluster_error(status, "whatever", body, DEPLOYMENT)
    assert isinstance(error, TemporaryClusterError)
    assert "or a proxy in front of it" in str(error)
    assert "kubernetes cluster not found" in str(error)


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 413, 415, 422])
@pytest.mark.parametrize("body", STRANGERS, ids=STRANGERS)
def test_what_no_api_server_said_is_nobodys_refusal(status, body):
    error = cluster_error(status, "whatever", body.replace("CODE", str(status)), DEPLOYMENT)
    assert isinstance(error, TemporaryClusterError)
    assert "Something other than the cluster's API server" in str(error)


def test_a_quota_waits_wherever_it_is_met():
    body = status_body(
        403, message='deployments.apps "smollm" is forbidden: exceeded quota: small, requested: 1'
    )
    error = cluster_error(403, "Forbidden", body, DEPLOYMENT)
    assert isinstance(error, QuotaExceededError)
    assert "exceeded quota: small" in str(error)


NEEDS_AMOUNTS = (
    'deployments.apps "smollm" is forbidden: failed quota: gpu: must specify requests.cpu for: engine'
)
QUOTAS = [
    (
        403,
        'deployments.apps "smollm" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [high]}]',
        ABOUT_IT,
    ),
    (403, NEEDS_AMOUNTS, ABOUT_IT),
    (403, 'admission webhook "kueue.example.com" denied the request: quota exceeded', None),
    (400, 'admission webhook "q.example.com" denied the request: exceeded quota: a', None),
    (422, 'admission webhook "q.example.com" denied the request: Quota Exceeded for team a', None),
    (403, 'deployments.apps "smollm" is forbidden: Exceeded quota: small', ABOUT_IT),
    (429, 'admission webhook "q.example.com" denied the request: quota exceeded', None),
]


@pytest.mark.parametrize(("status", "message", "details"), QUOTAS, ids=str)
def test_a_quota_waits_whoever_says_it_and_in_whichever_words(status, message, details):
    more = {"details": details} if details else {}
    error = cluster_error(status, "whatever", status_body(status, message=message, **more), DEPLOYMENT)
    assert isinstance(error, QuotaExceededError)
    assert message in str(error)
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    (problem,) = observed(stored(replicas=0, conditions=[failed]), []).problems
    assert (problem.type, problem.reason) == ("QuotaExceeded", "ExceededQuota")
    assert message in problem.message
    for said in (str(error), problem.message):
        assert ("LimitRange" in said) is (message == NEEDS_AMOUNTS)
        assert ("Raise the namespace's quota" in said) is (message != NEEDS_AMOUNTS)


@pytest.mark.parametrize(
    "message", ["quotas.example.com is forbidden", "the quota controller denied it", "no"]
)
def test_what_only_speaks_of_quotas_is_no_quota(message):
    body = status_body(403, message=message, details=ABOUT_IT)
    assert isinstance(cluster_error(403, "Forbidden", body, DEPLOYMENT), PermanentClusterError)
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    (problem,) = observed(stored(replicas=0, conditions=[failed]), []).problems
    assert problem.type == "CannotStart"


def test_a_proxy_that_speaks_of_a_quota_is_nobodys_quota():
    of_another = {"details": ABOUT_IT | {"name": "other"}}
    strangers = ["quota exceeded", '{"message": "quota exceeded"}']
    for body in [*strangers, status_body(403, message="quota exceeded", **of_another)]:
        error = cluster_error(403, "Forbidden", body, DEPLOYMENT)
        assert not isinstance(error, QuotaExceededError)
        assert isinstance(error, TemporaryClusterError)


def test_a_namespace_that_is_going_away_can_be_made_anew_later():
    body = status_body(403, message='services "x" is forbidden: namespace n because it is being terminated')
    assert isinstance(cluster_error(403, "Forbidden", body), TemporaryClusterError)


def test_what_an_admission_webhook_forbids_is_a_refusal_though_it_names_nothing():
    body = status_body(
        403, message='admission webhook "sign.example.com" denied the request: image not signed'
    )
    error = cluster_error(403, "Forbidden", body, DEPLOYMENT)
    assert isinstance(error, PermanentClusterError)
    assert "image not signed" in str(error)


def test_a_forbidden_verb_is_named_with_group_and_namespace():
    message = (
        'deployments.apps "smollm" is forbidden: User "u" cannot patch resource "deployments" in API group "apps" '
        'in the namespace "lab"'
    )
    error = cluster_error(403, "Forbidden", status_body(403, message=message, details=ABOUT_IT), DEPLOYMENT)
    assert "may not patch deployments.apps in namespace lab" in str(error)


@pytest.mark.parametrize("status", [0, 400, 401, 403, 404, 409, 422, 503])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>7</html>",
        status_body(403, message="x7", details=ABOUT_IT),
        status_body(422, message="x7", details=ABOUT_IT),
    ],
)
def test_every_error_is_said_in_the_language_of_the_reader(status, body):
    said = str(cluster_error(status, "x7", body, DEPLOYMENT))
    with override("zh-hans"):
        assert re.search("[\\u4e00-\\u9fff]", retold(said)), said


@pytest.mark.parametrize("container", [NO_IMAGE, CRASHED, OUT_OF_MEMORY])
def test_every_condition_is_said_in_the_language_of_the_reader(container):
    seen = observed(stored(replicas=2, updatedReplicas=1), [pod(**container)])
    with override("zh-hans"):
        for condition in (*seen.conditions, terminating(), *service_left().conditions):
            assert re.search("[\\u4e00-\\u9fff]", retold(condition.message)), condition
