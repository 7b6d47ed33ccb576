"""The configuration as it is sent: lines of JSON in gzip members, with everything or only what changed.

A control plane sends it when the request says `Accept: application/vnd.quartermaster.config` (CONFIG_TYPE).
Both sides import this file; it imports no Django. `gateway/contract/` describes the request.

**Bytes.** Gzip members follow one another, each with whole lines. An empty line means nothing: it keeps the
connection alive while the control plane is compiling. The first bytes come at once.

**Lines.** First a `ConfigHead`, then `ConfigRecords` and at most one `ConfigRouting` in any order, last a `ConfigEnd`.
A message without its end was cut off and must be discarded.

**Everything or changes.** If `after` is null, the message holds everything. Otherwise it holds what changed since
revision `after`, and only a gateway that serves exactly that revision may apply it. Each record appears once and refers
to others by id: a key names its project, a project its tenant, and limits what they are set on. So a suspended tenant
is one removed id, and the end of a grant is one project, however many keys there are. A record replaces the one
with the same id. Removing an unknown id changes nothing. A key whose project or tenant is unknown opens nothing.

**`state`** is opaque. A gateway sends it back with its next request. Without a state that the control plane knows, the
answer holds everything. So a database that was restored from a copy, and has given the same revision to
something else, never builds changes on what it has not sent.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from gateway.contract import v1_config as v1
from gateway.contract.config import (
    CONTRACT_VERSION,
    DataClass,
    Endpoint,
    KeyConfig,
    LimitConfig,
    LimitKind,
    LimitScope,
    PriceConfig,
    RouteConfig,
    SettingsConfig,
)
from gateway.contract.messages import ContractError, Count, OpenMessage, Revision
from gateway.contract.signatures import Seal

CONFIG_TYPE: Final = "application/vnd.quartermaster.config"
# A gateway needs about a millisecond for them.
RECORDS_IN_A_LINE: Final = 200
# Bytes; routes and prices of thousands of models fit.
LARGEST_LINE: Final = 32 * 1024 * 1024
INFLATED_AT_ONCE: Final = 128 * 1024

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class TenantRecord(OpenMessage, frozen=True, omit_defaults=True, gc=False):
    """An active tenant. A suspended or closed tenant is removed, and all its keys stop working.

    `regions` are where its calls may be answered (`KeyConfig`).
    """

    id: str
    slug: str
    regions: list[str] = []
    # Whether it lets providers store answers (`KeyConfig`).
    stores_answers: bool = False
    # Whether it lets routes degrade (likewise).
    may_degrade: bool = False


class ProjectRecord(OpenMessage, frozen=True, omit_defaults=True, gc=False):
    """A project, what it may use, and the first second in which each model is refused.

    `data_classes` is the highest class of data that it may send to each (`KeyConfig`).
    """

    id: str
    slug: str
    tenant_id: str
    grant_ends: dict[str, int] = {}
    data_classes: dict[str, DataClass] = {}


class KeyRecord(OpenMessage, frozen=True, omit_defaults=True):
    """A claimed key that is not revoked, suspended or expired. It opens those of `models` that its project may use."""

    digest: Digest
    key_id: str
    prefix: str
    project_id: str
    models: list[str] = []
    expires_at: int | None = None
    networks: list[str] = []
    endpoints: list[Endpoint] = []
    # Who answers for the key.
    person_id: str | None = None


class LimitSetting(OpenMessage, frozen=True, omit_defaults=True):
    """A `LimitConfig` without the fields that all limits on the same thing share."""

    id: str
    kind: LimitKind
    value: Count
    model: str | None = None
    is_hard: bool = True
    used: Count | None = None


class LimitsRecord(OpenMessage, frozen=True, omit_defaults=True):
    """All limits that are set on one tenant, project or key; an empty list removes them."""

    scope: LimitScope
    scope_id: str
    limits: list[LimitSetting] = []
    time_zone: str = "UTC"
    used_as_of: int | None = None

    def configs(self) -> list[LimitConfig]:
        """The limits, written out in full."""
        return [
            LimitConfig(
                id=limit.id,
                scope=self.scope,
                scope_id=self.scope_id,
                kind=limit.kind,
                value=limit.value,
                model=limit.model,
                is_hard=limit.is_hard,
                time_zone=self.time_zone,
                used=limit.used,
                used_as_of=None if limit.used is None else self.used_as_of,
            )
            for limit in self.limits
        ]


class ConfigHead(OpenMessage, frozen=True, tag_field="part", tag="head"):
    """The beginning of a message: everything at `revision`, or what changed since `after`.

    Within a version, readers ignore optional fields that they do not know. If ignoring one would permit too much, the
    console names that feature in `requires`, and a gateway that does not know it refuses the message.
    """

    revision: Revision
    issued_at: str
    after: Revision | None = None
    state: str = ""
    settings: SettingsConfig = SettingsConfig()
    requires: list[str] = []
    contract_version: int = CONTRACT_VERSION


class ConfigRecords(OpenMessage, frozen=True, omit_defaults=True, tag_field="part", tag="records"):
    """New or changed records, and the ids (for keys, the digests) of removed ones."""

    tenants: list[TenantRecord] = []
    projects: list[ProjectRecord] = []
    keys: list[KeyRecord] = []
    limits: list[LimitsRecord] = []
    removed_tenants: list[str] = []
    removed_projects: list[str] = []
    removed_keys: list[Digest] = []


class ConfigRouting(OpenMessage, frozen=True, tag_field="part", tag="routing"):
    """All routes and prices; they replace the known ones."""

    routes: list[RouteConfig]
    prices: list[PriceConfig] = []


class ConfigEnd(OpenMessage, frozen=True, omit_defaults=True, tag_field="part", tag="end"):
    """The end of a message, with the signatures over everything before it."""

    revision: Revision
    seal: Seal | None = None


ConfigPart = ConfigHead | ConfigRecords | ConfigRouting | ConfigEnd
_encoder = msgspec.json.Encoder()


def pack(parts: Iterable[ConfigPart | v1.ConfigPart]) -> bytes:
    """Pack lines into one gzip member."""
    return compressed(lines_of(parts))


def lines_of(parts: Iterable[ConfigPart | v1.ConfigPart]) -> bytes:
    """Parts as lines, each with its line feed: the bytes that are signed."""
    return b"".join(_encoder.encode(part) + b"\n" for part in parts)


def compressed(text: bytes) -> bytes:
    """One gzip member."""
    # The fastest level: the network is local.
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(text) + packer.flush()


KEEP_ALIVE: Final = compressed(b"\n")


class Unpacker:
    """Unpacks lines from bytes as they arrive, in pieces small enough to allow other work in between."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(31)
        self._begun = b""
        self.is_between_members = True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the lines that end within `piece`, without empty ones. Raises ContractError for anything but gzip."""
        while piece:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(31)
            try:
                text = self._inflate.decompress(piece, INFLATED_AT_ONCE)
            except zlib.error as error:
                raise ContractError(f"The configuration is damaged: {error}") from error
            piece = self._inflate.unconsumed_tail or self._inflate.unused_data
            self.is_between_members = self._inflate.eof
            *lines, self._begun = (self._begun + text).split(b"\n")
            if len(self._begun) > LARGEST_LINE:
                raise ContractError(f"A line of the configuration is longer than {LARGEST_LINE} bytes.")
            yield from filter(None, lines)


def resolve(
    key: KeyRecord,
    project: ProjectRecord | None,
    tenant: TenantRecord | None,
    limits: Mapping[str, Sequence[LimitConfig]],
) -> KeyConfig | None:
    """All that a key may do, in one object; None if its project or tenant is unknown. `limits` are by what they are
    set on."""
    if project is None or tenant is None:
        return None
    models = sorted(project.grant_ends.keys() & set(key.models))
    bound = {None, *models}
    return KeyConfig(
        digest=key.digest,
        key_id=key.key_id,
        prefix=key.prefix,
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        project_id=project.id,
        project_slug=project.slug,
        models=models,
        limits=[
            limit
            for scope in (tenant.id, project.id, key.key_id)
            for limit in limits.get(scope, ())
            if limit.model in bound
        ],
        expires_at=key.expires_at,
        networks=key.networks,
        grant_ends={model: project.grant_ends[model] for model in models},
        regions=tenant.regions,
        data_classes={model: cls for model in models if (cls := project.data_classes.get(model))},
        endpoints=key.endpoints,
        person_id=key.person_id,
        stores_answers=tenant.stores_answers,
        may_degrade=tenant.may_degrade,
    )
