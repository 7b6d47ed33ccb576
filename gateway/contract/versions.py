"""Both versions of the contract: which one to speak, and a configuration of either in the form of the newest.

A gateway names the versions that it reads in VERSIONS_HEADER (`1,2`), and the console answers in the newest that both
know, named in VERSION_HEADER. Consoles and gateways of version 1 send neither header.

`upgraded` loses nothing. `Downgrade` removes what a version-1 gateway could not enforce: it knows neither the regions
of tenants nor classes of data, so a project of such a tenant keeps only the models whose targets are all permitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from math import lcm
from typing import Final, cast, get_args

import msgspec

from core.regions import is_allowed
from gateway.contract import v1_config as v1
from gateway.contract.config import (
    CONTRACT_VERSION,
    CONTRACT_VERSIONS,
    DATA_CLASSES,
    ConfigSnapshot,
    DataClass,
    KeyConfig,
    PriceConfig,
    RouteConfig,
    SettingsConfig,
    TargetConfig,
)
from gateway.contract.messages import ContractError
from gateway.contract.stream import (
    ConfigEnd,
    ConfigHead,
    ConfigPart,
    ConfigRouting,
    ProjectRecord,
    TenantRecord,
)

VERSIONS_HEADER: Final = "x-contract-versions"
VERSION_HEADER: Final = "x-contract-version"
# The value of VERSIONS_HEADER.
READABLE: Final = ",".join(map(str, CONTRACT_VERSIONS))
# Features beyond the first form of version 2 that this release obeys (`ConfigHead.requires`).
FEATURES: Final[frozenset[str]] = frozenset()

# A head lists media hosts.
_LONGEST_HEAD = 64 * 1024
# Between a target's id and what distinguishes its addresses, in the id of a backend of version 1.
_SEPARATOR = "."
_MOST_PARTS = 10_000
_FIRST_KINDS: Final[tuple[v1.PriceKind, ...]] = get_args(v1.PriceKind)
_FIRST_MODES: Final = frozenset(get_args(v1.Mode))


class _Spoken(msgspec.Struct):
    contract_version: int = 1
    part: str = ""


_spoken = msgspec.json.Decoder(_Spoken)
_newest: msgspec.json.Decoder[ConfigPart] = msgspec.json.Decoder(ConfigPart)
_first: msgspec.json.Decoder[v1.ConfigPart] = msgspec.json.Decoder(v1.ConfigPart)
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def spoken_with(header: str | None) -> int | None:
    """The newest version that a reader of the versions in `header` and this release share; None if there is none.

    Without the header, the reader knows version 1.
    """
    read = {one.strip() for one in (header or "1").split(",")}
    return max((version for version in CONTRACT_VERSIONS if str(version) in read), default=None)


def spoken(headers: Mapping[str, str]) -> int:
    """The version in which the console answered."""
    named = headers.get(VERSION_HEADER, "1")
    return int(named) if named.isascii() and named.isdigit() else 0


class PartReader:
    """Reads lines of a configuration, in the version that its head names, as parts of the newest version."""

    def __init__(self) -> None:
        self._version = CONTRACT_VERSION

    def read(self, line: bytes) -> ConfigPart:
        """Read one line. Raises ContractError, with the path of the fault, for an invalid one."""
        try:
            # The head is one short line.
            if len(line) < _LONGEST_HEAD and (spoken := _spoken.decode(line)).part == "head":
                self._version = spoken.contract_version
                require_readable(spoken.contract_version)
            if self._version == 1:
                part = _first.decode(line)
                if isinstance(part, v1.ConfigRouting):
                    return ConfigRouting(routes=upgraded_routes(part.routes), prices=_prices(part.prices))
            return _newest.decode(line)
        except _ERRORS as error:
            raise ContractError(f"This is not part of a configuration: {error}") from error


def read_snapshot(body: bytes) -> ConfigSnapshot:
    """A whole configuration of either version. Raises ContractError, with the path of the fault."""
    try:
        version = _spoken.decode(body).contract_version
        require_readable(version)
        if version == 1:
            return upgraded(msgspec.json.decode(body, type=v1.ConfigSnapshot))
        return msgspec.json.decode(body, type=ConfigSnapshot)
    except _ERRORS as error:
        raise ContractError(f"This is not a ConfigSnapshot: {error}") from error


def require_readable(version: int, requires: Iterable[str] = ()) -> None:
    """Raises ContractError for a version or a feature that this release does not know."""
    if version not in CONTRACT_VERSIONS:
        raise ContractError(
            f"The control plane speaks version {version} of the contract; this gateway reads "
            f"{' and '.join(map(str, CONTRACT_VERSIONS))}. Upgrade the gateway."
        )
    if unknown := sorted(set(requires) - FEATURES):
        raise ContractError(
            f"This configuration requires {', '.join(unknown)}, which this gateway does not know. Upgrade the gateway."
        )


def upgraded(snapshot: v1.ConfigSnapshot) -> ConfigSnapshot:
    """A version-1 configuration in the newest form. It still says that the console speaks version 1."""
    return ConfigSnapshot(
        revision=snapshot.revision,
        issued_at=snapshot.issued_at,
        keys=msgspec.convert(snapshot.keys, list[KeyConfig], from_attributes=True),
        routes=upgraded_routes(snapshot.routes),
        prices=_prices(snapshot.prices),
        settings=msgspec.convert(snapshot.settings, SettingsConfig, from_attributes=True),
        contract_version=1,
    )


def upgraded_routes(routes: Iterable[v1.RouteConfig]) -> list[RouteConfig]:
    """Routes of version 1: each backend is a target with one address."""
    return [
        RouteConfig(
            model=route.model,
            modes=list(route.modes),
            targets=[
                TargetConfig(
                    id=one.id,
                    addresses=[one.url],
                    upstream_model=one.upstream_model,
                    weight=one.weight,
                    priority=one.priority,
                    regions=[one.region] if one.region else [],
                    cache_key_field=one.cache_key_field,
                    only_tenant=one.only_tenant,
                    allowed_controls=one.allowed_controls,
                )
                for one in route.backends
            ],
            max_output_tokens=route.max_output_tokens,
            owned_by=route.owned_by,
            created=route.created,
        )
        for route in routes
    ]


def _prices(prices: Iterable[v1.PriceConfig]) -> list[PriceConfig]:
    return [
        PriceConfig(
            model=one.model,
            nano_per_unit={str(kind): nano for kind, nano in one.nano_per_token.items()},
            currency=one.currency,
            tenant_id=one.tenant_id,
        )
        for one in prices
    ]


def may_receive(target: TargetConfig, regions: Iterable[str], data_class: DataClass | None) -> bool:
    """Whether a call of a tenant bound to `regions`, with data of `data_class`, may go to this target.

    Empty regions mean anywhere; None means that no class is known, as from a console of version 1.
    """
    if not all(is_allowed(one, list(regions)) for one in target.regions or [""]):
        return False
    if data_class is None:
        return True
    return DATA_CLASSES.index(data_class) <= DATA_CLASSES.index(target.highest_data_class)


def may_stand_in(asked: DataClass | None, other: DataClass | None) -> bool:
    """Whether a model granted for data of class `other` may get a call to one that is granted for `asked`.

    The call may contain data of that class, so the other model must be granted for no less. None: not known.
    """
    return asked is not None and other is not None and DATA_CLASSES.index(other) >= DATA_CLASSES.index(asked)


class Downgrade:
    """Turns the parts of one configuration into version 1. Routing must come before projects, tenants too.

    A part of version 2 that version 1 cannot say is left out, never widened.
    """

    def __init__(self, routes: Iterable[RouteConfig]) -> None:
        self._targets: Mapping[str, list[TargetConfig]] = {route.model: route.targets for route in routes}
        self._regions: dict[str, list[str]] = {}

    def part(self, part: ConfigPart) -> v1.ConfigPart:
        """One part in version 1."""
        if isinstance(part, ConfigHead):
            settings = msgspec.convert(part.settings, v1.SettingsConfig, from_attributes=True)
            return v1.ConfigHead(
                revision=part.revision,
                issued_at=part.issued_at,
                after=part.after,
                state=part.state,
                settings=settings,
            )
        if isinstance(part, ConfigRouting):
            return v1.ConfigRouting(
                routes=downgraded_routes(part.routes),
                prices=downgraded_prices(part.prices),
            )
        if isinstance(part, ConfigEnd):
            return v1.ConfigEnd(revision=part.revision)
        return v1.ConfigRecords(
            tenants=[self._tenant(one) for one in part.tenants],
            projects=[self._project(one) for one in part.projects],
            keys=[
                v1.KeyRecord(
                    digest=one.digest,
                    key_id=one.key_id,
                    prefix=one.prefix,
                    project_id=one.project_id,
                    # A key for some endpoints would open all of them.
                    models=[] if one.endpoints else one.models,
                    expires_at=one.expires_at,
                    networks=one.networks,
                )
                for one in part.keys
            ],
            limits=msgspec.convert(part.limits, list[v1.LimitsRecord], from_attributes=True),
            removed_tenants=part.removed_tenants,
            removed_projects=part.removed_projects,
            removed_keys=part.removed_keys,
        )

    def key(self, key: KeyConfig) -> v1.KeyConfig:
        """A key of a whole configuration in version 1."""
        models = [
            model
            for model in key.models
            if not key.endpoints and self._is_safe(model, key.regions, key.data_classes.get(model))
        ]
        return v1.KeyConfig(
            digest=key.digest,
            key_id=key.key_id,
            prefix=key.prefix,
            tenant_id=key.tenant_id,
            tenant_slug=key.tenant_slug,
            project_id=key.project_id,
            project_slug=key.project_slug,
            models=models,
            limits=msgspec.convert(key.limits, list[v1.LimitConfig], from_attributes=True),
            expires_at=key.expires_at,
            networks=key.networks,
            grant_ends={model: end for model, end in key.grant_ends.items() if model in models},
        )

    def snapshot(self, snapshot: ConfigSnapshot) -> v1.ConfigSnapshot:
        """A whole configuration in version 1."""
        return v1.ConfigSnapshot(
            revision=snapshot.revision,
            issued_at=snapshot.issued_at,
            keys=[self.key(key) for key in snapshot.keys],
            routes=downgraded_routes(snapshot.routes),
            prices=downgraded_prices(snapshot.prices),
            settings=msgspec.convert(snapshot.settings, v1.SettingsConfig, from_attributes=True),
        )

    def _tenant(self, tenant: TenantRecord) -> v1.TenantRecord:
        self._regions[tenant.id] = tenant.regions
        return v1.TenantRecord(id=tenant.id, slug=tenant.slug)

    def _project(self, project: ProjectRecord) -> v1.ProjectRecord:
        # Tenants that are not there are suspended: their keys open nothing.
        regions = self._regions.get(project.tenant_id, [])
        ends = {
            model: end
            for model, end in project.grant_ends.items()
            if self._is_safe(model, regions, project.data_classes.get(model))
        }
        return v1.ProjectRecord(
            id=project.id, slug=project.slug, tenant_id=project.tenant_id, grant_ends=ends
        )

    def _is_safe(self, model: str, regions: list[str], data_class: DataClass | None) -> bool:
        return all(may_receive(one, regions, data_class) for one in self._targets.get(model, ()))


def downgraded_routes(routes: Iterable[RouteConfig]) -> list[v1.RouteConfig]:
    """The routes of models whose own mode version 1 has. Its gateways have no endpoint for the others."""
    return [downgraded_route(route) for route in routes if is_in_first(route)]


def is_in_first(route: RouteConfig) -> bool:
    """Whether version 1 has the route."""
    return route.modes[0] in _FIRST_MODES


def downgraded_route(route: RouteConfig) -> v1.RouteConfig:
    """A route in version 1: a backend for each address, which share the target's weight.

    The id of a target's only address is the target's id. Of several addresses, each adds something of its own to it,
    so that ids stay unique; `target_of` removes that again.
    """
    own = route.modes[0]
    # A gateway of version 1 cannot call providers.
    targets = [
        target
        for target in route.targets
        if target.addresses and target.provider is None and own in (target.modes or route.modes)
    ]
    # It sends calls of each mode to all targets.
    modes = [
        mode
        for mode in route.modes
        if mode in _FIRST_MODES and all(mode in (one.modes or route.modes) for one in targets)
    ]
    # Beyond this, shares are rounded.
    parts = min(lcm(*(len(target.addresses) for target in targets)), _MOST_PARTS)
    return v1.RouteConfig(
        model=route.model,
        modes=cast(list[v1.Mode], modes),
        backends=[
            v1.BackendConfig(
                id=target.id if len(target.addresses) == 1 else f"{target.id}{_SEPARATOR}{_mark(url)}",
                url=url,
                upstream_model=target.upstream_model,
                weight=target.weight and max(1, round(target.weight * parts / len(target.addresses))),
                priority=target.priority,
                region=target.regions[0] if len(target.regions) == 1 else "",
                cache_key_field=target.cache_key_field,
                only_tenant=target.only_tenant,
                allowed_controls=target.allowed_controls,
            )
            for target in targets
            for url in target.addresses
        ],
        max_output_tokens=route.max_output_tokens,
        owned_by=route.owned_by,
        created=route.created,
    )


def target_of(backend_id: str) -> str:
    """The target that a gateway of version 1 means by a backend's id; the ledger keeps calls under it."""
    return backend_id.partition(_SEPARATOR)[0]


def _mark(url: str) -> str:
    return sha256(url.encode()).hexdigest()[:12]


def downgraded_prices(prices: Iterable[PriceConfig]) -> list[v1.PriceConfig]:
    """Prices in version 1, of the kinds that it knows."""
    found = []
    for one in prices:
        nano = {kind: one.nano_per_unit[kind] for kind in _FIRST_KINDS if kind in one.nano_per_unit}
        if nano:
            found.append(
                v1.PriceConfig(
                    model=one.model, nano_per_token=nano, currency=one.currency, tenant_id=one.tenant_id
                )
            )
    return found
