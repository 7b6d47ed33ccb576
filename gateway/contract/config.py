"""What the console tells gateways: keys, limits, routes, prices and settings, at one revision. This is version 2.

Version 1 is frozen in `v1_config.py`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec

from gateway.contract.messages import Count, KindName, OpenMessage, Revision

CONTRACT_VERSION = 2
# The versions that this release reads and writes, newest last.
CONTRACT_VERSIONS = (1, 2)
DATA_CLASSES = ("public", "internal", "confidential", "restricted")  # in ascending order
DataClass = Literal["public", "internal", "confidential", "restricted"]
Endpoint = Annotated[str, msgspec.Meta(pattern=r"^/v1/[a-z/_]{1,60}\Z")]
# What a model does, in the catalog's words.
Mode = Literal[
    "chat", "completion", "responses", "embedding", "rerank", "moderation", "audio_transcription", "audio_speech",
    "image_generation",
]  # fmt: skip
# A gateway ignores a mode that it does not know.
ModeName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
# The paths to which gateways take calls, and the mode that a model needs there; the first of a mode is its own.
# `gateway.proxy.endpoints` declares what happens at each.
ENDPOINTS: Mapping[str, Mode] = MappingProxyType({
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/v1/responses": "responses",
    "/v1/embeddings": "embedding",
    "/v1/messages": "chat",
    "/v1/rerank": "rerank",
    "/v1/moderations": "moderation",
    "/v1/audio/transcriptions": "audio_transcription",
    "/v1/audio/speech": "audio_speech",
    "/v1/images/generations": "image_generation",
})  # fmt: skip
SERVED_MODES: frozenset[str] = frozenset(ENDPOINTS.values())
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
LimitScope = Literal["tenant", "project", "key"]
LimitKind = Literal[
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_calls",
    "tokens_per_day",
    "tokens_per_month",
    "money_per_month",
]


class LimitConfig(OpenMessage, frozen=True):
    """A number that a call may not exceed.

    The same `id` under several keys is one limit with one counter; in this way, a tenant's limit covers all of its
    keys. A changed `value` under the same `id` keeps what was counted. `model` restricts the limit to one
    model; null means the calls to all models together. A soft limit (`is_hard` false) is counted and
    reported, and refuses nothing.

    Minutes are sliding windows of 60 seconds. Days and months are those of the calendar in `time_zone` (an IANA
    name). Tokens are those of all kinds together; money is calculated from `prices`.

    `used` is what the ledger has recorded of the current day or month at `used_as_of`: a gateway that starts in the
    middle of a month begins there instead of at zero. Both are given or neither; they mean nothing for
    minutes and concurrent calls.
    """

    id: str
    scope: LimitScope
    # The id of the tenant, project or key that the limit is set on.
    scope_id: str
    kind: LimitKind
    # Calls, tokens, or nano-units of the tenant's currency; 0 refuses everything.
    value: Count
    model: str | None = None
    is_hard: bool = True
    time_zone: str = "UTC"
    used: Count | None = None
    used_as_of: int | None = None


class KeyConfig(OpenMessage, frozen=True):
    """One usable API key. Revoked keys, and those of suspended tenants, are simply absent.

    `models` are the public names that the key may call: granted to its project, and within the key's own
    scope. `grant_ends` gives the end of such a right, which takes effect even while the control plane is
    away. `limits` are all that apply to this key, whether set on the tenant, the project or the key.
    `networks` are CIDR ranges, IPv4 or IPv6, from which the key may be used; empty means from everywhere.

    `regions` are those of the tenant: calls go only to targets in one of them (`core.regions.is_allowed`); empty means
    anywhere. `data_classes` gives, for each model, the highest class of data that the project may send to it: calls go
    only to targets that may receive that class.
    """

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]  # SHA-256 of the secret
    key_id: str
    # People recognize the key by it; the only part of the secret in logs.
    prefix: str
    tenant_id: str
    tenant_slug: str
    project_id: str
    project_slug: str
    models: list[str]
    limits: list[LimitConfig] = []
    # The first second in which the key is refused.
    expires_at: int | None = None
    networks: list[str] = []
    # Model → the first second in which calls to it are refused.
    grant_ends: dict[str, int] = {}
    regions: list[str] = []
    data_classes: dict[str, DataClass] = {}
    # Paths that the key may call; empty means all.
    endpoints: list[Endpoint] = []
    # Who answers for the key now; each usage event names this person.
    person_id: str | None = None
    # Whether its tenant lets providers store answers.
    stores_answers: bool = False
    # Whether its tenant lets routes degrade (`DegradingConfig`).
    may_degrade: bool = False


class CredentialConfig(OpenMessage, frozen=True):
    """One credential of a provider.

    `value` is sealed text for "stored" (gateway/contract/sealing.py). For the others it is a name: of a file below the
    gateway's directory of credentials, or of a variable of its environment. A gateway stops using it at `until`.
    """

    kind: Literal["stored", "file", "environment"]
    value: str
    until: int | None = None


class QuotaConfig(OpenMessage, frozen=True):
    """What a provider allows us in any 60 seconds: all targets with the same `id`, over all gateways together.

    A gateway passes over a target whose quota has no room for a call. Null: not known.
    """

    id: str
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None


class ProviderConfig(OpenMessage, frozen=True):
    """How to call a provider, which is not one of our own engines.

    A gateway connects only to public addresses and to `SettingsConfig.allowed_networks`, verifies TLS, and follows no
    redirect. It uses the first of `credentials` that has not ended.
    """

    # A slug of deployments.providers.dialects; a target whose dialect a gateway does not know serves nobody there.
    dialect: str
    credentials: list[CredentialConfig] = []
    headers: dict[str, str] = {}
    api_version: str = ""
    connect_timeout_seconds: float = 5.0
    first_byte_timeout_seconds: float = 120.0
    idle_timeout_seconds: float = 60.0
    proxy_url: str = ""
    # Whether the trace of a call (`traceparent`, `tracestate`, `x-trace-id`) is told to it.
    receives_traces: bool = False
    # PEM; empty: the authorities that the system trusts.
    private_ca: str = ""
    quota: QuotaConfig | None = None


class TargetConfig(OpenMessage, frozen=True):
    """What an entry of a route leads to: a deployment, or a provider's model. Its `id` lasts; addresses come and go.

    A gateway first tries the targets with the lowest `priority` number, and chooses among them by `weight`. It tries
    those with the next number only when none of them answers. Weight 0 is never chosen. Each of `addresses` is a base
    up to and including `/v1`, without a slash at its end; calls are spread over them evenly.

    `cache_key_field` is the field by which that server separates the prefix caches of several callers, if it
    has one: the gateway puts a value of the tenant there (`SettingsConfig.separation_key`), and refuses a
    client's own value. `only_tenant` is the id of the only tenant that it serves; null means all.
    `allowed_controls` are the engine controls that clients may send to it; all others are refused by name. `modes` are
    those of its route that it answers; empty means all of them. A provider answers only at the paths of its dialect.
    """

    id: str
    addresses: list[str]
    # That server's name for the model.
    upstream_model: str
    weight: Count = 1
    priority: Count = 0
    # Where calls may be processed: a tenant that names regions must allow each. Empty: not known, so it allows none.
    regions: list[str] = []
    # The highest class of data that may be sent there.
    highest_data_class: DataClass = "restricted"
    cache_key_field: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")] | None = None
    only_tenant: str | None = None
    allowed_controls: list[str] = []
    # What clients name to have their calls go there only.
    variant: str = "stable"
    # By kind of usage, whole nano-units of US dollars per unit as the catalog's offer states them. Empty: not known.
    offer_nano_per_unit: dict[str, int] = {}
    # None: one of our own engines. `addresses` are the base URL of a provider.
    provider: ProviderConfig | None = None
    modes: list[ModeName] = []


class HandlingConfig(OpenMessage, frozen=True):
    """How a gateway handles the calls of one route. Null means the default.

    Time-outs apply to each target, in place of its provider's own or of `SettingsConfig`. `call_timeout_seconds` is for
    a whole call, with all of its attempts; null means no end.

    A call is sent at most `most_attempts` times. Within ten seconds a gateway sends at most `retry_percent` of the
    route's calls again, and `retries_per_second` beside these. A connection that could not be made counts as neither.
    """

    connect_timeout_seconds: Seconds | None = None
    # Until the first byte of an answer.
    first_byte_timeout_seconds: Seconds | None = None
    # Between two pieces of a stream.
    idle_timeout_seconds: Seconds | None = None
    call_timeout_seconds: Seconds | None = None
    # Connections that each worker of a gateway may use at once to each address of a target.
    most_connections: Annotated[int, msgspec.Meta(ge=1)] | None = None
    most_attempts: Annotated[int, msgspec.Meta(ge=1)] = 3
    retry_percent: Count = 20
    retries_per_second: Count = 10
    # Which targets are asked whether they answer: none, ejected ones, or idle ones too. Null: our own ejected engines.
    probes: Literal["off", "ejected", "idle"] | None = None
    # Calls of one session go to the same target while that answers.
    is_sticky: bool = False


class DegradingConfig(OpenMessage, frozen=True):
    """When a smaller model answers the calls of a route on purpose, for keys with `KeyConfig.may_degrade`.

    Either figure is enough. `money_percent` is the part of a money limit, hard or soft, that applies to the call and is
    used or reserved. `first_token_ms` is passed if the decayed median time to the first token of the route's latest
    streams is longer. The model is used only for keys that may call it, with data of at least the same class
    (`versions.may_stand_in`), and not if it lacks a price that the route's own model has.
    """

    model: str
    money_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    first_token_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None


class RouteConfig(OpenMessage, frozen=True):
    """A public model name and its targets. A model without a route, or with an empty one, is not found.

    `max_output_tokens`, if known, is the most that a call can produce when its client names no maximum: limits
    reserve that much.
    """

    model: str
    # Those of all its targets; the first is the model's own.
    modes: Annotated[list[ModeName], msgspec.Meta(min_length=1)]
    targets: list[TargetConfig] = []
    max_output_tokens: int | None = None
    # Models that may answer a call in place of this one, in this order, when no target of this one answers: each only
    # for keys that may call it, with data of at least the same class (`versions.may_stand_in`).
    fallbacks: list[str] = []
    degrading: DegradingConfig | None = None
    owned_by: str = "quartermaster"  # shown by GET /v1/models
    created: int = 0  # shown by GET /v1/models
    handling: HandlingConfig = HandlingConfig()


class PriceConfig(OpenMessage, frozen=True):
    """The current price of one of each kind of usage, in whole nano-units of `currency`, **rounded up**: of a token,
    an image, a character, a search. `request` is per call.

    `nano_per_unit` is for one of the whole numbers that `Usage` has, so a kind with a scale, such as seconds of audio
    counted in milliseconds, has the price of a millisecond. A price above zero is at least 1.

    Used for money limits only. A missing kind is unpriced, not free: while a hard money limit applies, a model without
    the prices that the endpoint needs is refused. If missing, `cache_read` and `cache_write` count as input, and
    `reasoning` as output. `tenant_id` null is the price for every tenant that has no price of its own.
    """

    model: str
    nano_per_unit: dict[KindName, Count]
    currency: str = "USD"
    tenant_id: str | None = None


class SettingsConfig(OpenMessage, frozen=True):
    """Operators' settings for all gateways.

    `separation_key` is a secret of the installation. Gateways derive from it the values by which servers separate
    tenants. It is the same for all gateways, so that a tenant has one value everywhere. A new key causes cold caches
    and nothing else. `media_hosts` are names, or `*.` and a domain, from which engines may fetch pictures, sounds and
    files; empty means `data:` URLs only.
    """

    # A larger request is answered with 413.
    max_body_bytes: int = 8 * 1024 * 1024
    # The same for a form with a file, as large as sound files that providers take.
    max_upload_bytes: int = 32 * 1024 * 1024
    connect_timeout_seconds: float = 3.0
    # Until the first byte of a backend's answer.
    response_timeout_seconds: float = 600.0
    # Between two pieces of a stream.
    idle_timeout_seconds: float = 120.0
    # Reserved where neither the call nor the route names a maximum.
    default_output_tokens: int = 1024
    separation_key: str = ""
    media_hosts: list[str] = []
    # CIDR ranges beyond the public Internet in which providers may be.
    allowed_networks: list[str] = []
    # Where calls go after the gateway's own region, among targets of equal priority; the rest comes last.
    region_order: list[str] = []


class ConfigSnapshot(OpenMessage, frozen=True):
    """Everything that a gateway needs to know, at one revision. Revisions only grow."""

    revision: Revision
    issued_at: str
    keys: list[KeyConfig]
    routes: list[RouteConfig]
    prices: list[PriceConfig] = []
    settings: SettingsConfig = SettingsConfig()
    # Features that a gateway must know to obey this configuration.
    requires: list[str] = []
    # The version in which the control plane sent it.
    contract_version: int = CONTRACT_VERSION
