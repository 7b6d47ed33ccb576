"""Tests a cluster before it is used. A worker does it, because the credentials are there."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.exceptions import TimeoutError as ResultTimeout
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from core.names import clean_name
from deployments.cluster.base import ClusterFacts, PermanentClusterError, TemporaryClusterError
from deployments.clusters import get_cluster
from deployments.models import Cluster

QUEUE_SECONDS = (
    # On top of the cluster's own time: for the queue, and for a worker that finishes something first.
    15.0
)


def try_here(row: Cluster) -> dict[str, Any]:
    """Ask the cluster of `row`, saved or not, for its facts and for what its credentials may not do.

    Returns the fields of ClusterFacts, or {"fault": sentence}.
    """
    try:
        facts = get_cluster(row).check(row.namespace)
    except (TemporaryClusterError, PermanentClusterError) as error:
        return {"fault": clean_name(str(error))}
    return {
        "version": facts.version,
        "missing_permissions": list(facts.missing_permissions),
        "resources": dict(facts.resources),
    }


def require_usable(row: Cluster) -> ClusterFacts:
    """Let a worker test the cluster of `row`, and wait for the result. Changes nothing, so it is safe to repeat.

    Raises ValidationError, with the exact fault, unless the cluster answers and permits everything we need.
    """
    answer = _ask_a_worker(row)
    if fault := answer.get("fault"):
        raise ValidationError(fault, code="unusable")
    if missing := answer["missing_permissions"]:
        raise ValidationError(
            _(
                "The cluster answers, but its credentials may not: %(missing)s in namespace %(namespace)s. "
                "Grant it to them; docs/deployments.md has the role."
            ),
            code="unusable",
            params={"missing": ", ".join(missing), "namespace": row.namespace},
        )
    return ClusterFacts(answer["version"], resources=answer["resources"])


@shared_task(name="deployments.tasks.try_cluster", soft_time_limit=60)
def try_cluster(driver: str, namespace: str, kubeconfig_path: str) -> dict[str, Any]:
    """Test a cluster that may not be saved yet; returns what `try_here` returns."""
    return try_here(Cluster(driver=driver, namespace=namespace, kubeconfig_path=kubeconfig_path))


def _ask_a_worker(row: Cluster) -> dict[str, Any]:
    patience = settings.CLUSTER_TIMEOUT_SECONDS + QUEUE_SECONDS
    try:
        result = try_cluster.apply_async(
            (row.driver, row.namespace, row.kubeconfig_path),
            ignore_result=False,
            expires=patience,
            retry=False,
        )
    except OperationalError:
        return {
            "fault": _("The queue does not answer, so no worker can test the cluster. Try again shortly.")
        }
    try:
        answer: dict[str, Any] = result.get(timeout=patience)
    except ResultTimeout:
        return {
            "fault": _("No worker tested the cluster within %(seconds)d seconds. Check that the workers run.")
            % {"seconds": patience}
        }
    finally:
        result.forget()
    return answer
