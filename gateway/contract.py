"""The protocol between the control plane and a gateway. Both sides import this file; it imports no Django.

Three requests, all JSON over HTTP, all with `Authorization: Bearer qmg_…` (the gateway's own token). An
unknown or revoked token is answered with 401, and the gateway keeps serving its last snapshot.

`GET /internal/v1/config?after=N&wait=25[&state=…]`
    200 as soon as the current revision is greater than N, 204 without a body after
    `wait` seconds (0 to 60) if it is not. A gateway that has just started sends `after=0`. Both answers carry the
    current revision in the header `x-config-revision`. If N is *greater*, the control plane's database
    was restored from an older copy. The answer is 204 at once; the gateway keeps serving N and says so in its `Ack`.
    A control plane that reads an `Ack` with a revision above its own should raise its own beyond it; until
    someone does, that gateway receives no changes.

    With `Accept: application/vnd.quartermaster.config` the answer is a stream of lines, with everything or with
    what changed since N (gateway/config_stream.py). Without that header, or from a control plane that does not know
    the type, the answer is a `ConfigSnapshot`. A gateway accepts either, by the answer's content type.

`POST /internal/v1/gateways/<gateway id>/ack`
    Body `Ack`; 204. A gateway sends it after it has applied a revision, and every few seconds. Safe to repeat.

`POST /internal/v1/usage`
    Body `UsageBatch` of at most `MAX_BATCH` events; 200 with a `UsageReceipt` only after they are committed.
    Safe to repeat: an event is identified by its `call_id`. 400, 409, 413 or 422 with a problem document
    (`application/problem+json`) mean that this batch can never succeed: the gateway halves it until the
    offending event stands alone, and sets that event aside. It also halves a batch after a 413 from a server in
    between. After any other answer, it tries again later.

Decoding is strict. Each side refuses a field that it does not know, because an ignored restriction fails open
and an ignored token kind is never billed. So new fields are optional, and gateways are upgraded before the
control plane.

Units: times are whole seconds since 1970 in UTC where the type is `int`, RFC 3339 in UTC where it is `str`.
Money is whole nano-units (10⁻⁹) of the tenant's currency, here for limits only: the ledger prices every call
itself, exactly.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from core.secrets import GATEWAY_TOKEN, KEY, digest, looks_like, looks_like_key, new_key_secret

__all__ = [
    "CONFIG_PATH",
    "CONTRACT_VERSION",
    "GATEWAY_TOKEN",
    "KEY",
    "MAX_BATCH",
    "NANO",
    "REVISION_HEADER",
    "USAGE_PATH",
    "Ack",
    "BackendConfig",
    "ConfigSnapshot",
    "ContractError",
    "KeyConfig",
    "LimitConfig",
    "LimitKind",
    "LimitScope",
    "Mode",
    "PriceConfig",
    "PriceKind",
    "RouteConfig",
    "SettingsConfig",
    "TokenCounts",
    "UsageBatch",
    "UsageEventReport",
    "UsageReceipt",
    "ack_path",
    "decode",
    "digest",
    "encode",
    "looks_like",
    "looks_like_key",
    "new_key_secret",
]

CONTRACT_VERSION = 1
# Nano-units in one unit of a currency.
NANO = 1_000_000_000
MAX_BATCH = 1000  # events in one UsageBatch
CONFIG_PATH = "/internal/v1/config"
USAGE_PATH = "/internal/v1/usage"
REVISION_HEADER = "x-config-revision"

Count = Annotated[int, msgspec.Meta(ge=0)]
Revision = Annotated[int, msgspec.Meta(ge=0)]
Calls = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Words = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]  # PostgreSQL keeps no NUL
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


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every message in the contract: immutable, and strict about unknown fields."""


class LimitConfig(Message, frozen=True):
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


class KeyConfig(Message, frozen=True):
    """One usable API key. Revoked keys, and those of suspended tenants, are simply absent.

    `models` are the public names that the key may call: granted to its project, and within the key's own
    scope. `grant_ends` gives the end of such a right, which takes effect even while the control plane is
    away. `limits` are all that apply to this key, whether set on the tenant, the project or the key.
    `networks` are CIDR ranges, IPv4 or IPv6, from which the key may be used; empty means from everywhere.
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


class BackendConfig(Message, frozen=True):
    """One place that serves a model. `url` is the base up to and including `/v1`, without a slash at its end.

    A gateway first tries the backends with the lowest `priority` number, and chooses among them by `weight`. It tries
    those with the next number only when none of them answers. Weight 0 is never chosen.

    `cache_key_field` is the field by which that server separates the prefix caches of several callers, if it
    has one: the gateway puts a value of the tenant there (`SettingsConfig.separation_key`), and refuses a
    client's own value. `only_tenant` is the id of the only tenant that it serves; null means all.
    `allowed_controls` are the engine controls that clients may send to it; all others are refused by name.
    """

    id: str
    url: str
    # That server's name for the model.
    upstream_model: str
    weight: Count = 1
    priority: Count = 0
    region: str = ""
    cache_key_field: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")] | None = None
    only_tenant: str | None = None
    allowed_controls: list[str] = []


class RouteConfig(Message, frozen=True):
    """A public model name and its backends. A model without a route, or with an empty one, is not found.

    `max_output_tokens`, if known, is the most that a call can produce when its client names no maximum: limits
    reserve that much.
    """

    model: str
    # The endpoints that it answers; the first is its own.
    modes: Annotated[list[Mode], msgspec.Meta(min_length=1)]
    backends: list[BackendConfig] = []
    max_output_tokens: int | None = None
    owned_by: str = "quartermaster"  # shown by GET /v1/models
    created: int = 0  # shown by GET /v1/models


class PriceConfig(Message, frozen=True):
    """The current price of a token of each kind, in whole nano-units of `currency`, **rounded up**; `request` is
    per call.

    Used for money limits only. A missing kind is unpriced, not free: while a hard money limit applies,
    a model without a price for input (and, for chat, output) is refused. If missing, `cache_read` and `cache_write`
    count as input, and `reasoning` as output. `tenant_id` null is the price for every tenant that has no price of
    its own.
    """

    model: str
    nano_per_token: dict[PriceKind, Count]
    currency: str = "USD"
    tenant_id: str | None = None


class SettingsConfig(Message, frozen=True):
    """Operators' settings for all gateways.

    `separation_key` is a secret of the installation. Gateways derive from it the values by which servers separate
    tenants. It is the same for all gateways, so that a tenant has one value everywhere. A new key causes cold caches
    and nothing else. `media_hosts` are names, or `*.` and a domain, from which engines may fetch pictures, sounds and
    files; empty means `data:` URLs only.
    """

    # A larger request is answered with 413.
    max_body_bytes: int = 8 * 1024 * 1024
    connect_timeout_seconds: float = 3.0
    # Until the first byte of a backend's answer.
    response_timeout_seconds: float = 600.0
    # Between two pieces of a stream.
    idle_timeout_seconds: float = 120.0
    # Reserved where neither the call nor the route names a maximum.
    default_output_tokens: int = 1024
    separation_key: str = ""
    media_hosts: list[str] = []


class ConfigSnapshot(Message, frozen=True):
    """Everything that a gateway needs to know, at one revision. Revisions only grow."""

    revision: Revision
    issued_at: str
    keys: list[KeyConfig]
    routes: list[RouteConfig]
    prices: list[PriceConfig] = []
    settings: SettingsConfig = SettingsConfig()
    contract_version: int = CONTRACT_VERSION


class Ack(Message, frozen=True):
    """The revision that a gateway serves, and its condition."""

    revision: Revision  # in force now
    started_at: Words  # of the process
    # Events that are recorded on disk and not yet confirmed by the control plane.
    spool_pending: Calls
    # Since `started_at`; names as in /metrics without the `llm_` prefix.
    counters: dict[Words, int]
    version: Words  # of the gateway's code
    contract_version: int = CONTRACT_VERSION
    # Why the newest snapshot could not be applied, or anything else that an operator should know.
    problem: Words = ""


class TokenCounts(Message, frozen=True, omit_defaults=True):
    """Tokens of one call by kind. **Disjoint**: their sum is the total; no token is counted under two kinds.

    Gateways compute them from OpenAI's numbers, in which cached tokens are inside `prompt_tokens` and reasoning
    tokens inside `completion_tokens`: input = prompt − cached − audio, output = completion − reasoning −
    audio.
    """

    input: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0
    image: Count = 0
    audio: Count = 0

    @property
    def total(self) -> int:
        """Tokens of all kinds."""
        return (
            self.input
            + self.cache_read
            + self.cache_write
            + self.output
            + self.reasoning
            + self.image
            + self.audio
        )


class UsageEventReport(Message, frozen=True):
    """One call, as the gateway saw it. The same `call_id` always has the same content.

    `ok`: answered in full. `error`: a backend was reached, and the call failed. `cancelled`: the client disconnected
    before the end. Calls that were refused before any backend was reached are counted in the metrics, and not
    reported here. `is_exact` is false if tokens were estimated, in whole or in part, because the backend did not
    report them, or reported impossible numbers.
    """

    # UUIDv7, minted by the gateway when the call arrived.
    call_id: str
    # RFC 3339 in UTC with microseconds: when the call arrived.
    occurred_at: str
    key_id: str
    model: str  # the public name
    status: Literal["ok", "error", "cancelled"]
    # The status that the client saw; 499 if it disconnected before the first byte.
    http_status: int
    is_exact: bool
    tokens: TokenCounts
    latency_ms: Count
    first_token_ms: Count | None
    is_stream: bool
    backend_id: str | None
    config_revision: Revision
    # 32 hexadecimal digits from the client's `traceparent`, or the value of its `X-Trace-ID`.
    trace_id: str | None
    # The answer's `x-request-id`; today the same as `call_id`.
    request_id: str


class UsageBatch(Message, frozen=True):
    """Calls, oldest first."""

    events: Annotated[list[UsageEventReport], msgspec.Meta(max_length=MAX_BATCH)]


class UsageReceipt(Message, frozen=True):
    """The outcome of a batch, after the commit. The numbers add up to the number of events sent."""

    recorded: Count  # new in the ledger
    # In the ledger already, with the same content.
    repeated: Count
    # Kept, but not billed until someone has checked them: unknown key, contradiction, no price.
    quarantined: Count


class ContractError(ValueError):
    """A message that does not follow the contract. The text gives the place and the reason."""


M = TypeVar("M", bound=Message)


def ack_path(gateway_id: str) -> str:
    """The path to which a gateway sends its `Ack`."""
    return f"/internal/v1/gateways/{gateway_id}/ack"


def encode(message: Message) -> bytes:
    """A message as JSON."""
    return msgspec.json.encode(message)


def decode(kind: type[M], body: bytes) -> M:
    """Read a message. Raises ContractError, with the path of the fault, for anything but an exact `kind`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"This is not a {kind.__name__}: {error}") from error
