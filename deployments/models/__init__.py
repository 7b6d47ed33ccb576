"""WHERE models run: clusters, deployments, routes and their backends."""

from deployments.models.clusters import DNS_LABEL, Cluster
from deployments.models.deployments import Deployment, Sharing
from deployments.models.routes import Backend, Route

__all__ = ["DNS_LABEL", "Backend", "Cluster", "Deployment", "Route", "Sharing"]
