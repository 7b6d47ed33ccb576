"""WHERE models run: clusters, deployments, providers, and routes with their targets."""

from deployments.models.clusters import DNS_LABEL, Cluster
from deployments.models.deployments import Deployment, Sharing
from deployments.models.providers import EgressPolicy, Provider, ProviderCredential, ProviderModel
from deployments.models.route_handling import Probes
from deployments.models.routes import Route, RouteEntry, RouteFallback, Target, TargetAddress

__all__ = [
    "DNS_LABEL",
    "Cluster",
    "Deployment",
    "EgressPolicy",
    "Probes",
    "Provider",
    "ProviderCredential",
    "ProviderModel",
    "Route",
    "RouteEntry",
    "RouteFallback",
    "Sharing",
    "Target",
    "TargetAddress",
]
