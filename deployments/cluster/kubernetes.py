"""Deployments on a Kubernetes cluster, through its API server. The only module that imports the official
client.

Objects are written by server-side apply under one field manager: the server merges, so what others set in
other fields stays, what they changed in ours is put back, and applying the same again changes nothing.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from deployments.cluster import kubernetes_conditions
from deployments.cluster.base import (
    DEPLOYMENT_LABEL,
    ClusterFacts,
    Manifest,
    Observed,
    PermanentClusterError,
    TemporaryClusterError,
    find_deployment,
)
from deployments.cluster.drift import is_same_wish, put_back
from deployments.cluster.kubernetes_answers import (
    Asked,
    failure_in,
    is_bare_not_found,
    is_not_found,
    parse_deletion,
    parse_list,
    parse_object,
    parse_version,
    strange_answer,
)
from deployments.cluster.kubernetes_errors import cluster_error
from deployments.cluster.kubernetes_quota import is_of_quota

FIELD_MANAGER = "quartermaster"
_APPLY = "application/apply-patch+yaml"
_REFERENCES = frozenset(
    ("exec", "auth-provider", "tokenFile", "client-certificate", "client-key", "certificate-authority")
)
"""What a kubeconfig uses to name programs and files."""

NEEDED_PERMISSIONS = (
    *(("apps", "deployments", verb) for verb in ("get", "create", "patch", "delete")),
    *(("", "services", verb) for verb in ("get", "create", "patch", "delete")),
    ("", "pods", "list"),
)
"""API group, resource and verb of everything this driver does in a namespace."""


class KubernetesCluster:
    """One cluster. Make it with `from_file`, `from_text` or `in_cluster`; it may be kept, and shared between
    threads, but not across a fork."""

    def __init__(self, api: client.ApiClient, *, timeout_seconds: float = 10) -> None:
        self._apps, self._core = client.AppsV1Api(api), client.CoreV1Api(api)
        self._authorization, self._version = client.AuthorizationV1Api(api), client.VersionApi(api)
        self._how: dict[str, Any] = {
            "_preload_content": False,  # we read JSON: the client's classes refuse what they do not know
            "_request_timeout": (min(timeout_seconds, 5), timeout_seconds),  # to connect, to read; seconds
        }
        self._removed: set[tuple[str, str, str]] = set()  # kind, namespace and name; see `_read_removed`

    @classmethod
    def from_file(
        cls, path: Path, context: str | None = None, *, timeout_seconds: float = 10
    ) -> "KubernetesCluster":
        """From a kubeconfig file that an administrator put on this machine: it may name other files and
        plug-ins.

        Raises PermanentClusterError when it cannot be used.
        """
        with _unusable_kubeconfig():
            api = config.new_client_from_config(  # type: ignore[no-untyped-call]
                config_file=str(path),
                context=context,
                persist_config=False,
                client_configuration=_configuration(),
            )
        return cls(api, timeout_seconds=timeout_seconds)

    @classmethod
    def from_text(
        cls, kubeconfig: str | Mapping[str, Any], context: str | None = None, *, timeout_seconds: float = 10
    ) -> "KubernetesCluster":
        """From a kubeconfig that somebody gave us (YAML, or already parsed). It must carry its credentials
        in itself: one that names programs or files of this machine is refused, because using it would run
        or read them.

        Raises PermanentClusterError when it cannot be used.
        """
        with _unusable_kubeconfig():
            parsed = yaml.safe_load(kubeconfig) if isinstance(kubeconfig, str) else dict(kubeconfig)
            _refuse_references(parsed)
            api = config.new_client_from_config_dict(  # type: ignore[no-untyped-call]
                config_dict=parsed,
                context=context,
                persist_config=False,
                client_configuration=_configuration(),
            )
        return cls(api, timeout_seconds=timeout_seconds)

    @classmethod
    def in_cluster(cls, *, timeout_seconds: float = 10) -> "KubernetesCluster":
        """From the service account of the pod we run in. Raises PermanentClusterError outside a cluster."""
        configuration = _configuration()
        with _unusable_kubeconfig():
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        return cls(client.ApiClient(configuration), timeout_seconds=timeout_seconds)

    def apply(self, manifests: Sequence[Manifest]) -> Observed:
        deployment = find_deployment(manifests)
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        before, is_known = self._read_all(manifests, namespace)
        had = next((each for each in before if each["kind"] == "Deployment"), None)
        # The Deployment last: replicas find what they need, and its answer is the newest.
        for manifest in (other for other in manifests if other is not deployment):
            self._apply_one(manifest)
        stored = self._apply_one(deployment)
        if "deletionTimestamp" in stored["metadata"]:
            raise TemporaryClusterError(
                f"{namespace}/{name} is still being deleted; it can be made anew when it is gone."
            )
        changed = put_back(manifests, before) if is_same_wish(had, deployment) else ()
        return replace(self._explained(stored), is_created=is_known and had is None, put_back=changed)

    def observe(self, namespace: str, name: str) -> Observed | None:
        """As the protocol says. A NotFound that does not name the Deployment, as lean servers send it, is believed
        once, after the server has answered our own DELETE of it with success."""
        stored = self._read_removed(_deployment(name), namespace)
        if stored is None:
            self._removed -= {(kind, namespace, name) for kind in ("Deployment", "Service")}
            return None
        return self._explained(stored)

    def delete(self, namespace: str, name: str) -> None:
        """As the protocol says; an object of that name without our label is somebody else's and is left
        alone.

        Raises PermanentClusterError for such an object.
        """
        for asked, delete in [
            (_deployment(name), self._apps.delete_namespaced_deployment),
            (Asked("Service", "services", name), self._core.delete_namespaced_service),
        ]:
            stored = self._read_removed(asked, namespace)
            if stored is None:
                continue
            if DEPLOYMENT_LABEL not in (stored["metadata"].get("labels") or {}):
                raise PermanentClusterError(
                    f"{stored['kind']} {namespace}/{name} was not made by Quartermaster (it has no label "
                    f"{DEPLOYMENT_LABEL}), so it is left alone. Delete it yourself if it should go."
                )
            asked = replace(asked, uid=str(stored["metadata"]["uid"]))
            with contextlib.suppress(_Gone), _in_our_words(asked, gone=True):
                # Foreground: the Deployment stays until its pods are gone, so "gone" is the truth.
                # It is said in the body: a server that gets a body does not look at the query.
                options: Any = {"propagationPolicy": "Foreground", "preconditions": {"uid": asked.uid}}
                answer = delete(name, namespace, body=options, **self._how)
                if parse_deletion(_body(answer), asked):
                    self._removed.add((asked.kind, namespace, name))

    def check(self, namespace: str) -> ClusterFacts:
        with _in_our_words(Asked("Info", "version")):
            version = parse_version(_body(self._version.get_code(**self._how)))
        with _in_our_words():
            missing = [
                f"{verb} {resource}.{group}" if group else f"{verb} {resource}"
                for group, resource, verb in NEEDED_PERMISSIONS
                if not self._may(namespace, group, resource, verb)
            ]
            resources = self._extended_resources() if self._may(None, "", "nodes", "list") else {}
        return ClusterFacts(version, tuple(missing), resources)

    def _apply_one(self, manifest: Manifest) -> Manifest:
        patches = {
            "Deployment": self._apps.patch_namespaced_deployment,
            "Service": self._core.patch_namespaced_service,
        }
        patch, asked = patches[manifest["kind"]], _asked(manifest)
        namespace = manifest["metadata"]["namespace"]
        self._removed.discard((asked.kind, namespace, asked.name))

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
            return parse_object(_body(response), asked)

        with _in_our_words(asked):
            try:
                return send()
            except ApiException as error:
                if not is_not_found(failure_in(error.status or 0, error.body or ""), _namespace(namespace)):
                    raise
        with _in_our_words(_namespace(namespace)):
            self._create_namespace(namespace)
        with _in_our_words(asked):
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
            parse_object(_body(made), _namespace(namespace))
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

    def _read_all(self, manifests: Sequence[Manifest], namespace: str) -> tuple[list[Manifest], bool]:
        """Those of the objects that are there; and whether the server said of each of the others that it is not."""
        found, is_known = [], True
        for manifest in manifests:
            try:
                stored = self._read(_asked(manifest), namespace)
            except _NotSaidOfWhat:
                is_known = False  # writing it will tell
            else:
                found += [stored] if stored is not None else []
        return found, is_known

    def _read(self, asked: Asked, namespace: str) -> Manifest | None:
        """The object, or None where the server says that it is not there. Raises _NotSaidOfWhat where it says NotFound
        and does not name it."""
        reads = {
            "Deployment": self._apps.read_namespaced_deployment,
            "Service": self._core.read_namespaced_service,
        }
        read = reads.get(asked.kind)
        if read is None:
            raise PermanentClusterError(f"This driver knows no objects of kind {asked.kind}.")
        with contextlib.suppress(_Gone), _in_our_words(asked, gone=True):
            return parse_object(_body(read(asked.name, namespace, **self._how)), asked)
        return None

    def _read_removed(self, asked: Asked, namespace: str) -> Manifest | None:
        """As `_read`, but a NotFound that does not name the object is believed where the server has answered our own
        DELETE of it with success, and it was neither seen nor written since. An answer that is lost changes nothing."""
        removed = (asked.kind, namespace, asked.name)
        try:
            stored = self._read(asked, namespace)
        except _NotSaidOfWhat:
            if removed in self._removed:
                return None
            raise
        if stored is not None:
            self._removed.discard(removed)
        return stored

    def _explained(self, stored: Manifest) -> Observed:
        """Pods are asked for only when something is amiss: they know why."""
        with _in_our_words(Asked("Pod", "pods")):
            seen = kubernetes_conditions.observed(stored, [])
            if seen.is_settled or seen.wanted_replicas == 0:
                return seen
            selector = ",".join(
                f"{key}={value}" for key, value in stored["spec"]["selector"]["matchLabels"].items()
            )
            answer = self._core.list_namespaced_pod(
                stored["metadata"]["namespace"], label_selector=selector, limit=500, **self._how
            )
            return kubernetes_conditions.observed(stored, parse_list(_body(answer), "PodList"))

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
        asked = Asked("SelfSubjectAccessReview", "selfsubjectaccessreviews")
        return parse_object(_body(answer), asked)["status"]["allowed"] is True

    def _extended_resources(self) -> dict[str, str]:
        totals: dict[str, int] = {}
        for node in parse_list(_body(self._core.list_node(**self._how)), "NodeList"):
            for kind, amount in node.get("status", {}).get("allocatable", {}).items():
                if "/" in kind and amount.isdigit():
                    totals[kind] = totals.get(kind, 0) + int(amount)
        return {kind: str(total) for kind, total in totals.items()}


class _Gone(Exception):
    """The object asked for does not exist."""


class _NotSaidOfWhat(TemporaryClusterError):
    """Something does not exist, or so somebody says."""


@contextlib.contextmanager
def _in_our_words(asked: Asked | None = None, *, gone: bool = False) -> Iterator[None]:
    """Turn what the client raises into our two errors; with `gone`, the API server's word that the object asked
    for does not exist into `_Gone`. An answer that does not look like an API server's is nobody's word."""
    try:
        yield
    except ApiException as error:
        status, body = error.status or 0, error.body or ""
        if gone and asked is not None and status == 404:
            failure = failure_in(status, body)
            if is_not_found(failure, asked):
                raise _Gone from error
            strange = strange_answer(status, body)
            raise (_NotSaidOfWhat(str(strange)) if is_bare_not_found(failure) else strange) from error
        raise cluster_error(status, error.reason or "", body, asked) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TemporaryClusterError(f"The cluster's API server does not answer: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise strange_answer(200, f"{type(error).__name__}: {error}") from error


def _body(response: Any) -> bytes:
    """What came over the wire: the client is told not to read it."""
    body: bytes = response.data
    return body


def _asked(manifest: Manifest) -> Asked:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    return _deployment(name) if kind == "Deployment" else Asked(kind, f"{kind.lower()}s", name)


def _deployment(name: str) -> Asked:
    return Asked("Deployment", "deployments", name, group="apps")


def _namespace(name: str) -> Asked:
    return Asked("Namespace", "namespaces", name)


def _configuration() -> client.Configuration:
    configuration = client.Configuration()
    configuration.retries = False  # our callers retry, with back-off
    return configuration


@contextlib.contextmanager
def _unusable_kubeconfig() -> Iterator[None]:
    """Turn what loading a kubeconfig raises into PermanentClusterError."""
    try:
        yield
    except (
        ConfigException,
        yaml.YAMLError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise PermanentClusterError(f"This kubeconfig cannot be used: {error}") from error


def _refuse_references(kubeconfig: Any) -> None:
    if not isinstance(kubeconfig, dict):
        raise ConfigException("It is not a YAML mapping.")
    users = [entry.get("user") or {} for entry in kubeconfig.get("users") or []]
    clusters = [entry.get("cluster") or {} for entry in kubeconfig.get("clusters") or []]
    forbidden = {key for entry in [*users, *clusters] for key in entry} & _REFERENCES
    if forbidden:
        raise ConfigException(
            f"It refers to programs or files of another machine ({', '.join(sorted(forbidden))}). "
            "Use one with a token or certificates inside, as "
            "`kubectl config view --raw --flatten --minify` writes it."
        )
