"""Deployments as processes of this machine. The driver only writes the desired state and reads the observed one;
the engine host (`deployments.engine_host`) does the work, so killing a worker leaves the engines alone."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from deployments.cluster.base import (
    ClusterFacts,
    Condition,
    Manifest,
    Observed,
    PermanentClusterError,
    TemporaryClusterError,
    find_deployment,
    is_anothers,
    require_ours,
)
from deployments.cluster.drift import is_same_spec, put_back
from deployments.cluster.summary import counts_as_change, summarize
from deployments.engine_host.engine import LOOPBACK
from deployments.engine_host.plan import plan_engine
from deployments.engine_host.state import (
    Document,
    EngineHostAway,
    StateDirectory,
    file_name,
    read_document,
    write_document,
)


class LocalCluster:
    """The cluster `local`. A request made while the engine host is away is kept, and carried out when the host is
    back; meanwhile the caller gets a TemporaryClusterError."""

    def __init__(self, state_dir: Path) -> None:
        self._state = StateDirectory(state_dir)

    def apply(self, manifests: Sequence[Manifest]) -> Observed:
        deployment = find_deployment(manifests)
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        with _errors_in_our_words():
            file = file_name(namespace, name)
            # Refuse it here rather than in the host's log.
            plan_engine(deployment)
            self._state.prepare()
            with self._state.one_writer():
                before = read_document(self._state.desired / file)
                require_ours(before["manifests"] if before else [], deployment)
                wanted = _next_version(before, manifests)
                if wanted != before:
                    write_document(self._state.desired / file, wanted)
        observed = self._observe(namespace, name)
        if observed is None:
            raise TemporaryClusterError(f"{name} was deleted while it was being applied; try again.")
        held = before["manifests"] if before else []
        had = find_deployment(held) if held else None
        changed = put_back(manifests, held) if is_same_spec(had, deployment) else ()
        return replace(observed, is_created=had is None, put_back=changed)

    def observe(self, namespace: str, name: str, deployment_id: str) -> Observed | None:
        return self._observe(namespace, name, deployment_id)

    def _observe(self, namespace: str, name: str, deployment_id: str | None = None) -> Observed | None:
        with _errors_in_our_words():
            self._state.living_host()
            file = file_name(namespace, name)
            seen = read_document(self._state.observed / file)
            desired = read_document(self._state.desired / file)
        if desired is None and seen is None:
            return None
        if deployment_id is not None and _is_anothers(desired, deployment_id):
            return None
        return _observed(desired, seen)

    def delete(self, namespace: str, name: str, deployment_id: str) -> None:
        with _errors_in_our_words():
            file = self._state.desired / file_name(namespace, name)
            self._state.prepare()
            with self._state.one_writer():
                if not _is_anothers(read_document(file), deployment_id):
                    file.unlink(missing_ok=True)
            self._state.living_host()

    def check(self, namespace: str) -> ClusterFacts:
        with _errors_in_our_words():
            host = self._state.living_host()
        resources: Mapping[str, int] = host["resources"]
        return ClusterFacts(
            host["version"], resources={kind: str(count) for kind, count in resources.items()}
        )


def _is_anothers(document: Document | None, deployment_id: str) -> bool:
    return document is not None and is_anothers(find_deployment(document["manifests"]), deployment_id)


def _next_version(before: Document | None, manifests: Sequence[Manifest]) -> Document:
    """The desired document after an apply. As in Kubernetes, the generation grows when the Deployment's spec
    or annotations change, and a deployment created again after a deletion is a new one, with its own uid."""
    if before is None:
        return {"uid": str(uuid.uuid4()), "generation": 1, "manifests": list(manifests)}
    changed = counts_as_change(find_deployment(before["manifests"]), find_deployment(manifests))
    generation = before["generation"] + (1 if changed else 0)
    return {"uid": before["uid"], "generation": generation, "manifests": list(manifests)}


def _observed(desired: Document | None, seen: Document | None) -> Observed:
    replicas = seen["replicas"] if seen else []
    ready = [replica for replica in replicas if replica["ready"]]
    is_seen = (
        desired is not None
        and seen is not None
        and ((seen["uid"], seen["generation"]) == (desired["uid"], desired["generation"]))
    )
    current = [replica for replica in replicas if replica["current"]] if is_seen else []
    return summarize(
        find_deployment(desired["manifests"]) if desired else None,
        cluster_generation=desired["generation"] if desired else 0,
        ready=len(ready),
        updated=len(current),
        total=sum(replica["phase"] not in ("draining", "stopping") for replica in replicas),
        updated_ready=sum(replica["ready"] for replica in current) if is_seen else -1,
        endpoints=[f"http://{LOOPBACK}:{replica['port']}" for replica in ready],
        problems=[Condition(**problem) for problem in seen["problems"]] if is_seen and seen else [],
    )


@contextlib.contextmanager
def _errors_in_our_words() -> Iterator[None]:
    try:
        yield
    except EngineHostAway as error:
        raise TemporaryClusterError(
            f"The engine host is not running ({error}). Start it with `python -m deployments.engine_host`; "
            "`make demo` does."
        ) from error
    except ValueError as error:
        raise PermanentClusterError(str(error)) from error
    except OSError as error:
        raise TemporaryClusterError(f"The engine host's files are not usable: {error}.") from error
