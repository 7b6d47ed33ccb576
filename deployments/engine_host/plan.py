"""What the engine host reads from a Deployment object: the program, its environment, and how to look after it."""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.cluster.base import Manifest
from deployments.manifests import HOST_VARIABLE, PORT_VARIABLE

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


@dataclass(frozen=True)
class EnginePlan:
    """One deployment, as far as this machine can run it. Image, volumes and security context have no meaning here."""

    namespace: str
    name: str
    replicas: int
    template: str
    """Digest of the pod template: replicas with another digest are replaced."""
    command: tuple[str, ...]
    environment: Mapping[str, str]
    extended_resources: Mapping[str, int]
    """GPUs and their kind per replica, such as {"nvidia.com/gpu": 2}. CPU and memory are not limited here."""
    health_path: str
    startup_timeout_seconds: float
    health_period_seconds: float
    liveness_failures: int
    stop_seconds: float
    max_surge: int
    max_unavailable: int

    def argv(self, *, host: str, port: int) -> list[str]:
        """The program with its arguments, listening on `host` and `port`. `python` is the Python running
        now."""
        environment = self.variables(host=host, port=port)
        words = [expand(word, environment) for word in self.command]
        if words[0] in ("python", "python3"):
            words[0] = sys.executable
        return words

    def variables(self, *, host: str, port: int) -> dict[str, str]:
        return {**self.environment, HOST_VARIABLE: host, PORT_VARIABLE: str(port)}


def plan_engine(deployment: Manifest) -> EnginePlan:
    """Read a Deployment object as `deployments.manifests` writes it.

    Raises ValueError, saying what to change, for a deployment that this machine cannot run.
    """
    metadata, spec = deployment["metadata"], deployment["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    if not container.get("command"):
        raise ValueError(
            f"{metadata['name']} names no command, only the image {container.get('image')}. The local "
            "cluster runs programs of this machine, not images: give the runtime a command."
        )
    startup, readiness = container["startupProbe"], container["readinessProbe"]
    rolling = spec.get("strategy", {}).get("rollingUpdate", {})
    literal = {item["name"]: item["value"] for item in container.get("env", []) if "value" in item}
    environment: dict[str, str] = {}
    # A value may refer to the ones above it.
    for name, value in literal.items():
        environment[name] = expand(value, environment)
    return EnginePlan(
        namespace=metadata["namespace"],
        name=metadata["name"],
        replicas=int(spec["replicas"]),
        template=_digest(spec["template"]),
        command=(*container["command"], *container.get("args", [])),
        environment=environment,
        extended_resources={
            name: int(amount)
            for name, amount in container.get("resources", {}).get("limits", {}).items()
            if "/" in name and int(amount)
        },
        health_path=readiness["httpGet"]["path"],
        startup_timeout_seconds=startup["periodSeconds"] * startup["failureThreshold"],
        health_period_seconds=readiness["periodSeconds"],
        liveness_failures=container["livenessProbe"]["failureThreshold"],
        stop_seconds=pod.get("terminationGracePeriodSeconds", 30),
        max_surge=int(rolling.get("maxSurge", 1)),
        max_unavailable=int(rolling.get("maxUnavailable", 0)),
    )


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value as Kubernetes does: an unknown name stays, `$$` is one `$`."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
