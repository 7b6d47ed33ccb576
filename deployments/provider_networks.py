"""The list of networks beyond the public Internet in which providers may be."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ValidationError

from core.egress import EgressRefused, read_networks
from deployments.list_settings import ListSetting
from deployments.models import EgressPolicy
from deployments.provider_fields import translated


def clean_networks(networks: Iterable[str]) -> list[str]:
    """The networks in order, each once. Raises ValidationError naming one that cannot be allowed."""
    try:
        return [str(network) for network in read_networks(networks).allowed]
    except EgressRefused as refused:
        raise ValidationError({"networks": [translated(refused)]}) from refused


ALLOWED_NETWORKS = ListSetting(
    EgressPolicy, "allowed_networks", name="networks", verb="provider.networks_set", clean=clean_networks
)
