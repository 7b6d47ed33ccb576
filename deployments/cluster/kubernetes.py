"""Deployments on a Kubernetes cluster, through its API server. Only this module and its siblings import the official
client.

Objects are written by server-side apply under one field manager: the server merges, so what others set in
other fields stays, what they changed in ours is put back, and applying the same again changes nothing.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from deployments.cluster import kubernetes_conditions
from deployments.cluster.base import (
    DEPLOYMENT_LABEL,
    ClusterFacts,
    Manifest,
    Observed,
    PermanentClusterError,
    TemporaryClusterError,
    UnnamedAbsenceError,
    engine_selector,
    find_deployment,
)
from deployments.cluster.drift import is_same_wish, put_back
from deployments.cluster.kubernetes_answers import (
    Asked,
    failure_in,
    is_not_found,
    parse_deletion,
    parse_list,
    parse_object,
    parse_version,
)
from deployments.cluster.kubernetes_credentials import client_from_file, client_from_text, client_in_cluster
from deployments.cluster.kubernetes_quota import is_of_quota
from deployments.cluster.kubernetes_wire import Gone, body_of, bounded, in_our_words

FIELD_MANAGER = "quartermaster"
_APPLY = "application/apply-patch+yaml"
# Items of a list; a server need not keep to it.
_PAGE, _MOST_PAGES = 500, 40

NEEDED_PERMISSIONS = (
    *(("apps", "deployments", verb) for verb in ("get", "create", "patch", "delete")),
    *(("", "services", verb) for verb in ("get", "create", "patch", "delete")),
    ("", "pods", "list"),
)
"""API group, resource and verb of everything this driver does in a namespace."""
_REVIEW = Asked("SelfSubjectAccessReview", "selfsubjectaccessreviews", group="authorization.k8s.io")


class KubernetesCluster:
    """One cluster. Make it with `from_file`, `from_text` or `in_cluster`; it may be kept, and shared between
    threads, but not across a fork."""

    def __init__(self, api: client.ApiClient, *, timeout_seconds: float = 10) -> None:
        api = bounded(api, timeout_seconds)
        self._apps, self._core = client.AppsV1Api(api), client.CoreV1Api(api)
        self._authorization, self._version = client.AuthorizationV1Api(api), client.VersionApi(api)
        self._how: dict[str, Any] = {
            # We read JSON: the client's classes refuse what they do not know.
            "_preload_content": False,
            # To connect, to read; seconds.
            "_request_timeout": (min(timeout_seconds, 5), timeout_seconds),
        }
        self._removed: set[Asked] = set()  # see `_read_removed`

    @classmethod
    def from_file(
        cls, path: Path, context: str | None = None, *, timeout_seconds: float = 10
    ) -> "KubernetesCluster":
        """From a kubeconfig file that an administrator put on this machine: it may name other files and
        plug-ins.

        Raises PermanentClusterError when it cannot be used.
        """
        return cls(client_from_file(path, context), timeout_seconds=timeout_seconds)

    @classmethod
    def from_text(
        cls, kubeconfig: str | Mapping[str, Any], context: str | None = None, *, timeout_seconds: float = 10
    ) -> "KubernetesCluster":
        """From a kubeconfig that somebody gave us (YAML, or already parsed). It must carry its credentials
        in itself: one that names programs or files of this machine is refused, because using it would run
        or read them.

        Raises PermanentClusterError when it cannot be used.
        """
        return cls(client_from_text(kubeconfig, context), timeout_seconds=timeout_seconds)

    @classmethod
    def in_cluster(cls, *, timeout_seconds: float = 10) -> "KubernetesCluster":
        """From the service account of the pod we run in. Raises PermanentClusterError outside a cluster."""
        return cls(client_in_cluster(), timeout_seconds=timeout_seconds)

    def apply(self, manifests: Sequence[Manifest]) -> Observed:
        deployment = find_deployment(manifests)
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        before, is_known = self._read_all(manifests)
        had = next((each for each in before if each["kind"] == "Deployment"), None)
        # The Deployment last: replicas find what they need, and its answer is the newest.
        for manifest in (other for other in manifests if other is not deployment):
            self._apply_one(manifest)
        stored = self._apply_one(deployment)
        if "deletionTimestamp" in stored["metadata"]:
            raise TemporaryClusterError(
                f"{namespace}/{name} is still being deleted. Create it again when it is gone."
            )
        changed = put_back(manifests, before) if is_same_wish(had, deployment) else ()
        return replace(self._explained(stored), is_created=is_known and had is None, put_back=changed)

    def observe(self, namespace: str, name: str) -> Observed | None:
        """As the protocol says. A Deployment that is gone while pods of it still run is Terminating: they hold GPUs.

        A NotFound that does not name the Deployment, as lean servers send it, is believed once, after the server has
        answered our own DELETE of it with success; else it raises UnnamedAbsenceError.
        """
        asked, is_named = _deployment(name, namespace), True
        try:
            stored = self._read(asked)
        except UnnamedAbsenceError:
            if asked not in self._removed:
                raise
            stored, is_named = None, False
        if stored is not None:
            self._removed.discard(asked)
            return self._explained(stored)
        if pods := self._pods_left(namespace, name, is_named=is_named):
            return kubernetes_conditions.left_behind(pods, namespace, engine_selector(name))
        self._removed -= {asked, _service(name, namespace)}
        return None

    def delete(self, namespace: str, name: str) -> None:
        """As the protocol says; an object of that name without our label is somebody else's and is left
        alone.

        Raises PermanentClusterError for such an object.
        """
        for asked, delete in [
            (_deployment(name, namespace), self._apps.delete_namespaced_deployment),
            (_service(name, namespace), self._core.delete_namespaced_service),
        ]:
            stored = self._read_removed(asked)
            if stored is None:
                continue
            if DEPLOYMENT_LABEL not in (stored["metadata"].get("labels") or {}):
                raise PermanentClusterError(
                    f"{stored['kind']} {namespace}/{name} was not made by Quartermaster (it has no label "
                    f"{DEPLOYMENT_LABEL}), so it stays. Delete it yourself if you do not need it."
                )
            this = replace(asked, uid=str(stored["metadata"]["uid"]))
            with contextlib.suppress(Gone), in_our_words(this, gone=True):
                # Foreground: the Deployment stays until its pods are gone, so "gone" is the truth.
                # It is said in the body: a server that gets a body does not look at the query.
                options: Any = {"propagationPolicy": "Foreground", "preconditions": {"uid": this.uid}}
                answer = delete(name, namespace, body=options, **self._how)
                if parse_deletion(body_of(answer), this):
                    self._removed.add(asked)

    def check(self, namespace: str) -> ClusterFacts:
        """As the protocol says. The version is "" where it is not told (hardened clusters and proxies close
        `/version`): what the credentials may do is asked of the API server itself, and nobody else answers that."""
        version = ""
        with contextlib.suppress(TemporaryClusterError), in_our_words(Asked("Info", "version")):
            version = parse_version(body_of(self._version.get_code(**self._how)))
        with in_our_words(_REVIEW):
            missing = [
                f"{verb} {resource}.{group}" if group else f"{verb} {resource}"
                for group, resource, verb in NEEDED_PERMISSIONS
                if not self._may(namespace, group, resource, verb)
            ]
            sees_nodes = self._may(None, "", "nodes", "list")
        with in_our_words(Asked("Node", "nodes")):
            resources = self._extended_resources() if sees_nodes else {}
        return ClusterFacts(version, tuple(missing), resources)

    def _apply_one(self, manifest: Manifest) -> Manifest:
        patches = {
            "Deployment": self._apps.patch_namespaced_deployment,
            "Service": self._core.patch_namespaced_service,
        }
        patch, asked = patches[manifest["kind"]], _asked(manifest)
        namespace = manifest["metadata"]["namespace"]
        self._removed.discard(asked)

        def send() -> Manifest:
            response = patch(
                asked.name,
                namespace,
                manifest,
                field_manager=FIELD_MANAGER,
                force=True,
                _content_type=_APPLY,
                **self._how,
            )
            return parse_object(body_of(response), asked)

        with in_our_words(asked):
            try:
                return send()
            except ApiException as error:
                if not is_not_found(failure_in(error.status or 0, error.body or ""), _namespace(namespace)):
                    raise
        with in_our_words(_namespace(namespace)):
            self._create_namespace(namespace)
        with in_our_words(asked):
            return send()

    def _create_namespace(self, namespace: str) -> None:
        labels = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
        body: Any = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": labels},
        }
        try:
            made = self._core.create_namespace(body, field_manager=FIELD_MANAGER, **self._how)
            parse_object(body_of(made), _namespace(namespace))
        except ApiException as error:
            failure = failure_in(error.status or 0, error.body or "") or {}
            is_about_it = any(
                _namespace(name).is_named_by(failure.get("details")) for name in ("", namespace)
            )
            is_quota = is_of_quota(str(failure.get("message", "")))
            if failure.get("reason") == "Forbidden" and is_about_it and not is_quota:
                raise PermanentClusterError(
                    f"The namespace {namespace} does not exist and the cluster's credentials may not "
                    f"create it. Run: kubectl create namespace {namespace}"
                ) from error
            if error.status != 409:  # somebody else was faster
                raise

    def _read_all(self, manifests: Sequence[Manifest]) -> tuple[list[Manifest], bool]:
        """Those of the objects that are there; and whether the server said of each of the others that it is not."""
        found, is_known = [], True
        for manifest in manifests:
            try:
                stored = self._read(_asked(manifest))
            except UnnamedAbsenceError:
                is_known = False  # writing it will tell
            else:
                found += [stored] if stored is not None else []
        return found, is_known

    def _read(self, asked: Asked) -> Manifest | None:
        """The object, or None where the server says that it is not there. Raises UnnamedAbsenceError where it says
        NotFound and does not name it."""
        reads = {
            "Deployment": self._apps.read_namespaced_deployment,
            "Service": self._core.read_namespaced_service,
        }
        read = reads.get(asked.kind)
        if read is None:
            raise PermanentClusterError(f"This driver does not support objects of kind {asked.kind}.")
        with contextlib.suppress(Gone), in_our_words(asked, gone=True):
            return parse_object(body_of(read(asked.name, asked.namespace, **self._how)), asked)
        return None

    def _read_removed(self, asked: Asked) -> Manifest | None:
        """As `_read`, but a NotFound that does not name the object is believed where the server has answered our own
        DELETE of it with success, and it was neither seen nor written since. An answer that is lost changes nothing."""
        try:
            stored = self._read(asked)
        except UnnamedAbsenceError:
            if asked in self._removed:
                return None
            raise
        if stored is not None:
            self._removed.discard(asked)
        return stored

    def _explained(self, stored: Manifest) -> Observed:
        """Pods are asked for only when something is amiss: they know why."""
        with in_our_words(Asked("Pod", "pods")):
            seen = kubernetes_conditions.observed(stored, [])
            if seen.is_settled or seen.wanted_replicas == 0:
                return seen
            selector = ",".join(
                f"{key}={value}" for key, value in stored["spec"]["selector"]["matchLabels"].items()
            )
            answer = self._core.list_namespaced_pod(
                stored["metadata"]["namespace"], label_selector=selector, limit=_PAGE, **self._how
            )
            return kubernetes_conditions.observed(stored, parse_list(body_of(answer), "PodList")[0])

    def _pods_left(self, namespace: str, name: str, *, is_named: bool) -> list[Manifest]:
        """The pods of a Deployment that is gone which still run or are yet to: somebody deleted it without them, or
        they are slow to stop. A lean server may serve no pods; one that names what it does not find (`is_named`) says
        so with details, even if they are empty."""
        selector = engine_selector(name)
        wanted = dict(part.split("=") for part in selector.split(","))
        with in_our_words(Asked("Pod", "pods")):
            try:
                pods = self._list_all(
                    "PodList", self._core.list_namespaced_pod, namespace, label_selector=selector
                )
            except ApiException as error:
                failure = failure_in(error.status or 0, error.body or "") or {}
                if failure.get("reason") == "NotFound" and ("details" in failure or not is_named):
                    return []
                raise
            return [
                pod
                for pod in pods
                if wanted.items() <= (pod["metadata"].get("labels") or {}).items()
                and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            ]

    def _list_all(self, kind: str, ask: Callable[..., Any], *where: str, **how: str) -> list[Manifest]:
        """Every page of a list."""
        found: list[Manifest] = []
        page: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            answer = body_of(ask(*where, limit=_PAGE, **how, **page, **self._how))
            items, more = parse_list(answer, kind)
            found += items
            if not more:
                return found
            page = {"_continue": more}
        raise TemporaryClusterError(f"The cluster's API server does not answer: its {kind} does not end.")

    def _may(self, namespace: str | None, group: str, resource: str, verb: str) -> bool:
        attributes = {"group": group, "resource": resource, "verb": verb}
        if namespace is not None:
            attributes["namespace"] = namespace
        review: Any = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._authorization.create_self_subject_access_review(review, **self._how)
        return parse_object(body_of(answer), _REVIEW)["status"]["allowed"] is True

    def _extended_resources(self) -> dict[str, str]:
        totals: dict[str, int] = {}
        for node in self._list_all("NodeList", self._core.list_node):
            for kind, amount in node.get("status", {}).get("allocatable", {}).items():
                if "/" in kind and amount.isdigit():
                    totals[kind] = totals.get(kind, 0) + int(amount)
        return {kind: str(total) for kind, total in totals.items()}


def _asked(manifest: Manifest) -> Asked:
    kind, metadata = manifest["kind"], manifest["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    if kind == "Deployment":
        return _deployment(name, namespace)
    return Asked(kind, f"{kind.lower()}s", name, namespace=namespace)


def _deployment(name: str, namespace: str) -> Asked:
    return Asked("Deployment", "deployments", name, group="apps", namespace=namespace)


def _service(name: str, namespace: str) -> Asked:
    return Asked("Service", "services", name, namespace=namespace)


def _namespace(name: str) -> Asked:
    return Asked("Namespace", "namespaces", name)
