"""WHERE models run: clusters, deployments, and routes with their targets."""

from deployments.models.clusters import DNS_LABEL, Cluster
from deployments.models.deployments import Deployment, Sharing
from deployments.models.routes import Route, RouteEntry, Target, TargetAddress

__all__ = [
    "DNS_LABEL",
    "Cluster",
    "Deployment",
    "Route",
    "RouteEntry",
    "Sharing",
    "Target",
    "TargetAddress",
]
