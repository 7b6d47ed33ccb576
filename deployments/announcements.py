"""Telling gateways that a deployment or provider now serves other tenants than before."""

from __future__ import annotations

from deployments.models import Deployment, Provider, Target
from tenants.revision import raise_revision


def announce_sharing(deployment: Deployment) -> int:
    """Raise the configuration revision, and note it at the deployment's target. Call it late in an action.

    Pages say that a target serves a tenant only after a gateway has acknowledged that revision.
    """
    revision = raise_revision(routing=True)
    Target.objects.filter(deployment=deployment).update(revision=revision)
    return revision


def announce_provider(provider: Provider) -> int:
    """The same for all targets of a provider, which now serves somebody whom it did not serve before."""
    revision = raise_revision(routing=True)
    Target.objects.filter(provider_model__provider=provider).update(revision=revision)
    return revision
