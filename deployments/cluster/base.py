"""The interface of a cluster driver: what it offers, what it returns, and the two ways it can fail.

A driver takes Kubernetes objects (`deployments.manifests`) and reports what it sees. Callers handle no status
codes, no processes and no client library. See docs/decisions/0006-a-small-cluster-driver.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Manifest = dict[str, Any]
"""One Kubernetes object as a dictionary, `apiVersion` and `kind` included."""

DEPLOYMENT_LABEL = "quartermaster.dev/deployment"
"""On every object we make: the id of the deployment it belongs to. A sweep finds orphans by it."""
GENERATION_ANNOTATION = "quartermaster.dev/generation"
"""On the Deployment: the generation of our own row when it was last applied."""
DIGEST_ANNOTATION = "quartermaster.dev/spec-digest"
"""On the Deployment: SHA-256 over the objects as we wanted them."""


def engine_selector(name: str) -> str:
    """The label selector of the pods of a deployment of this name, whichever Deployment object created them."""
    return f"app.kubernetes.io/instance={name},app.kubernetes.io/managed-by=quartermaster"


class ConditionType:
    """The types of conditions, the same for every driver. The last six are problems, present only while they last."""

    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    TERMINATING = "Terminating"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    IMAGE_PULL = "ImagePull"
    CRASHING = "Crashing"
    CANNOT_START = "CannotStart"
    STALLED = "Stalled"

    PROBLEMS = frozenset({UNSCHEDULABLE, QUOTA_EXCEEDED, IMAGE_PULL, CRASHING, CANNOT_START, STALLED})


@dataclass(frozen=True)
class Condition:
    """One statement about a deployment: `type` is true, false or unknown, because of `reason`; `message` is for
    people."""

    type: str  # a ConditionType
    status: str  # "True", "False" or "Unknown"
    reason: str  # CamelCase, stable
    # A sentence that names the cause and the next step.
    message: str


@dataclass(frozen=True)
class Observed:
    """What a cluster holds and runs for one deployment, at the time of the check."""

    wanted_replicas: int
    ready_replicas: int
    """Replicas that answer their readiness probe, of the current spec or of the one being replaced."""
    updated_replicas: int
    """Replicas made from the current spec, ready or not."""
    total_replicas: int
    """All replicas, those being replaced included."""
    generation: int
    """Our row's generation that the cluster was last given; 0 if the object does not say."""
    spec_digest: str
    """Digest of the objects last given; "" if the object does not say."""
    cluster_generation: int
    """The cluster's own counter: grows when the Deployment's spec or annotations change, and not when the
    same is applied again."""
    is_settled: bool
    """Every wanted replica runs the current spec and is ready, and nothing older is left."""
    endpoints: tuple[str, ...] = ()
    """Base URLs (no path, no final slash) that answer calls now; empty while nothing is ready."""
    conditions: tuple[Condition, ...] = ()
    is_created: bool = False
    """This `apply` found no Deployment object and made one."""
    put_back: tuple[str, ...] = ()
    """What somebody else had changed and this `apply` put back, in words; empty when nothing, or when what is
    wanted is new itself."""

    @property
    def problems(self) -> tuple[Condition, ...]:
        """The conditions that need an operator's attention."""
        return tuple(c for c in self.conditions if c.type in ConditionType.PROBLEMS and c.status == "True")


@dataclass(frozen=True)
class ClusterFacts:
    """The result of a connection test."""

    version: str
    """What the cluster calls itself, such as "v1.31.2"; "" where it does not tell."""
    missing_permissions: tuple[str, ...] = ()
    """What the credentials may not do in the namespace, as "patch deployments.apps"; empty when all is
    well."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """Extended resources that may be asked for, with the amount in the whole cluster, such as
    {"nvidia.com/gpu": "16"}; empty when the credentials may not see nodes."""


class TemporaryClusterError(Exception):
    """A retry may work: no answer, a conflict, too many requests, or a fault on the cluster's side.

    The request may or may not have been carried out; repeating it is safe.
    """


class QuotaExceededError(TemporaryClusterError):
    """The cluster would accept the request, but a quota is used up. It continues by itself once there is room."""


class UnnamedAbsenceError(TemporaryClusterError):
    """Something does not exist, according to an answer that does not name it. That proves nothing."""


class PermanentClusterError(Exception):
    """A retry will not help: a person must change the deployment, the cluster or its credentials."""


class Cluster(Protocol):
    """A place where deployments run. Every method raises only TemporaryClusterError or PermanentClusterError."""

    def apply(self, manifests: Sequence[Manifest]) -> Observed:
        """Make these objects the cluster's desired state: exactly one Deployment and what belongs to it, in one
        namespace.

        Returns the current state, without waiting for replicas. Applying the same objects twice changes nothing.
        Changes by someone else to the fields named here are put back, and named in `put_back`.
        Raises PermanentClusterError, before it writes anything, if another deployment has an object of that name.
        """
        ...

    def observe(self, namespace: str, name: str, deployment_id: str) -> Observed | None:
        """What the cluster holds and runs for one deployment; None if it holds nothing of it. Ignores what another
        deployment has under that name."""
        ...

    def delete(self, namespace: str, name: str, deployment_id: str) -> None:
        """Request the deletion of the deployment and its replicas. They are gone once `observe` returns None.

        Deleting a missing deployment succeeds. If another deployment has that name, the call succeeds, too, and leaves
        the objects alone. Raises UnnamedAbsenceError if the cluster does not name what is missing; a deployment that
        is applied once more, even with no replicas, can be deleted for certain.
        """
        ...

    def check(self, namespace: str) -> ClusterFacts:
        """Test the connection, and find what the credentials lack to run deployments in `namespace`."""
        ...


def is_anothers(held: Manifest, deployment_id: str) -> bool:
    """Whether an object that a cluster holds is labeled as another deployment's."""
    owner = (held["metadata"].get("labels") or {}).get(DEPLOYMENT_LABEL)
    return owner is not None and owner != deployment_id


def require_ours(held: Sequence[Manifest], wanted: Manifest) -> None:
    """Raise PermanentClusterError if an object that a cluster holds belongs to a deployment other than that of the
    Deployment `wanted`."""
    deployment_id = wanted["metadata"].get("labels", {}).get(DEPLOYMENT_LABEL, "")
    for each in held:
        if is_anothers(each, deployment_id):
            metadata = each["metadata"]
            where = f"{metadata.get('namespace', '')}/{metadata['name']}"
            raise PermanentClusterError(
                f"{each['kind']} {where} belongs to another deployment ({metadata['labels'][DEPLOYMENT_LABEL]}), so it "
                f"is left alone. Choose another name, or delete it if nobody needs it: kubectl -n "
                f"{metadata.get('namespace', '')} delete {each['kind'].lower()} {metadata['name']}"
            )


def find_deployment(manifests: Sequence[Manifest]) -> Manifest:
    """The one Deployment among `manifests`. Raises PermanentClusterError unless there is exactly one, with a name and
    a namespace."""
    found = [manifest for manifest in manifests if manifest.get("kind") == "Deployment"]
    if len(found) != 1:
        raise PermanentClusterError(
            f"A deployment is made of exactly one Deployment object, not {len(found)}."
        )
    metadata = found[0].get("metadata", {})
    if not metadata.get("name") or not metadata.get("namespace"):
        raise PermanentClusterError("The Deployment object needs a name and a namespace.")
    for manifest in manifests:
        if manifest.get("metadata", {}).get("namespace") != metadata["namespace"]:
            raise PermanentClusterError(
                f"All objects of {metadata['name']} must be in its namespace, {metadata['namespace']}; "
                f"a {manifest.get('kind')} is not."
            )
    return found[0]
