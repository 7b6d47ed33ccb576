"""Computes for the memory and local drivers what a Kubernetes control plane reports by itself."""

from collections.abc import Sequence

from deployments.cluster.base import (
    DIGEST_ANNOTATION,
    GENERATION_ANNOTATION,
    Condition,
    ConditionType,
    Manifest,
    Observed,
)


def summarize(
    deployment: Manifest | None,
    *,
    cluster_generation: int,
    ready: int,
    updated: int,
    total: int,
    updated_ready: int,
    endpoints: Sequence[str],
    problems: Sequence[Condition],
) -> Observed:
    """The Observed of one Deployment object (None: it is being deleted) from the counts of its replicas.

    Args:
        deployment: the Deployment object as read.
        cluster_generation: its `metadata.generation`.
        ready: replicas that are ready.
        updated: replicas of the current spec.
        total: all replicas.
        updated_ready: ready replicas of the current spec.
        endpoints: base URLs that answer calls.
        problems: further conditions.
    """
    if deployment is None:
        return Observed(
            wanted_replicas=0,
            ready_replicas=ready,
            updated_replicas=0,
            total_replicas=total,
            generation=0,
            spec_digest="",
            cluster_generation=cluster_generation,
            is_settled=False,
            endpoints=tuple(endpoints),
            conditions=(terminating(),),
        )
    annotations = deployment["metadata"].get("annotations") or {}
    wanted = int(deployment["spec"]["replicas"])
    generation = annotations.get(GENERATION_ANNOTATION, "")
    is_settled = updated_ready == updated == total == wanted
    return Observed(
        wanted_replicas=wanted,
        ready_replicas=ready,
        updated_replicas=updated,
        total_replicas=total,
        # Anyone may have written it.
        generation=int(generation) if generation.isdecimal() else 0,
        spec_digest=annotations.get(DIGEST_ANNOTATION, ""),
        cluster_generation=cluster_generation,
        is_settled=is_settled,
        endpoints=tuple(endpoints),
        conditions=(*problems, _available(ready, wanted), _progressing(is_settled, updated, wanted)),
    )


def counts_as_change(before: Manifest, after: Manifest) -> bool:
    """Whether a Kubernetes API server would raise the Deployment's generation."""
    if before["spec"] != after["spec"]:
        return True
    return bool(before["metadata"].get("annotations") != after["metadata"].get("annotations"))


def terminating() -> Condition:
    return Condition(
        ConditionType.TERMINATING,
        "True",
        "Deleted",
        "The deployment is being deleted; its replicas are stopping.",
    )


def _available(ready: int, wanted: int) -> Condition:
    if ready >= wanted:
        return Condition(
            ConditionType.AVAILABLE,
            "True",
            "MinimumReplicasAvailable",
            f"{ready} of {wanted} replicas are ready.",
        )
    return Condition(
        ConditionType.AVAILABLE,
        "False",
        "MinimumReplicasUnavailable",
        f"Only {ready} of {wanted} replicas are ready.",
    )


def _progressing(is_settled: bool, updated: int, wanted: int) -> Condition:
    if is_settled:
        return Condition(
            ConditionType.PROGRESSING, "False", "Complete", "Every replica runs the desired version."
        )
    return Condition(
        ConditionType.PROGRESSING,
        "True",
        "ReplicasUpdating",
        f"{updated} of {wanted} replicas run the desired version.",
    )
