"""What gateways learn of the targets of models, and of operators' settings for all gateways."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from decimal import Decimal
from hashlib import sha256, sha512
from types import MappingProxyType
from typing import Literal, cast
from uuid import UUID

import structlog
from django.conf import settings

from core.encryption import CannotDecrypt
from deployments.models import (
    Deployment,
    EgressPolicy,
    Provider,
    ProviderCredential,
    ProviderModel,
    Route,
    RouteEntry,
    Sharing,
)
from deployments.provider_credentials import GatewayCredential, credentials_for_gateways
from deployments.providers.dialects import DIALECTS
from gateway.contract import (
    SERVED_MODES,
    CredentialConfig,
    DataClass,
    DegradingConfig,
    HandlingConfig,
    ProviderConfig,
    QuotaConfig,
    SettingsConfig,
    TargetConfig,
)
from gateway.contract.sealing import seal
from gateway.models import GatewayPolicy
from gateway.prices import nano_per_unit

log = structlog.get_logger(__name__)
NO_OFFERS: Mapping[UUID, Mapping[str, Decimal]] = MappingProxyType({})
# Gateways send nothing with it. Without any credential, they would send calls to a provider that refuses them.
_ENDED = CredentialConfig(kind="stored", value="", until=0)
_PURPOSE = b"quartermaster gateway: values that keep tenants apart at engines"
_CREDENTIALS = b"quartermaster gateway: credentials of providers on their way to gateways"


def target_config(
    entry: RouteEntry, sealed: Sealed, offers: Mapping[UUID, Mapping[str, Decimal]] = NO_OFFERS
) -> TargetConfig | None:
    """What an entry gives to gateways; None for a target that gets no calls, has no address, or may serve nobody.

    A deployment may serve nobody where nothing separates tenants, a provider while it is disabled. The entry's target
    must be loaded with its addresses, and its deployment with cluster, version and model, or its provider with
    credentials and the model of its row. `offers` are the prices of providers' models, by kind per million.
    """
    target = entry.target
    if not entry.weight:
        return None
    if target.provider_model is not None:
        return _of_provider(entry, target.provider_model, sealed, offers.get(target.provider_model.pk, {}))
    urls = tuple(sorted(address.url.rstrip("/") for address in target.addresses.all()))
    deployment = target.source
    sharing = deployment.sharing
    modes = _served(engine_modes(deployment))
    if not urls or sharing == Sharing.NOBODY or not modes:
        return None
    return TargetConfig(
        id=str(target.pk),
        addresses=list(urls),
        upstream_model=target.upstream_model,
        weight=entry.weight,
        priority=entry.priority,
        regions=target.regions,
        cache_key_field=deployment.separating_field or None,
        only_tenant=str(deployment.only_tenant_id) if sharing == Sharing.ONE_TENANT else None,
        allowed_controls=deployment.controls_in_force,
        modes=modes,
        variant=entry.variant,
    )


def engine_modes(deployment: Deployment) -> set[str]:
    """The modes in which an engine takes calls: its model's, unless its program is known not to serve such models,
    those of its version, and those that its program is known to add for models that chat.
    """
    own = deployment.version.model.mode
    also = deployment.chats_also if own == "chat" else ()
    return {*([own] if deployment.takes(own) else []), *deployment.version.endpoints, *also}


def provider_modes(listed: ProviderModel) -> frozenset[str]:
    """The modes in which a provider takes calls to one of its models; empty if it has no endpoint for it."""
    dialect = DIALECTS.get(listed.provider.dialect)
    mode = listed.mode or (listed.model.mode if listed.model else "")
    return dialect.modes_of(mode) if dialect else frozenset()


def _served(modes: Iterable[str]) -> list[str]:
    return sorted(SERVED_MODES.intersection(modes))


def handling_config(route: Route) -> HandlingConfig:
    """How gateways handle the calls of a route."""
    return HandlingConfig(
        connect_timeout_seconds=route.connect_timeout_seconds,
        first_byte_timeout_seconds=route.first_byte_timeout_seconds,
        idle_timeout_seconds=route.idle_timeout_seconds,
        call_timeout_seconds=route.call_timeout_seconds,
        most_connections=route.most_connections,
        most_attempts=route.most_attempts,
        retry_percent=route.retry_percent,
        retries_per_second=route.retries_per_second,
        probes=cast(Literal["off", "ejected", "idle"] | None, str(route.probes) or None),
        is_sticky=route.is_sticky,
    )


def degrading_config(route: Route) -> DegradingConfig | None:
    """When a smaller model answers the calls of a route; None: never."""
    if route.degrades_to is None:
        return None
    return DegradingConfig(
        model=route.degrades_to.name,
        money_percent=route.degrades_at_money_percent,
        first_token_ms=route.degrades_above_first_token_ms,
    )


def _of_provider(
    entry: RouteEntry, listed: ProviderModel, sealed: Sealed, offer: Mapping[str, Decimal]
) -> TargetConfig | None:
    provider = listed.provider
    modes = _served(provider_modes(listed))
    if not provider.is_enabled or not modes:
        return None
    target_id = str(entry.target_id)
    return TargetConfig(
        id=target_id,
        addresses=[provider.base_url.rstrip("/")],
        upstream_model=listed.name,
        weight=entry.weight,
        priority=entry.priority,
        regions=list(provider.regions),
        highest_data_class=cast(DataClass, provider.highest_data_class),
        variant=entry.variant,
        offer_nano_per_unit={kind: nano_per_unit(price) for kind, price in offer.items()},
        provider=provider_config(provider, sealed, target_id),
        modes=modes,
    )


def provider_config(provider: Provider, sealed: Sealed, target_id: str) -> ProviderConfig:
    """How gateways call a provider for one target. Its credentials must be loaded."""
    return ProviderConfig(
        dialect=provider.dialect,
        credentials=sealed.credentials(provider, target_id),
        headers=dict(provider.extra_headers),
        api_version=provider.api_version,
        connect_timeout_seconds=float(provider.connect_timeout_seconds),
        first_byte_timeout_seconds=float(provider.first_byte_timeout_seconds),
        idle_timeout_seconds=float(provider.idle_timeout_seconds),
        proxy_url=provider.proxy_url,
        private_ca=provider.private_ca,
        receives_traces=provider.receives_traces,
        quota=quota_config(provider),
    )


def quota_config(provider: Provider) -> QuotaConfig | None:
    """What the provider allows us; None if that is not known."""
    requests, tokens = provider.requests_per_minute, provider.tokens_per_minute
    if requests is None and tokens is None:
        return None
    return QuotaConfig(id=str(provider.pk), requests_per_minute=requests, tokens_per_minute=tokens)


class Sealed:
    """The credentials of providers for one configuration, sealed for each target; each is decrypted once."""

    def __init__(self) -> None:
        self._known: dict[UUID, list[GatewayCredential]] = {}
        self._key = credential_key()

    def credentials(self, provider: Provider, target_id: str) -> list[CredentialConfig]:
        """Those in force, the newest first. If there were some, and none can be used, one that has ended."""
        if provider.pk not in self._known:
            try:
                self._known[provider.pk] = credentials_for_gateways(provider)
            except CannotDecrypt as error:
                log.error("provider.credential_lost", provider=provider.name, reason=str(error))
                self._known[provider.pk] = []
        if not self._known[provider.pk] and provider.credentials.all():
            return [_ENDED]
        return [
            CredentialConfig(
                kind=cast(Literal["stored", "file", "environment"], str(one.kind)),
                value=seal(one.value, self._key, target_id)
                if one.kind == ProviderCredential.Kind.STORED
                else one.value,
                until=int(one.valid_until.timestamp()) if one.valid_until else None,
            )
            for one in self._known[provider.pk]
        ]


def credential_key() -> bytes:
    """The key under which credentials travel to gateways; derived from SECRET_KEY for this purpose alone."""
    return hmac.digest(settings.SECRET_KEY.encode(), _CREDENTIALS, sha512)


def settings_config() -> SettingsConfig:
    """The settings for all gateways. Two queries."""
    policy = GatewayPolicy.objects.filter(pk=1).first()
    egress = EgressPolicy.objects.filter(pk=1).first()
    return SettingsConfig(
        separation_key=separation_key(),
        media_hosts=list(policy.media_hosts) if policy else [],
        allowed_networks=list(egress.allowed_networks) if egress else [],
        region_order=list(policy.region_order) if policy else [],
    )


def separation_key() -> str:
    """The secret from which gateways derive values for tenants; itself derived from SECRET_KEY for this purpose alone.

    Every console of an installation derives the same secret. A new SECRET_KEY gives a new one, which only makes
    caches cold.
    """
    return hmac.digest(settings.SECRET_KEY.encode(), _PURPOSE, sha256).hex()
