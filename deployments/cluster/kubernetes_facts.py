"""The results of a connection test: the cluster's version, what the credentials lack, and what the nodes offer."""

import contextlib
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from deployments.cluster.base import ClusterFacts, TemporaryClusterError
from deployments.cluster.kubernetes_answers import Asked, parse_object, parse_version
from deployments.cluster.kubernetes_wire import body_of, in_our_words, list_all

NEEDED_PERMISSIONS = (
    *(("apps", "deployments", verb) for verb in ("get", "create", "patch", "delete")),
    *(("", "services", verb) for verb in ("get", "create", "patch", "delete")),
    ("", "pods", "list"),
)
"""API group, resource and verb of everything that the driver does in a namespace."""
_REVIEW = Asked("SelfSubjectAccessReview", "selfsubjectaccessreviews", group="authorization.k8s.io")
_NOT_SERVED = (404, 405, 501)


def facts_of(
    core: client.CoreV1Api,
    authorization: client.AuthorizationV1Api,
    version: client.VersionApi,
    how: dict[str, Any],
    namespace: str,
) -> ClusterFacts:
    """As `Cluster.check`. `core`, `authorization` and `version` are the APIs of one client, `how` holds the options of
    each call, `namespace` is where deployments are to run."""

    def may(where: str | None, group: str, resource: str, verb: str) -> bool:
        attributes = {"group": group, "resource": resource, "verb": verb}
        if where is not None:
            attributes["namespace"] = where
        review: Any = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        try:
            answer = authorization.create_self_subject_access_review(review, **how)
        except ApiException as error:
            if error.status in _NOT_SERVED:
                raise _no_reviews(error.status) from error
            raise
        return parse_object(body_of(answer), _REVIEW)["status"]["allowed"] is True

    told = ""
    with contextlib.suppress(TemporaryClusterError), in_our_words(Asked("Info", "version")):
        told = parse_version(body_of(version.get_code(**how)))
    with in_our_words(_REVIEW):
        missing = [
            f"{verb} {resource}.{group}" if group else f"{verb} {resource}"
            for group, resource, verb in NEEDED_PERMISSIONS
            if not may(namespace, group, resource, verb)
        ]
        sees_nodes = may(None, "", "nodes", "list")
    with in_our_words(Asked("Node", "nodes")):
        resources = _extended_resources(core, how) if sees_nodes else {}
    return ClusterFacts(told, tuple(missing), resources)


def _no_reviews(status: int) -> TemporaryClusterError:
    return TemporaryClusterError(
        f"What answers at the cluster's address serves no access reviews (HTTP {status} to POST "
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews), by which a cluster is tested before it is saved. "
        "Check that the kubeconfig names the address of the Kubernetes API server, and that the proxies in front of it "
        "let this path through."
    )


def _extended_resources(core: client.CoreV1Api, how: dict[str, Any]) -> dict[str, str]:
    totals: dict[str, int] = {}
    for node in list_all("NodeList", core.list_node, how):
        for kind, amount in node.get("status", {}).get("allocatable", {}).items():
            if "/" in kind and amount.isdigit():
                totals[kind] = totals.get(kind, 0) + int(amount)
    return {kind: str(total) for kind, total in totals.items()}
