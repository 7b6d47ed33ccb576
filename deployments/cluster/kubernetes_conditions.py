"""Describes a Kubernetes Deployment and its pods in the terms of `deployments.cluster.base`. Pure functions on
dictionaries."""

from collections.abc import Iterator, Sequence
from typing import Any

from deployments.cluster.base import Condition, ConditionType, Manifest, Observed
from deployments.cluster.kubernetes_quota import is_of_quota, way_out
from deployments.cluster.summary import summarize

_IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
}
_MOST_NAMED = 5  # pods in a sentence
_CONFIGURATION_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


def observed(deployment: Manifest, pods: Sequence[Manifest]) -> Observed:
    """The Observed of a Deployment as the API server returned it; the pods it owns explain what is wrong."""
    metadata, status = deployment["metadata"], deployment.get("status", {})
    is_terminating = "deletionTimestamp" in metadata
    ready, total = _count(status, "readyReplicas"), _count(status, "replicas")
    # Until the controller has seen this generation, its numbers describe the previous one.
    is_seen = status.get("observedGeneration", 0) >= metadata["generation"]
    updated = _count(status, "updatedReplicas") if is_seen else 0
    return summarize(
        None if is_terminating else deployment,
        cluster_generation=metadata["generation"],
        ready=ready,
        updated=updated,
        total=total,
        updated_ready=ready if is_seen and updated == total else -1,
        endpoints=_service_urls(deployment) if ready else [],
        problems=list(_problems(status, pods)) if is_seen else [],
    )


def _count(status: dict[str, Any], name: str) -> int:
    count = status.get(name, 0)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 2**31:
        raise ValueError(f"{name} is not a number of replicas.")
    return count


def left_behind(pods: Sequence[Manifest], namespace: str, selector: str) -> Observed:
    """The Observed of a Deployment that is gone while these pods of it remain."""
    names = [str(pod["metadata"]["name"]) for pod in pods]
    shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    message = f"The Deployment is gone, but {len(names)} of its pods are still there: {shown}."
    if any("deletionTimestamp" not in pod["metadata"] for pod in pods):
        message += (
            " If they do not stop by themselves, somebody deleted it without them. Delete them: kubectl "
            f"-n {namespace} delete replicasets,pods -l {selector}"
        )
    return _terminating(len(names), "PodsLeft", message)


def service_left() -> Observed:
    """The Observed of a Deployment that is gone with its pods while its Service is still to be deleted."""
    return _terminating(0, "ServiceLeft", "The Deployment is gone. Its Service is deleted next.")


def _terminating(pods: int, reason: str, message: str) -> Observed:
    return Observed(
        wanted_replicas=0,
        ready_replicas=0,
        updated_replicas=0,
        total_replicas=pods,
        generation=0,
        spec_digest="",
        cluster_generation=0,
        is_settled=False,
        conditions=(Condition(ConditionType.TERMINATING, "True", reason, message),),
    )


def _service_urls(deployment: Manifest) -> list[str]:
    """The URL of the Service beside it, with the engine's port; none for a Deployment that opens no port."""
    metadata, container = deployment["metadata"], deployment["spec"]["template"]["spec"]["containers"][0]
    ports = container.get("ports", [])[:1]
    return [
        f"http://{metadata['name']}.{metadata['namespace']}.svc:{port['containerPort']}" for port in ports
    ]


def _problems(status: dict[str, Any], pods: Sequence[Manifest]) -> Iterator[Condition]:
    """At most one problem of each type, however many pods have it."""
    found: dict[str, Condition] = {}
    for condition in [*_of_deployment(status), *(problem for pod in pods for problem in _of_pod(pod))]:
        found.setdefault(condition.type, condition)
    yield from found.values()


def _of_deployment(status: dict[str, Any]) -> Iterator[Condition]:
    for condition in status.get("conditions", []):
        kind, reason, message = condition["type"], condition.get("reason", ""), condition.get("message", "")
        if kind == "ReplicaFailure" and condition["status"] == "True":
            if is_of_quota(message):
                yield Condition(
                    ConditionType.QUOTA_EXCEEDED,
                    "True",
                    "ExceededQuota",
                    f"{_sentence(message)} {way_out(message, ask_for='fewer replicas')}.",
                )
            else:
                yield Condition(ConditionType.CANNOT_START, "True", reason, _sentence(message))
        if kind == "Progressing" and condition["status"] == "False" and reason == "ProgressDeadlineExceeded":
            yield Condition(
                ConditionType.STALLED,
                "True",
                reason,
                "The new replicas did not become ready in time; the old replicas keep serving. See the "
                "other conditions, or the engine's log.",
            )


def _of_pod(pod: Manifest) -> Iterator[Condition]:
    if "deletionTimestamp" in pod["metadata"]:
        return
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", []):
        gates = [str(gate.get("name")) for gate in pod.get("spec", {}).get("schedulingGates") or []]
        if condition["type"] == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            is_kueue = any(gate.startswith("kueue.x-k8s.io/") for gate in gates)
            yield Condition(
                ConditionType.QUOTA_EXCEEDED if is_kueue else ConditionType.UNSCHEDULABLE,
                "True",
                "WaitsInQueue" if is_kueue else "SchedulingGated",
                f"Pod {name} is held back by {', '.join(gates) or 'a scheduling gate'}"
                + (
                    " until its queue has quota. It then continues by itself."
                    if is_kueue
                    else ". Ask the person who set it."
                ),
            )
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Condition(
                ConditionType.UNSCHEDULABLE,
                "True",
                "Unschedulable",
                f"No node has room for a replica: {_sentence(condition.get('message', ''))} Free or add "
                "capacity, or request less.",
            )
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _IMAGE_REASONS:
            yield Condition(
                ConditionType.IMAGE_PULL,
                "True",
                reason,
                f"The image {container['image']} cannot be pulled: {_sentence(message or reason)} "
                "Check its name and the registry's credentials.",
            )
        elif reason in _CONFIGURATION_REASONS:
            yield Condition(
                ConditionType.CANNOT_START, "True", reason, f"Pod {name}: {_sentence(message or reason)}"
            )
        elif reason == "CrashLoopBackOff":
            yield Condition(ConditionType.CRASHING, "True", *_crash(name, container))


def _crash(pod: str, container: dict[str, Any]) -> tuple[str, str]:
    last = container.get("lastState", {}).get("terminated", {})
    restarts = container.get("restartCount", 0)
    if last.get("reason") == "OOMKilled":
        return "OutOfMemory", (
            f"Pod {pod} used more memory than its limit and was killed, {restarts} time(s) so far. Give "
            "the deployment more memory, or a shorter context."
        )
    return "EngineEnded", (
        f"Pod {pod} exited with code {last.get('exitCode', 'unknown')}, {restarts} time(s) so far. Read "
        f"its log: kubectl logs --previous {pod}."
    )


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
