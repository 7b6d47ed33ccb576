"""The Kubernetes objects of an engine, whole."""

from dataclasses import replace

import pytest

from deployments.manifests import EngineSpec, RuntimeSpec, engine_manifests
from deployments.quantities import canonical_quantity

DEPLOYMENT_ID = "01930f4e-7d3a-7c11-9c3f-0a4b5c6d7e8f"
SPEC = EngineSpec(
    deployment_id=DEPLOYMENT_ID,
    generation=4,
    name="llama-3-8b-eu",
    namespace="aurora-bank",
    model="llama-3-8b-instruct",
    upstream_model="meta-llama/Llama-3-8B-Instruct",
    version="2026-10-01",
    runtime=RuntimeSpec(
        image="registry.example/vllm@sha256:abc",
        command=("vllm", "serve", "{model}"),
        args=("--host", "{host}", "--port={port}", "--override", '{"x": 1}'),
        port=8001,
        env={"HF_HUB_OFFLINE": "1", "PRICE": "$(cheap)"},
    ),
    replicas=2,
    gpus_per_replica=4,
    cpu="8000m",
    memory="65536Mi",
    startup_timeout_seconds=601,
    labels={"quartermaster.dev/tenant": "aurora-bank"},
)
LABELS = {
    "quartermaster.dev/tenant": "aurora-bank",
    "app.kubernetes.io/name": "engine",
    "app.kubernetes.io/instance": "llama-3-8b-eu",
    "app.kubernetes.io/component": "inference",
    "app.kubernetes.io/managed-by": "quartermaster",
    "quartermaster.dev/deployment": DEPLOYMENT_ID,
}
MODEL = {
    "quartermaster.dev/model": "llama-3-8b-instruct",
    "quartermaster.dev/model-version": "2026-10-01",
}
AMOUNTS = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "4"}


def probe(failures):
    return {
        "httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"},
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def test_an_engine_becomes_one_deployment_and_one_service():
    deployment, service = engine_manifests(SPEC)
    digest = deployment["metadata"]["annotations"].pop("quartermaster.dev/spec-digest")
    assert digest.startswith("sha256:")
    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "llama-3-8b-eu",
            "namespace": "aurora-bank",
            "labels": LABELS,
            "annotations": {**MODEL, "quartermaster.dev/generation": "4"},
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"quartermaster.dev/deployment": DEPLOYMENT_ID}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 661,
            "template": {
                "metadata": {"labels": LABELS, "annotations": MODEL},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 60,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "runAsGroup": 10001,
                        "fsGroup": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "engine",
                            "image": "registry.example/vllm@sha256:abc",
                            "command": ["vllm", "serve", "meta-llama/Llama-3-8B-Instruct"],
                            "args": [
                                "--host",
                                "$(ENGINE_HOST)",
                                "--port=$(ENGINE_PORT)",
                                "--override",
                                '{"x": 1}',
                            ],
                            "env": [
                                {"name": "ENGINE_HOST", "value": "0.0.0.0"},
                                {"name": "ENGINE_PORT", "value": "8001"},
                                {"name": "HF_HUB_OFFLINE", "value": "1"},
                                {"name": "HOME", "value": "/tmp"},
                                {"name": "PRICE", "value": "$$(cheap)"},
                            ],
                            "ports": [{"name": "http", "containerPort": 8001, "protocol": "TCP"}],
                            "resources": {"requests": AMOUNTS, "limits": AMOUNTS},
                            "startupProbe": probe(121),
                            "readinessProbe": probe(2),
                            "livenessProbe": probe(6),
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "volumeMounts": [
                                {"name": "tmp", "mountPath": "/tmp"},
                                {"name": "shm", "mountPath": "/dev/shm"},
                            ],
                        }
                    ],
                    "volumes": [
                        {"name": "tmp", "emptyDir": {}},
                        {"name": "shm", "emptyDir": {"medium": "Memory"}},
                    ],
                },
            },
        },
    }
    assert service == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "llama-3-8b-eu", "namespace": "aurora-bank", "labels": LABELS},
        "spec": {
            "type": "ClusterIP",
            "selector": {"quartermaster.dev/deployment": DEPLOYMENT_ID},
            "ports": [{"name": "http", "port": 8001, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def test_an_engine_without_gpus_asks_for_none():
    deployment, _ = engine_manifests(replace(SPEC, gpus_per_replica=0))
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "8", "memory": "64Gi"}
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}]


def test_an_image_with_its_own_entry_point_gets_no_empty_command():
    deployment, _ = engine_manifests(replace(SPEC, runtime=RuntimeSpec(image="registry.example/tgi:3")))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert "command" not in container
    assert "args" not in container


def digest_of(spec):
    return engine_manifests(spec)[0]["metadata"]["annotations"]["quartermaster.dev/spec-digest"]


def test_the_digest_follows_what_is_wanted_and_not_how_often_it_was_said():
    assert digest_of(SPEC) == digest_of(replace(SPEC, generation=5))
    assert digest_of(SPEC) != digest_of(replace(SPEC, replicas=3))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "Llama"}, "^name must be at most 63"),
        ({"name": "a" * 64}, "^name must be"),
        ({"namespace": "../etc"}, "^namespace must be"),
        ({"deployment_id": "no spaces"}, "^deployment_id cannot have"),
        ({"labels": {"team": "a b"}}, "^team cannot have"),
        ({"replicas": -1}, "cannot be negative"),
        ({"memory": "lots"}, "'lots' is not a quantity"),
        ({"runtime": RuntimeSpec(image="x", port=0)}, "port must be between"),
        ({"runtime": RuntimeSpec(image="x", health_path="health")}, "must start with a slash"),
        ({"runtime": RuntimeSpec(image="")}, "needs an image"),
        ({"runtime": RuntimeSpec(image="x", env={"ENGINE_PORT": "1"})}, "Quartermaster sets ENGINE_PORT"),
        ({"runtime": RuntimeSpec(image="x", env={"a b": "1"})}, "'a b' is not a variable name"),
    ],
)
def test_what_a_cluster_would_refuse_is_refused_here_by_name(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        engine_manifests(replace(SPEC, **changes))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("1", "1"), ("1000m", "1"), ("0.5", "500m"), ("1500m", "1500m"), ("2.5", "2500m"), ("0", "0"),
        ("12000", "12k"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1000Mi", "1000Mi"), ("0.5Ki", "512"),
        ("16G", "16G"), ("1000M", "1G"),
    ],
)  # fmt: skip
def test_quantities_are_spelled_as_the_api_server_does(written, canonical):
    assert canonical_quantity(written) == canonical
    assert canonical_quantity(canonical) == canonical


@pytest.mark.parametrize("written", ["", "1 Gi", "-1", "1e3", "Gi", "0.0001", "0.0001Ki"])
def test_what_is_no_quantity_is_refused(written):
    with pytest.raises(ValueError, match=r"not a quantity|too precise"):
        canonical_quantity(written)
