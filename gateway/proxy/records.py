"""The records of a configuration in compact form, and the keys built from them on use.

400,000 keys as objects take over a gigabyte, and the garbage collector stops all calls to traverse them. So a key
is kept as about 150 bytes, which the collector does not traverse, and decoded when it is used.
"""

import asyncio
import ipaddress
import uuid
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from gateway.contract import ContractError, KeyConfig, LimitConfig, LimitKind, LimitScope
from gateway.contract.stream import (
    ConfigRecords,
    KeyRecord,
    LimitSetting,
    LimitsRecord,
    ProjectRecord,
    TenantRecord,
    resolve,
)
from gateway.proxy.settings import Network
from gateway.proxy.shards import Shards

# The most decoded keys kept.
_MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Key:
    """A key that exists at this revision; `auth` decides whether it may be used now."""

    config: KeyConfig
    models: frozenset[str]
    networks: tuple[Network, ...]
    # By model, of those that were called; under an empty name, those that hold for every call.
    found_limits: dict[str, list[LimitConfig]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, config: KeyConfig) -> "Key":
        """Build a key from its configuration. Raises ContractError for an invalid network."""
        return cls(config, frozenset(config.models), _networks(config.prefix, config.networks))

    def has_ended(self, now: float) -> bool:
        """Whether the key has expired by the time `now`."""
        return self.config.expires_at is not None and now >= self.config.expires_at

    def may_call(self, model: str, now: float) -> bool:
        """Whether `model` is granted to this key at the time `now`."""
        return model in self.models and now < self.config.grant_ends.get(model, now + 1)

    def limits_on(self, model: str) -> list[LimitConfig]:
        """The limits that apply to a call to `model`, one of those that are granted. Not to be changed."""
        found = self.found_limits.get(model)
        if found is None:
            found = [limit for limit in self.config.limits if limit.model is None or limit.model == model]
            self.found_limits[model] = found
        return found


# An id as it is stored: a UUID, as ours are, as sixteen bytes; any other as it is.
_Id: TypeAlias = str | bytes
# The same as a field, for which msgspec knows no such type.
_IdField: TypeAlias = Any


class _StoredKey(msgspec.Struct, array_like=True, frozen=True, gc=False):
    key_id: _IdField
    prefix: str
    project_id: _IdField
    models: list[str]
    expires_at: int | None
    networks: list[str]
    endpoints: list[str] = []
    # Empty: unknown.
    person_id: _IdField = b""


class _StoredLimit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    id: _IdField
    kind: LimitKind
    value: int
    model: str | None
    is_hard: bool
    used: int | None


class _StoredLimits(msgspec.Struct, array_like=True, frozen=True, gc=False):
    scope: LimitScope
    time_zone: str
    used_as_of: int | None
    limits: list[_StoredLimit]


_encode_into = msgspec.msgpack.Encoder().encode_into
_decode_key = msgspec.msgpack.Decoder(_StoredKey).decode
_decode_limits = msgspec.msgpack.Decoder(_StoredLimits).decode


@dataclass(frozen=True)
class Records:
    """The tenants, projects, keys and limits of one revision. Immutable."""

    tenants: Shards[str, TenantRecord] = field(default_factory=Shards)
    projects: Shards[str, ProjectRecord] = field(default_factory=Shards)
    keys: Shards[bytes, bytes] = field(default_factory=Shards)  # by digest
    # By the id of what they are set on.
    limits: Shards[_Id, bytes] = field(default_factory=Shards)
    # The default for limits without their own value: most limits share one.
    used_as_of: int | None = None

    def retire(self) -> Iterator[None]:
        """Free the memory in small steps, once nothing uses these records anymore."""
        for shards in (self.keys, self.limits):
            yield from shards.retire()

    async def retire_slowly(self, after_seconds: float) -> None:
        """Free the memory between calls, after a while."""
        await asyncio.sleep(after_seconds)
        for _ in self.retire():
            await asyncio.sleep(0)

    def limits_on(self, scope_id: str) -> list[LimitConfig]:
        """The limits that are set on one tenant, project or key."""
        stored = self.limits.get(_short(scope_id))
        if stored is None:
            return []
        read = _decode_limits(stored)
        return LimitsRecord(
            scope=read.scope,
            scope_id=scope_id,
            time_zone=read.time_zone,
            used_as_of=self.used_as_of if read.used_as_of is None else read.used_as_of,
            limits=[
                LimitSetting(
                    id=_long(one.id),
                    kind=one.kind,
                    value=one.value,
                    model=one.model,
                    is_hard=one.is_hard,
                    used=one.used,
                )
                for one in read.limits
            ],
        ).configs()


class RecordsEdit:
    """Records under construction: a copy of `base` with changes, or built `anew`, sharing equal parts with `base`."""

    def __init__(self, base: Records, *, anew: bool = False) -> None:
        self._tenants = base.tenants.edit_anew() if anew else base.tenants.edit()
        self._projects = base.projects.edit_anew() if anew else base.projects.edit()
        self._keys = base.keys.edit_anew() if anew else base.keys.edit()
        self._limits = base.limits.edit_anew() if anew else base.limits.edit()
        self._used_as_of = None if anew else base.used_as_of
        self._buffer = bytearray()
        self.gone_limits: set[str] = set()

    def take(self, changed: ConfigRecords) -> None:
        """Replace the records with the same ids. Raises ContractError for an invalid network."""
        for tenant in changed.tenants:
            self._tenants[tenant.id] = tenant
        for project in changed.projects:
            self._projects[project.id] = project
        for key in changed.keys:
            _networks(key.prefix, key.networks)
            digest = bytes.fromhex(key.digest)
            self._keys[digest] = self._encoded(
                (
                    _short(key.key_id),
                    key.prefix,
                    _short(key.project_id),
                    key.models,
                    key.expires_at,
                    key.networks,
                    key.endpoints,
                    _short(key.person_id) if key.person_id else b"",
                )
            )
        for record in changed.limits:
            self._set_limits(record)
        for tenant_id in changed.removed_tenants:
            self._tenants.discard(tenant_id)
        for project_id in changed.removed_projects:
            self._projects.discard(project_id)
        for gone in changed.removed_keys:
            self._keys.discard(bytes.fromhex(gone))

    def done(self) -> Records:
        """The records. Nothing may change afterwards."""
        return Records(
            self._tenants.done(),
            self._projects.done(),
            self._keys.done(),
            self._limits.done(),
            self._used_as_of,
        )

    def _encoded(self, record: tuple[object, ...]) -> bytes:
        """A record as bytes that take no more room than they need: those of `encode` keep up to a third more."""
        _encode_into(record, self._buffer)
        return bytes(self._buffer)

    def _set_limits(self, record: LimitsRecord) -> None:
        scope = _short(record.scope_id)
        before = self._limits.get(scope)
        if before:
            self.gone_limits.update(_long(limit.id) for limit in _decode_limits(before).limits)
        if record.limits:
            limits = [
                (_short(one.id), one.kind, one.value, one.model, one.is_hard, one.used)
                for one in record.limits
            ]
            as_of = record.used_as_of
            if self._used_as_of is None:
                self._used_as_of = as_of
            self._limits[scope] = self._encoded(
                (record.scope, record.time_zone, None if as_of == self._used_as_of else as_of, limits)
            )
        elif before:
            self._limits.discard(scope)
        if self.gone_limits:
            self.gone_limits.difference_update(limit.id for limit in record.limits)


class LimitIds:
    """Whether a limit is still set. Covers only limits that a call has used: no others have counters."""

    def __init__(self, records: Records, places: dict[str, str], gone: set[str] | None) -> None:
        self._records = records
        # Limit → the id of what it is set on.
        self._places = places
        # None after a complete configuration.
        self._gone = gone

    def __contains__(self, limit_id: object) -> bool:
        if self._gone is not None:
            return limit_id not in self._gone
        place = self._places.get(str(limit_id))
        return place is not None and any(limit.id == limit_id for limit in self._records.limits_on(place))


class Keys:
    """The usable keys of one revision, by digest."""

    def __init__(
        self, records: Records, *, before: "Keys | None" = None, gone_limits: set[str] | None = None
    ) -> None:
        self.records = records
        self._remembered: dict[str, Key | None] = {}
        self._places: dict[str, str] = before._places if before else {}  # shared: it only grows
        # Limits that the latest changes removed; None after a complete configuration.
        self.gone_limits = gone_limits
        self.limit_ids: Container[str] = LimitIds(records, self._places, gone_limits)

    def __len__(self) -> int:
        return len(self.records.keys)

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
        key_id, project_id = _long(read.key_id), _long(read.project_id)
        project = self.records.projects.get(project_id)
        tenant = self.records.tenants.get(project.tenant_id) if project else None
        scopes = (tenant.id, project.id, key_id) if project and tenant else ()
        record = KeyRecord(
            digest=digest,
            key_id=key_id,
            prefix=read.prefix,
            project_id=project_id,
            models=read.models,
            expires_at=read.expires_at,
            networks=read.networks,
            endpoints=read.endpoints,
            person_id=_long(read.person_id) if read.person_id else None,
        )
        limits = {scope: self.records.limits_on(scope) for scope in scopes}
        config = resolve(record, project, tenant, limits)
        if config is None:
            return None
        self._places.update((limit.id, limit.scope_id) for limit in config.limits)
        return Key.of(config)


class WholeKeys(dict[str, Key]):
    """The keys of a `ConfigSnapshot`, which contains each in full."""

    gone_limits: set[str] | None = None

    def __init__(self, keys: list[KeyConfig]) -> None:
        super().__init__((key.digest, Key.of(key)) for key in keys)
        self.limit_ids: Container[str] = frozenset(limit.id for key in keys for limit in key.limits)


def _networks(prefix: str, networks: list[str]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(network, strict=False) for network in networks)
    except ValueError as error:
        raise ContractError(f"Key {prefix} has a network that is not a CIDR range: {error}") from error


def _short(whole: str) -> _Id:
    """An id as it is stored."""
    if len(whole) == 36 and whole[8:24:5] == "----":
        digits = whole.replace("-", "")
        try:
            short = bytes.fromhex(digits)
        except ValueError:
            return whole
        # Otherwise it is written in another way, which would be lost.
        if short.hex() == digits:
            return short
    return whole


def _long(short: _Id) -> str:
    """The id that `_short` has shortened."""
    return short if isinstance(short, str) else str(uuid.UUID(bytes=short))
