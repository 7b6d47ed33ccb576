"""What gateways learn of the backends of models, and of operators' settings for all gateways."""

from __future__ import annotations

import hmac
from hashlib import sha256

from django.conf import settings

from deployments.models import Backend, Sharing
from gateway.contract import BackendConfig, SettingsConfig
from gateway.models import GatewayPolicy

_PURPOSE = b"quartermaster gateway: values that keep tenants apart at engines"


def backend_config(backend: Backend) -> BackendConfig | None:
    """One backend, or None for one that may serve nobody, because nothing separates tenants there.

    Its `deployment` with cluster and version must be loaded.
    """
    deployment = backend.deployment
    sharing = deployment.sharing
    if sharing == Sharing.NOBODY:
        return None
    return BackendConfig(
        id=str(backend.pk),
        url=backend.url.rstrip("/"),
        upstream_model=backend.upstream_model,
        weight=backend.weight,
        priority=backend.priority,
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
