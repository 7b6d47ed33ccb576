"""What gateways learn of the targets of models, and of operators' settings for all gateways."""

from __future__ import annotations

import hmac
from hashlib import sha256

from django.conf import settings

from deployments.models import RouteEntry, Sharing
from gateway.contract import SettingsConfig, TargetConfig
from gateway.models import GatewayPolicy

_PURPOSE = b"quartermaster gateway: values that keep tenants apart at engines"


def target_config(entry: RouteEntry) -> TargetConfig | None:
    """What an entry gives to gateways; None for a target that gets no calls, has no address, or may serve nobody.

    A deployment may serve nobody where nothing separates tenants. The entry's target must be loaded with its
    addresses, and its deployment with cluster and version.
    """
    if entry.target.deployment is None:
        # Gateways cannot call providers yet.
        return None
    urls = tuple(sorted(address.url.rstrip("/") for address in entry.target.addresses.all()))
    deployment = entry.target.source
    sharing = deployment.sharing
    if not entry.weight or not urls or sharing == Sharing.NOBODY:
        return None
    return TargetConfig(
        id=str(entry.target.pk),
        addresses=list(urls),
        upstream_model=entry.target.upstream_model,
        weight=entry.weight,
        priority=entry.priority,
        region=deployment.cluster.region,
        cache_key_field=deployment.separating_field or None,
        only_tenant=str(deployment.only_tenant_id) if sharing == Sharing.ONE_TENANT else None,
        allowed_controls=deployment.controls_in_force,
    )


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
