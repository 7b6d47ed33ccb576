"""Deployments on a Kubernetes cluster, through its API server. Only this module and its siblings import the official
client.

Objects are written by server-side apply under one field manager. The server merges: it keeps what others set in other
fields, and puts back what they changed in ours. Applying the same objects again changes nothing.
"""

import contextlib
from collections.abc import Mapping, Sequence
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
    is_anothers,
    require_ours,
)
from deployments.cluster.drift import is_same_spec, put_back
from deployments.cluster.kubernetes_answers import (
    Asked,
    failure_in,
    is_not_found,
    parse_deletion,
    parse_list,
    parse_object,
    strange_answer,
)
from deployments.cluster.kubernetes_credentials import client_from_file, client_from_text, client_in_cluster
from deployments.cluster.kubernetes_facts import facts_of
from deployments.cluster.kubernetes_quota import is_of_quota
from deployments.cluster.kubernetes_wire import PAGE, Gone, body_of, bounded, in_our_words, list_all

FIELD_MANAGER = "quartermaster"
_APPLY = "application/apply-patch+yaml"
_PODS = Asked("Pod", "pods")


class KubernetesCluster:
    """One cluster. Create it with `from_file`, `from_text` or `in_cluster`. It may be kept, and shared between
    threads, but not across a fork."""

    def __init__(self, api: client.ApiClient, *, timeout_seconds: float = 10) -> None:
        api = bounded(api, timeout_seconds)
        self._apps, self._core = client.AppsV1Api(api), client.CoreV1Api(api)
        self._authorization, self._version = client.AuthorizationV1Api(api), client.VersionApi(api)
        self._how: dict[str, Any] = {
            # We read JSON: the client's classes reject unknown fields.
            "_preload_content": False,
            # Seconds to connect, and to read.
            "_request_timeout": (min(timeout_seconds, 5), timeout_seconds),
        }
        # See `_read_removed`: what we deleted, with its uid; and what of it the server itself then did not find.
        self._removed: dict[Asked, str] = {}
        self._proved: set[Asked] = set()
        # Services that `delete` left for later, until their Deployment is gone.
        self._kept: set[Asked] = set()
        # The server has answered NotFound without naming what is missing.
        self._is_lean = False

    @classmethod
    def from_file(
        cls, path: Path, context: str | None = None, *, timeout_seconds: float = 10
    ) -> "KubernetesCluster":
        """From a kubeconfig file that an administrator put on this machine; it may name other files and
        plug-ins.

        Raises PermanentClusterError when it cannot be used.
        """
        return cls(client_from_file(path, context), timeout_seconds=timeout_seconds)

    @classmethod
    def from_text(
        cls, kubeconfig: str | Mapping[str, Any], context: str | None = None, *, timeout_seconds: float = 10
    ) -> "KubernetesCluster":
        """From a kubeconfig that someone gave us (YAML, or already parsed). It must contain its credentials: one
        that names programs or files of this machine is refused, because using it would run or read them.

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
        require_ours(before, deployment)
        had = next((each for each in before if each["kind"] == "Deployment"), None)
        # The Deployment goes last: its replicas find what they need, and its answer is the newest.
        for manifest in (other for other in manifests if other is not deployment):
            self._apply_one(manifest)
        stored = self._apply_one(deployment)
        if "deletionTimestamp" in stored["metadata"]:
            raise TemporaryClusterError(
                f"{namespace}/{name} is still being deleted. Create it again when it is gone."
            )
        changed = put_back(manifests, before) if is_same_spec(had, deployment) else ()
        return replace(self._explained(stored), is_created=is_known and had is None, put_back=changed)

    def observe(self, namespace: str, name: str, deployment_id: str) -> Observed | None:
        """See the protocol. A Deployment that is gone while its pods still run is Terminating: they hold GPUs.
        So is one whose Service `delete` left for its next call.

        Lean servers send a NotFound that does not name the Deployment. This method believes it after the server has
        confirmed our own DELETE of the Deployment, if the server proves that it is the one that answers: by a list of
        pods now, or by the Service, now or when it was deleted. Otherwise it raises UnnamedAbsenceError.
        """
        asked, service, is_named = _deployment(name, namespace), _service(name, namespace), True
        try:
            stored = self._read(asked)
        except UnnamedAbsenceError:
            if asked not in self._removed:
                raise
            stored, is_named = None, False
        if stored is not None:
            self._note_seen(asked, stored)
            if not is_anothers(stored, deployment_id):
                return self._explained(stored)
        is_kept = service in self._kept
        is_proved = asked in self._proved or (is_kept and not is_named and self._is_answering(asked))
        if pods := self._pods_left(namespace, name, deployment_id, is_named=is_named, is_proved=is_proved):
            return kubernetes_conditions.left_behind(pods, namespace, engine_selector(name))
        if is_kept:
            # Nobody looks again after None: the next `delete` needs what we remember, and deletes the Service.
            return kubernetes_conditions.service_left()
        self._forget(asked)
        self._forget(service)
        return None

    def delete(self, namespace: str, name: str, deployment_id: str) -> None:
        """See the protocol. It reads an object's label, and then deletes the object by its uid, so that a new object
        of the same name stays.

        Raises PermanentClusterError for an object of that name without our label, and leaves it alone.
        """
        deployment, service = _deployment(name, namespace), _service(name, namespace)
        if self._delete_one(deployment, deployment_id):
            left = self._read_removed(deployment)
            if left is not None and self._is_lean:
                # The Service stays: it proves later that the Deployment is gone.
                self._kept.add(service)
                return
        self._delete_one(service, deployment_id)
        self._kept.discard(service)

    def _delete_one(self, asked: Asked, deployment_id: str) -> bool:
        """Delete one object of a deployment; return whether there was one. Raises PermanentClusterError for one
        without our label."""
        stored = self._read_removed(asked)
        if stored is None or is_anothers(stored, deployment_id):
            return False
        if DEPLOYMENT_LABEL not in (stored["metadata"].get("labels") or {}):
            raise PermanentClusterError(
                f"{stored['kind']} {asked.namespace}/{asked.name} was not made by Quartermaster (it has no label "
                f"{DEPLOYMENT_LABEL}), so it stays. Delete it yourself if you do not need it."
            )
        deletes = {
            "Deployment": self._apps.delete_namespaced_deployment,
            "Service": self._core.delete_namespaced_service,
        }
        this = replace(asked, uid=str(stored["metadata"]["uid"]))
        with contextlib.suppress(Gone), in_our_words(this, gone=True):
            # Foreground: the Deployment stays until its pods are gone, so "gone" is the truth.
            # The policy goes into the body: a server that gets a body ignores the query.
            options: Any = {"propagationPolicy": "Foreground", "preconditions": {"uid": this.uid}}
            answer = deletes[asked.kind](asked.name, asked.namespace, body=options, **self._how)
            if parse_deletion(body_of(answer), this):
                self._removed[asked] = this.uid
        return True

    def check(self, namespace: str) -> ClusterFacts:
        """See the protocol. The version is "" where it is unavailable (hardened clusters and proxies close `/version`).
        The API server itself says what the credentials may do, and nobody else answers that."""
        return facts_of(self._core, self._authorization, self._version, self._how, namespace)

    def _apply_one(self, manifest: Manifest) -> Manifest:
        patches = {
            "Deployment": self._apps.patch_namespaced_deployment,
            "Service": self._core.patch_namespaced_service,
        }
        patch, asked = patches[manifest["kind"]], _asked(manifest)
        namespace = manifest["metadata"]["namespace"]
        self._forget(asked)

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
            if error.status != 409:  # someone else created it first
                raise

    def _read_all(self, manifests: Sequence[Manifest]) -> tuple[list[Manifest], bool]:
        """Those of the objects that exist; and whether the server named each of the others as missing."""
        found, is_known = [], True
        for manifest in manifests:
            try:
                stored = self._read(_asked(manifest))
            except UnnamedAbsenceError:
                is_known = False  # the write will show it
            else:
                found += [stored] if stored is not None else []
        return found, is_known

    def _read(self, asked: Asked) -> Manifest | None:
        """The object, or None if the server says that it does not exist. Raises UnnamedAbsenceError for a NotFound
        that does not name it."""
        reads = {
            "Deployment": self._apps.read_namespaced_deployment,
            "Service": self._core.read_namespaced_service,
        }
        read = reads.get(asked.kind)
        if read is None:
            raise PermanentClusterError(f"This driver does not support objects of kind {asked.kind}.")
        try:
            with contextlib.suppress(Gone), in_our_words(asked, gone=True):
                return parse_object(body_of(read(asked.name, asked.namespace, **self._how)), asked)
        except UnnamedAbsenceError:
            self._is_lean = True
            raise
        return None

    def _read_removed(self, asked: Asked) -> Manifest | None:
        """As `_read`, but believes a NotFound that does not name the object, if the server has confirmed our own DELETE
        of it and it was not written since. A lost answer changes nothing.

        For a Deployment, which holds GPUs, the server must also prove that it is the one that answers.
        """
        try:
            stored = self._read(asked)
        except UnnamedAbsenceError:
            if asked not in self._removed:
                raise
            if asked.kind == "Deployment" and asked not in self._proved:
                if not self._is_answering(asked):
                    raise
                self._proved.add(asked)
            return None
        if stored is not None:
            self._note_seen(asked, stored)
        return stored

    def _note_seen(self, asked: Asked, stored: Manifest) -> None:
        """Note that the object exists. If it is the one that we deleted, it is slow to go."""
        self._proved.discard(asked)
        if self._removed.get(asked) != stored["metadata"]["uid"]:
            self._removed.pop(asked, None)

    def _is_answering(self, asked: Asked) -> bool:
        """Whether the API server itself answers: with the Service of a Deployment, or with a list of pods."""
        with contextlib.suppress(TemporaryClusterError):
            if self._read(_service(asked.name, asked.namespace)) is not None:
                return True
        with contextlib.suppress(TemporaryClusterError, PermanentClusterError), in_our_words(_PODS):
            selector = engine_selector(asked.name)
            list_all(
                "PodList", self._core.list_namespaced_pod, self._how, asked.namespace, label_selector=selector
            )
            return True
        return False

    def _forget(self, asked: Asked) -> None:
        """Forget the deletion of the object: the object was written anew, or its deletion has ended."""
        self._removed.pop(asked, None)
        self._proved.discard(asked)
        self._kept.discard(asked)

    def _explained(self, stored: Manifest) -> Observed:
        """The state with its causes. Requests the pods only if something is wrong: they know why."""
        with in_our_words(_PODS):
            seen = kubernetes_conditions.observed(stored, [])
            if seen.is_settled or seen.wanted_replicas == 0:
                return seen
            selector = ",".join(
                f"{key}={value}" for key, value in stored["spec"]["selector"]["matchLabels"].items()
            )
            answer = self._core.list_namespaced_pod(
                stored["metadata"]["namespace"], label_selector=selector, limit=PAGE, **self._how
            )
            return kubernetes_conditions.observed(stored, parse_list(body_of(answer), "PodList")[0])

    def _pods_left(
        self, namespace: str, name: str, deployment_id: str, *, is_named: bool, is_proved: bool
    ) -> list[Manifest]:
        """The pods of a missing Deployment that still run or are about to: someone deleted it without them, or they
        are slow to stop.

        A server may serve no pods. One that names what it does not find (`is_named`) says so with details, even if they
        are empty; a lean one is believed if the absence of the Deployment `is_proved`.
        Raises UnnamedAbsenceError if neither holds.
        """
        selector = engine_selector(name)
        wanted = dict(part.split("=") for part in selector.split(","))
        with in_our_words(_PODS):
            try:
                pods = list_all(
                    "PodList", self._core.list_namespaced_pod, self._how, namespace, label_selector=selector
                )
            except ApiException as error:
                failure = failure_in(error.status or 0, error.body or "") or {}
                if failure.get("reason") != "NotFound":
                    raise
                if "details" in failure or (is_proved and not is_named):
                    return []
                if is_named:
                    raise
                raise UnnamedAbsenceError(str(strange_answer(404, error.body or ""))) from error
            return [
                pod
                for pod in pods
                if wanted.items() <= (pod["metadata"].get("labels") or {}).items()
                and not is_anothers(pod, deployment_id)
                and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            ]


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
