"""From a Cluster row to its driver."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from deployments.cluster.base import Cluster as ClusterDriver
from deployments.cluster.local import LocalCluster
from deployments.models import Cluster


def get_cluster(row: Cluster) -> ClusterDriver:
    """The driver of `row`. Raises PermanentClusterError if its credentials cannot be used."""
    if row.driver == Cluster.Driver.LOCAL:
        return LocalCluster(settings.ENGINE_STATE_DIR)
    return _kubernetes(row.kubeconfig_path, settings.CLUSTER_TIMEOUT_SECONDS)


@lru_cache(maxsize=64)
def _kubernetes(kubeconfig_path: str, timeout_seconds: float) -> ClusterDriver:
    """Cached, because a client holds connections. Threads may share it."""
    # Slow to import, and many processes never need it.
    from deployments.cluster.kubernetes import KubernetesCluster

    if kubeconfig_path:
        return KubernetesCluster.from_file(Path(kubeconfig_path), timeout_seconds=timeout_seconds)
    return KubernetesCluster.in_cluster(timeout_seconds=timeout_seconds)
