"""A cluster in a dictionary, for tests: it follows the contract, acts at once, and fails on request."""

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deployments.cluster.base import (
    ClusterFacts,
    Condition,
    ConditionType,
    Manifest,
    Observed,
    PermanentClusterError,
    QuotaExceededError,
    TemporaryClusterError,
    find_deployment,
    is_anothers,
    require_ours,
)
from deployments.cluster.drift import is_same_spec, put_back
from deployments.cluster.summary import counts_as_change, summarize


@dataclass
class _Held:
    manifests: list[Manifest]
    generation: int = 1


class MemoryCluster:
    """Every replica that fits is ready as soon as it is applied.

    `endpoint` is the pattern of a deployment's base URL: a test may point it to a real server. The counters
    show how often something was requested or really changed.
    """

    def __init__(
        self,
        resources: Mapping[str, int] | None = None,
        endpoint: str = "http://{name}.{namespace}.svc:{port}",
    ) -> None:
        self.resources = {"nvidia.com/gpu": 16} if resources is None else dict(resources)
        self.endpoint = endpoint
        self.is_away = False
        self.denied: set[str] = set()
        """Permissions that are missing, as "patch deployments.apps"."""
        self.quota_is_full = False
        self.problems: dict[tuple[str, str], Condition] = {}
        """By namespace and name: what keeps a deployment from becoming ready."""
        self.applies = self.changes = 0
        self._held: dict[tuple[str, str], _Held] = {}

    def apply(self, manifests: Sequence[Manifest]) -> Observed:
        self.applies += 1
        deployment = find_deployment(manifests)
        key = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        self._require("patch deployments.apps")
        before = self._held.get(key)
        if before is not None:
            require_ours(before.manifests, deployment)
        if self.quota_is_full and before is None:
            raise QuotaExceededError("exceeded quota: deployments.apps (this one was told so).")
        if before is None:
            self._held[key] = _Held(copy.deepcopy(list(manifests)))
            self.changes += 1
        elif before.manifests != list(manifests):
            changed = counts_as_change(find_deployment(before.manifests), deployment)
            generation = before.generation + (1 if changed else 0)
            self._held[key] = _Held(copy.deepcopy(list(manifests)), generation)
            self.changes += 1
        held = before.manifests if before else []
        had = find_deployment(held) if held else None
        healed = put_back(manifests, held) if is_same_spec(had, deployment) else ()
        return replace(self._observed(key), is_created=had is None, put_back=healed)

    def observe(self, namespace: str, name: str, deployment_id: str) -> Observed | None:
        self._require("get deployments.apps")
        return self._observed((namespace, name)) if self._has((namespace, name), deployment_id) else None

    def delete(self, namespace: str, name: str, deployment_id: str) -> None:
        self._require("delete deployments.apps")
        if self._has((namespace, name), deployment_id):
            del self._held[namespace, name]
            self.changes += 1

    def check(self, namespace: str) -> ClusterFacts:
        self._require()
        resources = {kind: str(count) for kind, count in self.resources.items()}
        return ClusterFacts("memory/1", tuple(sorted(self.denied)), resources)

    def tamper(self, namespace: str, name: str, replicas: int) -> None:
        """Change the number of replicas directly, as someone with kubectl would."""
        held = self._held[namespace, name]
        find_deployment(held.manifests)["spec"]["replicas"] = replicas

    def names(self) -> list[tuple[str, str]]:
        """The namespace and name of everything held, for tests that look for orphans."""
        return sorted(self._held)

    def _has(self, key: tuple[str, str], deployment_id: str) -> bool:
        held = self._held.get(key)
        return held is not None and not is_anothers(find_deployment(held.manifests), deployment_id)

    def _require(self, *permissions: str) -> None:
        if self.is_away:
            raise TemporaryClusterError("The cluster does not answer (this one was told not to).")
        for permission in permissions:
            if permission in self.denied:
                raise PermanentClusterError(f"The cluster's credentials may not {permission}.")

    def _observed(self, key: tuple[str, str]) -> Observed:
        held = self._held[key]
        deployment = find_deployment(held.manifests)
        wanted = int(deployment["spec"]["replicas"])
        problem = self.problems.get(key) or self._does_not_fit(key)
        ready = 0 if problem else wanted
        namespace, name = key
        port = deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
        return summarize(
            deployment,
            cluster_generation=held.generation,
            ready=ready,
            updated=wanted,
            total=wanted,
            updated_ready=ready,
            endpoints=[self.endpoint.format(name=name, namespace=namespace, port=port)] if ready else [],
            problems=[problem] if problem else [],
        )

    def _does_not_fit(self, key: tuple[str, str]) -> Condition | None:
        """First come, first served, in the order of the first apply."""
        earlier = list(itertools.takewhile(lambda other: other != key, self._held))
        wanted = _asked(self._held[key])
        for kind, count in wanted.items():
            free = self.resources.get(kind, 0) - sum(
                _asked(self._held[other]).get(kind, 0) for other in earlier
            )
            if count > free:
                return Condition(
                    ConditionType.UNSCHEDULABLE,
                    "True",
                    "InsufficientResources",
                    f"Insufficient {kind}: {count} wanted, {max(free, 0)} free.",
                )
        return None


def _asked(held: _Held) -> dict[str, int]:
    spec = find_deployment(held.manifests)["spec"]
    limits = spec["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    return {kind: int(amount) * int(spec["replicas"]) for kind, amount in limits.items() if "/" in kind}
