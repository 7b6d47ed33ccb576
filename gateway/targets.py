"""What gateways learn of the targets of models, and of operators' settings for all gateways."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import lcm
from typing import Final

from django.conf import settings

from deployments.models import RouteEntry, Sharing, Target
from gateway.contract import BackendConfig, SettingsConfig
from gateway.models import GatewayPolicy

_PURPOSE = b"quartermaster gateway: values that keep tenants apart at engines"
# Between a target's id and what distinguishes its addresses, in the id of a backend.
_SEPARATOR: Final = "."
# Weights of backends stay below some ten million; beyond this, shares are rounded.
_MOST_PARTS: Final = 10_000


@dataclass(frozen=True)
class RoutedTarget:
    """A target that a route sends calls to, with what gateways of any contract version need of it."""

    target: Target
    urls: tuple[str, ...]
    weight: int
    priority: int
    region: str
    cache_key_field: str | None
    only_tenant: str | None
    allowed_controls: list[str]

    @property
    def id(self) -> str:
        """The id under which the ledger keeps its calls."""
        return str(self.target.pk)


def routed_target(entry: RouteEntry) -> RoutedTarget | None:
    """What an entry gives to gateways; None for a target that gets no calls, has no address, or may serve nobody.

    A deployment may serve nobody where nothing separates tenants. The entry's target must be loaded with its
    addresses, and its deployment with cluster and version.
    """
    urls = tuple(sorted(address.url.rstrip("/") for address in entry.target.addresses.all()))
    deployment = entry.target.source
    sharing = deployment.sharing
    if not entry.weight or not urls or sharing == Sharing.NOBODY:
        return None
    return RoutedTarget(
        target=entry.target,
        urls=urls,
        weight=entry.weight,
        priority=entry.priority,
        region=deployment.cluster.region,
        cache_key_field=deployment.separating_field or None,
        only_tenant=str(deployment.only_tenant_id) if sharing == Sharing.ONE_TENANT else None,
        allowed_controls=deployment.controls_in_force,
    )


def backend_configs(targets: Iterable[RoutedTarget]) -> list[BackendConfig]:
    """The targets of one route in contract version 1: a backend for each address, which share the target's weight.

    The id of a target's only address is the target's id. Of several addresses, each adds something of its own to it,
    so that ids stay unique; `target_of` removes that again.
    """
    found = list(targets)
    return [
        BackendConfig(
            id=routed.id if len(routed.urls) == 1 else f"{routed.id}{_SEPARATOR}{_mark(url)}",
            url=url,
            upstream_model=routed.target.upstream_model,
            weight=weight,
            priority=routed.priority,
            region=routed.region,
            cache_key_field=routed.cache_key_field,
            only_tenant=routed.only_tenant,
            allowed_controls=routed.allowed_controls,
        )
        for routed, weight in zip(found, _address_weights(found), strict=True)
        for url in routed.urls
    ]


def target_of(backend_id: str | None) -> str | None:
    """The target that a gateway means by a backend's id; the ledger keeps calls under it."""
    return None if backend_id is None else backend_id.partition(_SEPARATOR)[0]


def _address_weights(targets: Sequence[RoutedTarget]) -> list[int]:
    """For each target the weight of one of its addresses, so that targets keep their shares of the calls."""
    parts = min(lcm(*(len(routed.urls) for routed in targets)), _MOST_PARTS) if targets else 1
    return [max(1, round(routed.weight * parts / len(routed.urls))) for routed in targets]


def _mark(url: str) -> str:
    return sha256(url.encode()).hexdigest()[:12]


def settings_config() -> SettingsConfig:
    """The settings for all gateways. One query."""
    policy = GatewayPolicy.objects.filter(pk=1).first()
    return SettingsConfig(
        separation_key=separation_key(), media_hosts=list(policy.media_hosts) if policy else []
    )


def separation_key() -> str:
    """The secret from which gateways derive values for tenants; itself derived from SECRET_KEY for this purpose alone.

    Every console of an installation derives the same secret. A new SECRET_KEY gives a new one, which only makes
    caches cold.
    """
    return hmac.digest(settings.SECRET_KEY.encode(), _PURPOSE, sha256).hex()
