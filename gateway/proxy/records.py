"""The records of a configuration in little memory, and keys made of them when somebody calls.

400,000 keys as objects take over a gigabyte, and the garbage collector stops everybody to walk through them. So a key
is kept as some 150 bytes, which the collector does not look into, and read when it is used.
"""

import ipaddress
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.config_stream import ConfigRecords, KeyRecord, ProjectRecord, TenantRecord, resolve
from gateway.contract import ContractError, KeyConfig, LimitConfig
from gateway.proxy.settings import Network
from gateway.proxy.shards import Shards

_MOST_REMEMBERED: Final = 4096  # keys that were read already


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is known at this revision; whether it may be used now is for `auth` to say."""

    config: KeyConfig
    models: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, config: KeyConfig) -> "Key":
        """Raises ContractError for a network that is none."""
        return cls(config, frozenset(config.models), _networks(config.prefix, config.networks))

    def may_call(self, model: str, now: float) -> bool:
        """Whether `model` is granted to this key at the time `now`."""
        return model in self.models and now < self.config.grant_ends.get(model, now + 1)

    def limits_on(self, model: str) -> list[LimitConfig]:
        """The limits that a call to `model` must keep."""
        return [limit for limit in self.config.limits if limit.model is None or limit.model == model]


class _StoredKey(msgspec.Struct, array_like=True, frozen=True, gc=False):
    key_id: str
    prefix: str
    project_id: str
    models: list[str]
    expires_at: int | None
    networks: list[str]


_encode_key = msgspec.msgpack.Encoder().encode
_decode_key = msgspec.msgpack.Decoder(_StoredKey).decode
_decode_limits = msgspec.msgpack.Decoder(list[LimitConfig]).decode


@dataclass(frozen=True)
class Records:
    """What is known of tenants, projects, keys and limits at one revision. Immutable."""

    tenants: Shards[str, TenantRecord] = field(default_factory=Shards)
    projects: Shards[str, ProjectRecord] = field(default_factory=Shards)
    keys: Shards[bytes, bytes] = field(default_factory=Shards)  # by digest
    limits: Shards[str, bytes] = field(default_factory=Shards)  # by what they are set on
    limit_ids: Shards[str, None] = field(default_factory=Shards)

    def retire(self) -> Iterator[None]:
        """Give the memory back in small steps, once nobody looks here any more."""
        for shards in (self.keys, self.limits, self.limit_ids):
            yield from shards.retire()

    def edit(self) -> "RecordsEdit":
        """Begin a changed copy."""
        return RecordsEdit(self)


class RecordsEdit:
    """A changed copy of `Records` in the making."""

    def __init__(self, base: Records) -> None:
        self._tenants = base.tenants.edit()
        self._projects = base.projects.edit()
        self._keys = base.keys.edit()
        self._limits = base.limits.edit()
        self._limit_ids = base.limit_ids.edit()

    def take(self, changed: ConfigRecords) -> None:
        """Put records in place of those with the same id. Raises ContractError for a network that is none."""
        for tenant in changed.tenants:
            self._tenants[tenant.id] = tenant
        for project in changed.projects:
            self._projects[project.id] = project
        for key in changed.keys:
            _networks(key.prefix, key.networks)
            stored = key.key_id, key.prefix, key.project_id, key.models, key.expires_at, key.networks
            self._keys[bytes.fromhex(key.digest)] = _encode_key(stored)
        for record in changed.limits:
            self._set_limits(record.scope_id, record.limits)
        for tenant_id in changed.removed_tenants:
            self._tenants.discard(tenant_id)
        for project_id in changed.removed_projects:
            self._projects.discard(project_id)
        for digest in changed.removed_keys:
            self._keys.discard(bytes.fromhex(digest))

    def done(self) -> Records:
        """The copy. Nothing may be changed afterwards."""
        return Records(
            self._tenants.done(),
            self._projects.done(),
            self._keys.done(),
            self._limits.done(),
            self._limit_ids.done(),
        )

    def _set_limits(self, scope_id: str, limits: list[LimitConfig]) -> None:
        before = self._limits.discard(scope_id)
        for limit in _decode_limits(before) if before else ():
            self._limit_ids.discard(limit.id)
        if limits:
            self._limits[scope_id] = _encode_key(limits)
        for limit in limits:
            self._limit_ids[limit.id] = None


class Keys:
    """The usable keys of one revision, by digest."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self._remembered: dict[str, Key | None] = {}

    def __len__(self) -> int:
        return len(self.records.keys)

    @property
    def limit_ids(self) -> Container[str]:
        """The ids of all limits."""
        return self.records.limit_ids

    def get(self, digest: str) -> Key | None:
        """The key with this digest, in hexadecimal; None if there is none, or its tenant is suspended."""
        stored = self.records.keys.get(bytes.fromhex(digest))
        if stored is None:
            return None
        if digest not in self._remembered:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = self._read(digest, stored)
        return self._remembered[digest]

    def _read(self, digest: str, stored: bytes) -> Key | None:
        read = _decode_key(stored)
        project = self.records.projects.get(read.project_id)
        tenant = self.records.tenants.get(project.tenant_id) if project else None
        scopes = (tenant.id, project.id, read.key_id) if project and tenant else ()
        limits = {scope: _decode_limits(self.records.limits.get(scope, b"\x90")) for scope in scopes}
        record = KeyRecord(
            digest=digest,
            key_id=read.key_id,
            prefix=read.prefix,
            project_id=read.project_id,
            models=read.models,
            expires_at=read.expires_at,
            networks=read.networks,
        )
        config = resolve(record, project, tenant, limits)
        return Key.of(config) if config is not None else None


class WholeKeys(dict[str, Key]):
    """The keys of a `ConfigSnapshot`, in which each is written out."""

    def __init__(self, keys: list[KeyConfig]) -> None:
        super().__init__((key.digest, Key.of(key)) for key in keys)
        self.limit_ids: Container[str] = frozenset(limit.id for key in keys for limit in key.limits)


def _networks(prefix: str, networks: list[str]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(network, strict=False) for network in networks)
    except ValueError as error:
        raise ContractError(f"Key {prefix} has a network that is no CIDR range: {error}") from error
