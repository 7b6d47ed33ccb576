"""Turns an engine's specification into Kubernetes objects: pure functions; no database, no cluster, no clock.

All drivers take these objects, so the local one runs the same command as Kubernetes. Amounts are strings in the
API server's spelling: server-side apply refuses integers, and stores any other spelling anew.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.cluster.base import (
    DEPLOYMENT_LABEL,
    DIGEST_ANNOTATION,
    GENERATION_ANNOTATION,
    Manifest,
)
from deployments.quantities import canonical_quantity

CONTAINER = "engine"
PORT_NAME = "http"
HOST_VARIABLE = "ENGINE_HOST"
PORT_VARIABLE = "ENGINE_PORT"

_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER_ID = (
    # Nobody's in particular; the pod's security context refuses images that insist on root.
    10001
)
_PROBE_PERIOD_SECONDS = 5


@dataclass(frozen=True)
class RuntimeSpec:
    """How an engine is started. In `command` and `args`, `{model}`, `{host}` and `{port}` stand for the
    model's upstream name and the address to listen on."""

    image: str
    command: tuple[str, ...] = ()
    """The program; empty means the image's own entry point (which the local cluster cannot know, and
    refuses)."""
    args: tuple[str, ...] = ()
    port: int = 8000
    health_path: str = "/health"
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineSpec:
    """What one deployment requires of a cluster."""

    deployment_id: str
    generation: int
    # A DNS label, which is also the host name of its Service.
    name: str
    namespace: str
    model: str  # public name
    # The engine's name for the model.
    upstream_model: str
    version: str
    runtime: RuntimeSpec
    replicas: int = 1
    gpus_per_replica: int = 0
    gpu_resource: str = "nvidia.com/gpu"
    cpu: str = "1"
    memory: str = "2Gi"
    startup_timeout_seconds: int = 600
    """How long a replica may take from its start to its first healthy answer, loading weights included."""
    shutdown_timeout_seconds: int = 60
    """How long a replica may take to finish its streams when it is told to stop."""
    labels: Mapping[str, str] = field(default_factory=dict)


def engine_manifests(spec: EngineSpec) -> list[Manifest]:
    """The Deployment and the Service of one engine. Raises ValueError naming the field that a cluster would refuse."""
    _check(spec)
    service = _service(spec)
    deployment = _deployment(spec)
    wanted = json.dumps([deployment, service], sort_keys=True, separators=(",", ":"))
    deployment["metadata"]["annotations"] |= {
        GENERATION_ANNOTATION: str(spec.generation),
        DIGEST_ANNOTATION: f"sha256:{hashlib.sha256(wanted.encode()).hexdigest()}",
    }
    return [deployment, service]


def _check(spec: EngineSpec) -> None:
    for name, value in [("name", spec.name), ("namespace", spec.namespace)]:
        if not _DNS_LABEL.fullmatch(value):
            raise ValueError(
                f"{name} must be at most 63 lower-case letters, digits and hyphens, starting with "
                f"a letter, not {value!r}."
            )
    for key, value in [("deployment_id", spec.deployment_id), *spec.labels.items()]:
        if not _LABEL_VALUE.fullmatch(value):
            raise ValueError(f"{key} cannot have the label value {value!r}.")
    if spec.replicas < 0 or spec.gpus_per_replica < 0:
        raise ValueError("replicas and gpus_per_replica cannot be negative.")
    if not spec.runtime.image:
        raise ValueError("The runtime needs an image.")
    for variable in spec.runtime.env:
        if not _VARIABLE.fullmatch(variable):
            raise ValueError(f"{variable!r} is not a variable name.")
        if variable in (HOST_VARIABLE, PORT_VARIABLE):
            raise ValueError(f"Quartermaster sets {variable}; omit it from the runtime's environment.")
    if not 1 <= spec.runtime.port <= 65535:
        raise ValueError(f"The runtime's port must be between 1 and 65535, not {spec.runtime.port}.")
    if not spec.runtime.health_path.startswith("/"):
        raise ValueError(
            f"The runtime's health path must start with a slash, not {spec.runtime.health_path!r}."
        )


def _labels(spec: EngineSpec) -> dict[str, str]:
    return {
        **spec.labels,
        "app.kubernetes.io/name": "engine",
        "app.kubernetes.io/instance": spec.name,
        "app.kubernetes.io/component": "inference",
        "app.kubernetes.io/managed-by": "quartermaster",
        DEPLOYMENT_LABEL: spec.deployment_id,
    }


def _describing_annotations(spec: EngineSpec) -> dict[str, str]:
    """Public names may be longer than a label allows, so they are annotations."""
    return {"quartermaster.dev/model": spec.model, "quartermaster.dev/model-version": spec.version}


def _deployment(spec: EngineSpec) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "labels": _labels(spec),
            "annotations": _describing_annotations(spec),
        },
        "spec": {
            "replicas": spec.replicas,
            "selector": {"matchLabels": {DEPLOYMENT_LABEL: spec.deployment_id}},
            # A new replica is ready before an old one stops, which needs room for one more.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": spec.startup_timeout_seconds + 60,
            "template": {
                "metadata": {"labels": _labels(spec), "annotations": _describing_annotations(spec)},
                "spec": _pod(spec),
            },
        },
    }


def _pod(spec: EngineSpec) -> Manifest:
    resources = {"cpu": canonical_quantity(spec.cpu), "memory": canonical_quantity(spec.memory)}
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {}}]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 (the container's own, empty at each start)
    if spec.gpus_per_replica:
        resources[spec.gpu_resource] = str(spec.gpus_per_replica)
        # The GPUs of one replica communicate through it.
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.shutdown_timeout_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "runAsGroup": _USER_ID,
            "fsGroup": _USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": spec.runtime.image,
                **_program(spec),
                "env": _environment(spec),
                "ports": [{"name": PORT_NAME, "containerPort": spec.runtime.port, "protocol": "TCP"}],
                "resources": {"requests": dict(resources), "limits": dict(resources)},
                **_probes(spec),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }


def _program(spec: EngineSpec) -> dict[str, list[str]]:
    """Command and arguments. The address becomes a reference to the container's environment: Kubernetes expands
    it, and the local cluster sets it to a free port of this machine."""
    meanings = {
        "{model}": _literal(spec.upstream_model),
        "{host}": f"$({HOST_VARIABLE})",
        "{port}": f"$({PORT_VARIABLE})",
    }

    def fill(word: str) -> str:
        return re.sub("|".join(map(re.escape, meanings)), lambda match: meanings[match[0]], word)

    program = {
        "command": [fill(word) for word in spec.runtime.command],
        "args": [fill(word) for word in spec.runtime.args],
    }
    return {key: words for key, words in program.items() if words}


def _literal(text: str) -> str:
    """Escape text so that Kubernetes leaves it as it is: `$(` would begin a reference, and `$$` stands for one `$`."""
    return text.replace("$", "$$")


def _environment(spec: EngineSpec) -> list[dict[str, str]]:
    variables = {"HOME": "/tmp"} | {name: _literal(value) for name, value in spec.runtime.env.items()}  # noqa: S108
    variables |= {HOST_VARIABLE: "0.0.0.0", PORT_VARIABLE: str(spec.runtime.port)}  # noqa: S104 (inside its pod)
    return [{"name": name, "value": value} for name, value in sorted(variables.items())]


def _probes(spec: EngineSpec) -> Manifest:
    def probe(failures: int) -> Manifest:
        return {
            "httpGet": {"path": spec.runtime.health_path, "port": PORT_NAME, "scheme": "HTTP"},
            "periodSeconds": _PROBE_PERIOD_SECONDS,
            "timeoutSeconds": 3,
            "failureThreshold": failures,
        }

    return {
        "startupProbe": probe(max(1, -(-spec.startup_timeout_seconds // _PROBE_PERIOD_SECONDS))),
        "readinessProbe": probe(2),
        # Slow under load does not mean dead.
        "livenessProbe": probe(6),
    }


def _service(spec: EngineSpec) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": spec.name, "namespace": spec.namespace, "labels": _labels(spec)},
        "spec": {
            "type": "ClusterIP",
            "selector": {DEPLOYMENT_LABEL: spec.deployment_id},
            "ports": [
                {"name": PORT_NAME, "port": spec.runtime.port, "targetPort": PORT_NAME, "protocol": "TCP"}
            ],
        },
    }
