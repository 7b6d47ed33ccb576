"""The configuration in version 1 of the contract. Frozen: consoles and gateways of version 1 know exactly this.

Its meaning is that of the classes with the same names in gateway/contract/config.py and stream.py; `upgrade.py` and
`downgrade.py` say where they differ. Strict: a version-1 gateway refuses a field that is not here.
"""

from typing import Annotated, Literal

import msgspec

from gateway.contract.messages import Count, Message, Revision

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Mode = Literal["chat", "embedding"]
LimitScope = Literal["tenant", "project", "key"]
LimitKind = Literal[
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_calls",
    "tokens_per_day",
    "tokens_per_month",
    "money_per_month",
]
PriceKind = Literal["input", "cache_read", "cache_write", "output", "reasoning", "image", "audio", "request"]


class LimitConfig(Message, frozen=True):
    id: str
    scope: LimitScope
    scope_id: str
    kind: LimitKind
    value: Count
    model: str | None = None
    is_hard: bool = True
    time_zone: str = "UTC"
    used: Count | None = None
    used_as_of: int | None = None


class KeyConfig(Message, frozen=True):
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    key_id: str
    prefix: str
    tenant_id: str
    tenant_slug: str
    project_id: str
    project_slug: str
    models: list[str]
    limits: list[LimitConfig] = []
    expires_at: int | None = None
    networks: list[str] = []
    grant_ends: dict[str, int] = {}


class BackendConfig(Message, frozen=True):
    id: str
    url: str
    upstream_model: str
    weight: Count = 1
    priority: Count = 0
    region: str = ""
    cache_key_field: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")] | None = None
    only_tenant: str | None = None
    allowed_controls: list[str] = []


class RouteConfig(Message, frozen=True):
    model: str
    modes: Annotated[list[Mode], msgspec.Meta(min_length=1)]
    backends: list[BackendConfig] = []
    max_output_tokens: int | None = None
    owned_by: str = "quartermaster"
    created: int = 0


class PriceConfig(Message, frozen=True):
    model: str
    nano_per_token: dict[PriceKind, Count]
    currency: str = "USD"
    tenant_id: str | None = None


class SettingsConfig(Message, frozen=True):
    max_body_bytes: int = 8 * 1024 * 1024
    connect_timeout_seconds: float = 3.0
    response_timeout_seconds: float = 600.0
    idle_timeout_seconds: float = 120.0
    default_output_tokens: int = 1024
    separation_key: str = ""
    media_hosts: list[str] = []


class ConfigSnapshot(Message, frozen=True):
    revision: Revision
    issued_at: str
    keys: list[KeyConfig]
    routes: list[RouteConfig]
    prices: list[PriceConfig] = []
    settings: SettingsConfig = SettingsConfig()
    contract_version: int = 1


class TenantRecord(Message, frozen=True, omit_defaults=True, gc=False):
    id: str
    slug: str


class ProjectRecord(Message, frozen=True, omit_defaults=True, gc=False):
    id: str
    slug: str
    tenant_id: str
    grant_ends: dict[str, int] = {}


class KeyRecord(Message, frozen=True, omit_defaults=True):
    digest: Digest
    key_id: str
    prefix: str
    project_id: str
    models: list[str] = []
    expires_at: int | None = None
    networks: list[str] = []


class LimitSetting(Message, frozen=True, omit_defaults=True):
    id: str
    kind: LimitKind
    value: Count
    model: str | None = None
    is_hard: bool = True
    used: Count | None = None


class LimitsRecord(Message, frozen=True, omit_defaults=True):
    scope: LimitScope
    scope_id: str
    limits: list[LimitSetting] = []
    time_zone: str = "UTC"
    used_as_of: int | None = None


class ConfigHead(Message, frozen=True, tag_field="part", tag="head"):
    revision: Revision
    issued_at: str
    after: Revision | None = None
    state: str = ""
    settings: SettingsConfig = SettingsConfig()
    contract_version: int = 1


class ConfigRecords(Message, frozen=True, omit_defaults=True, tag_field="part", tag="records"):
    tenants: list[TenantRecord] = []
    projects: list[ProjectRecord] = []
    keys: list[KeyRecord] = []
    limits: list[LimitsRecord] = []
    removed_tenants: list[str] = []
    removed_projects: list[str] = []
    removed_keys: list[Digest] = []


class ConfigRouting(Message, frozen=True, tag_field="part", tag="routing"):
    routes: list[RouteConfig]
    prices: list[PriceConfig] = []


class ConfigEnd(Message, frozen=True, tag_field="part", tag="end"):
    revision: Revision


ConfigPart = ConfigHead | ConfigRecords | ConfigRouting | ConfigEnd
