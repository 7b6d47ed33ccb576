"""Whatever else may come back from the address of an API server: half, huge, slow, packed, redirected, or about
something else. None of it ends a deletion, refuses a deployment or breaks the console."""

import gzip
import json
import time

import pytest

from deployments.actions import delete_deployment, reconcile
from deployments.cluster import kubernetes_wire
from deployments.cluster.base import (
    PermanentClusterError,
    QuotaExceededError,
    TemporaryClusterError,
)
from deployments.manifests import engine_manifests
from deployments.models import Deployment
from tests.deployments.api_server_stub import HTML, JSON, TEXT, Stub, driver_of, failure
from tests.deployments.cluster_fixtures import STUB_ID, engine_spec
from tests.factories import ClusterFactory, DeploymentFactory

NAMED = {"name": "stub-one", "group": "apps", "kind": "deployments"}


def held(**changes):
    """Our Deployment as an API server would send it, but for `changes` of its metadata."""
    metadata = {"name": "stub-one", "namespace": "quartermaster", "uid": "u1", "generation": 1}
    return {"kind": "Deployment", "metadata": metadata | changes, "spec": {"replicas": 1}}


def status_of(code, reason, message="not now", **details):
    return code, JSON, failure(code, reason, message, **details)


ANSWERS = {
    "404 of the namespace": status_of(404, "NotFound", kind="namespaces", name="quartermaster"),
    "404 of the resource": (
        404,
        JSON,
        json.dumps(
            json.loads(failure(404, "NotFound", "the server could not find the requested resource"))
            | {"details": {}}
        ),
    ),
    "404 without details told as null": (
        404,
        JSON,
        json.dumps(json.loads(failure(404, "NotFound", "not found")) | {"details": None}),
    ),
    "404 of another API's Status": (
        404,
        JSON,
        json.dumps(json.loads(failure(404, "NotFound", "no", **NAMED)) | {"apiVersion": "proxy.example/v1"}),
    ),
    "404 that says 403 inside": (404, JSON, failure(403, "NotFound", "no", **NAMED)),
    "404 of another uid": status_of(404, "NotFound", **(NAMED | {"name": "stub-two", "uid": "u9"})),
    "410 gone": status_of(410, "Gone", **NAMED),
    "410 expired": status_of(410, "Expired", "too old resource version", **NAMED),
    "409 of it": status_of(409, "Conflict", "the object has been modified", **NAMED),
    "429 of it": (
        429,
        JSON,
        failure(429, "TooManyRequests", "slow down", **NAMED, retryAfterSeconds=5),
        {"retry-after": "5"},
    ),
    "401 of it": status_of(401, "Unauthorized", "token expired", **NAMED),
    "402 of it": status_of(402, "PaymentRequired", **NAMED),
    "407 of it": status_of(407, "ProxyAuthenticationRequired", **NAMED),
    "451 of it": status_of(451, "UnavailableForLegalReasons", **NAMED),
    "503 of an aggregated API": status_of(503, "ServiceUnavailable", "the server is unable to handle it"),
    "a redirect with a Status": status_of(302, "Found", **NAMED),
    "a watch that ends": (
        200,
        JSON,
        json.dumps({"type": "ERROR", "object": json.loads(failure(410, "Expired", "too old"))}),
    ),
    "200 of another namespace": (200, JSON, json.dumps(held(namespace="elsewhere"))),
    "200 of another group": (200, JSON, json.dumps(held() | {"apiVersion": "example.com/v1"})),
    "200 without a uid": (200, JSON, json.dumps(held(uid=""))),
    "a list of it": (200, JSON, json.dumps({"kind": "DeploymentList", "items": [held()]})),
    "cut off": (200, JSON, json.dumps(held())[:-30]),
    "packed and broken": (200, JSON, b"\x1f\x8bnonsense", {"content-encoding": "gzip"}),
    "packed, and not said so": (404, JSON, gzip.compress(failure(404, "NotFound", "no", **NAMED).encode())),
    "another character set": (404, "text/html; charset=x-none", "Zug\u00e4nge".encode("latin-1")),
    "binary": (200, TEXT, bytes(range(256))),
    "nested": (200, JSON, '{"a":' * 20_000),
    "a very long number": (200, JSON, '{"kind": "Deployment", "x": ' + "9" * 10_000 + "}"),
}


@pytest.fixture
def deployment(db, kubernetes):
    deployment = DeploymentFactory(name="stub-one", cluster=ClusterFactory(driver="kubernetes"))
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    return deployment


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_answer_about_the_object_means_away(deployment, stub, kubernetes, operator, answer):
    stub.stranger = answer
    with pytest.raises(TemporaryClusterError):
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)
    for _ in range(2):
        with pytest.raises(TemporaryClusterError):
            reconcile(deployment.pk, cluster=kubernetes)
        deployment.refresh_from_db()
        assert deployment.conditions[0]["reason"] == "ClusterAway"
        assert deployment.state == Deployment.State.DEGRADED
        if not deployment.is_deleted:
            delete_deployment(deployment.pk, by=operator)
    assert stub.runs
    stub.stranger = None
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert (deployment.state, stub.runs) == (Deployment.State.DELETED, False)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_carries_our_token_to_another_host(stub, kubernetes, code):
    other = Stub()
    try:
        stub.stranger = (code, HTML, "", {"location": f"http://127.0.0.1:{other.port}/steal"})
        for ask in (
            lambda: kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one"))),
            lambda: kubernetes.observe("quartermaster", "stub-one", STUB_ID),
            lambda: kubernetes.delete("quartermaster", "stub-one", STUB_ID),
            lambda: kubernetes.check("quartermaster"),
        ):
            with pytest.raises(TemporaryClusterError):
                ask()
        assert (other.asked, {path for _, path in stub.asked} & {"/steal"}) == ([], set())
    finally:
        other.server.shutdown()
        other.server.server_close()


@pytest.mark.parametrize("code", [200, 404])
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_very_large_answer_is_given_up(stub, kubernetes, monkeypatch, code, is_packed):
    monkeypatch.setattr(kubernetes_wire, "MOST_BYTES", 2 * 1024 * 1024)
    body = json.dumps(held(annotations={"a": "x" * 8 * 1024 * 1024})).encode()
    more = {"content-encoding": "gzip"} if is_packed else {}
    stub.stranger = (code, JSON, gzip.compress(body) if is_packed else body, more)
    with pytest.raises(TemporaryClusterError, match="more than 2 MiB"):
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)


def test_an_answer_that_trickles_is_given_up_in_time(stub):
    kubernetes = driver_of(stub, timeout_seconds=0.5)

    def trickle(handler):
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _ in range(600):
            handler.wfile.write(b" ")
            time.sleep(0.1)

    stub.stranger = trickle
    started = time.monotonic()
    with pytest.raises(TemporaryClusterError, match="incomplete"):
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\u202egnp.exe", "a\nb"])
def test_the_words_of_a_refusal_are_written_down_whatever_is_in_them(deployment, stub, kubernetes, text):
    stub.answer = lambda method, path, body: (
        (422, JSON, failure(422, "Invalid", f"no {text} here", **NAMED))
        if method == "PATCH" and "/deployments/" in path
        else Stub.answer(stub, method, path, body)
    )
    reconcile(deployment.pk, cluster=kubernetes)
    deployment.refresh_from_db()
    assert deployment.conditions[0]["reason"] == "Refused"
    assert not set(text) & set("\x00\ud800\u202e\n") & set(deployment.conditions[0]["message"])


QUOTAS = [
    "exceeded quota: small, requested: pods=1",
    'exceeded hierarchical quota in namespace "team"',
    "insufficient regional quota to satisfy request",
    "Quota 'NVIDIA_GPUS' exceeded. Limit: 8",
    'quota "gpu" exceeded',
    "resource quota insufficient",
    "the request would exceed the project's quota",
    "QuotaExceeded",
    "your team is over its quota",
]
NO_QUOTAS = [
    'the label "quota-class" must not exceed 63 characters',
    'maximum cpu usage per Container is 1, but limit is 2 (LimitRange "quota")',
    "the annotation quota is required",
]


@pytest.mark.parametrize("code", [400, 403, 422])
@pytest.mark.parametrize("words", QUOTAS)
def test_a_quota_in_any_words_waits(stub, kubernetes, words, code):
    said = f'admission webhook "quota.example.com" denied the request: {words}'
    stub.answer = lambda method, path, body: (
        (code, JSON, failure(code, "Forbidden", said))
        if method == "PATCH"
        else Stub.answer(stub, method, path, body)
    )
    with pytest.raises(QuotaExceededError):
        kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))


@pytest.mark.parametrize("words", NO_QUOTAS)
def test_a_refusal_that_only_names_a_quota_is_none_of_one(stub, kubernetes, words):
    said = f'admission webhook "check-quota.example.com" denied the request: {words}'
    stub.answer = lambda method, path, body: (
        (403, JSON, failure(403, "Forbidden", said))
        if method == "PATCH"
        else Stub.answer(stub, method, path, body)
    )
    with pytest.raises(PermanentClusterError):
        kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))


@pytest.mark.parametrize("count", [10**15, -1, "3", True, 1.5])
def test_a_number_of_replicas_that_is_none_is_no_answer(stub, kubernetes, count):
    kubernetes.apply(engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one")))
    (document,) = (each for path, each in stub.held.items() if "/deployments/" in path)
    document["status"]["readyReplicas"] = count
    with pytest.raises(TemporaryClusterError, match="readyReplicas is not a number"):
        kubernetes.observe("quartermaster", "stub-one", STUB_ID)


def test_a_pod_that_waits_in_a_queue_is_a_quota(stub, kubernetes):
    manifests = engine_manifests(engine_spec(deployment_id=STUB_ID, name="stub-one"))
    kubernetes.apply(manifests)
    (document,) = (each for path, each in stub.held.items() if "/deployments/" in path)
    document["status"]["readyReplicas"] = 0
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    stub.pods = [
        {
            "metadata": {"name": "stub-one-1"},
            "spec": {"schedulingGates": [{"name": gate}]},
            "status": {"conditions": [gated]},
        }
        for gate in ("kueue.x-k8s.io/admission", "example.com/someone")
    ]
    problems = {each.type: each for each in kubernetes.observe("quartermaster", "stub-one", STUB_ID).problems}
    assert problems["QuotaExceeded"].reason == "WaitsInQueue"
    assert "example.com/someone" in problems["Unschedulable"].message


def without_version(answer):
    """An API server whose `/version` is closed, and which lets us do all but list nodes."""

    def serve(method, path, body):
        if path == "/version/":
            return answer
        if path.endswith("/selfsubjectaccessreviews"):
            asks = json.loads(body)["spec"]["resourceAttributes"]
            review = {"kind": "SelfSubjectAccessReview", "status": {"allowed": asks["resource"] != "nodes"}}
            return 201, JSON, json.dumps(json.loads(body) | review)
        return 404, JSON, failure(404, "NotFound", "not found")

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        status_of(403, "Forbidden", 'User "q" cannot get path "/version"'),
        (404, TEXT, "404 page not found\n"),
        (200, HTML, "<html>Sign in</html>"),
        (302, HTML, ""),
    ],
)
def test_a_cluster_that_does_not_tell_its_version_can_be_used(stub, kubernetes, answer):
    stub.answer = without_version(answer)
    facts = kubernetes.check("quartermaster")
    assert (facts.version, facts.missing_permissions) == ("", ())


def test_an_echo_is_no_access_review(stub, kubernetes):
    stub.answer = lambda method, path, body: (201, JSON, body or b"{}")
    with pytest.raises(TemporaryClusterError):
        kubernetes.check("quartermaster")
