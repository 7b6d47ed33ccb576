"""The protocol between the control plane and a gateway. Both sides import this file; it imports no Django.

Four requests, all JSON over HTTP, all with `Authorization: Bearer qmg_…` (the gateway's own token). An
unknown or revoked token is answered with 401, and the gateway keeps serving its last snapshot.

`GET /internal/v1/config?after=N&wait=25[&state=…]`
    200 as soon as the current revision is greater than N, 204 without a body after
    `wait` seconds (0 to 60) if it is not. A gateway that has just started sends `after=0`. Both answers carry the
    current revision in the header `x-config-revision`. If N is *greater*, the control plane's database
    was restored from an older copy. The answer is 204 at once; the gateway keeps serving N and says so in its `Ack`.
    A control plane that reads an `Ack` with a revision above its own should raise its own beyond it; until
    someone does, that gateway receives no changes.

    With `Accept: application/vnd.quartermaster.config` the answer is a stream of lines, with everything or with
    what changed since N (gateway/contract/stream.py). Without that header, or from a control plane that does not know
    the type, the answer is a `ConfigSnapshot`. A gateway accepts either, by the answer's content type.

`POST /internal/v1/gateways/<gateway id>/ack`
    Body `Ack`, and the gateway's region in `x-gateway-region`; 204. A gateway sends it after it has applied a
    revision, and every few seconds. Safe to repeat.

`POST /internal/v1/usage`
    Body `UsageBatch` of at most `MAX_BATCH` events; 200 with a `UsageReceipt` only after they are committed.
    Safe to repeat: an event is identified by its `call_id`. 400, 409, 413 or 422 with a problem document
    (`application/problem+json`) mean that this batch can never succeed: the gateway halves it until the
    offending event stands alone, and sets that event aside. It also halves a batch after a 413 from a server in
    between. After any other answer, it tries again later. The header `x-contract-version` says the version of
    the batch; without it, the batch is of version 1 (gateway/contract/v1_usage.py). 406 means that the console does not
    read that version yet: the gateway keeps the batch and tries again later.

`POST /internal/v1/refusals`
    Refused calls, best effort (gateway/contract/refusals.py).

Versions. With each request for configuration, a gateway names those that it reads in `x-contract-versions`. The answer
is in the newest that both know, and names it in `x-contract-version`. Without these headers, both speak version 1
(`v1_config.py`, frozen). So either side may be upgraded first (`versions.py`). Within version 2, a reader of
configuration ignores optional fields that it does not know; a feature that must not be ignored is named in
`ConfigHead.requires`.
A kind of usage is no field: the console keeps one that it does not know (`usage.py`; `v1_usage.py` is frozen).

Units: times are whole seconds since 1970 in UTC where the type is `int`, RFC 3339 in UTC where it is `str`.
Money is whole nano-units (10⁻⁹) of the tenant's currency, here for limits only: the ledger prices every call
itself, exactly.
"""

from core.secrets import GATEWAY_TOKEN, KEY, digest, looks_like, looks_like_key, new_key_secret
from gateway.contract.config import (
    CONTRACT_VERSION,
    CONTRACT_VERSIONS,
    DATA_CLASSES,
    ENDPOINTS,
    SERVED_MODES,
    ConfigSnapshot,
    CredentialConfig,
    DataClass,
    DegradingConfig,
    Endpoint,
    HandlingConfig,
    KeyConfig,
    LimitConfig,
    LimitKind,
    LimitScope,
    Mode,
    PriceConfig,
    ProviderConfig,
    QuotaConfig,
    RouteConfig,
    SettingsConfig,
    TargetConfig,
)
from gateway.contract.messages import NANO, ContractError, decode, encode
from gateway.contract.usage import (
    MAX_BATCH,
    TOKEN_KINDS,
    USAGE_VERSION,
    Ack,
    Usage,
    UsageBatch,
    UsageEventReport,
    UsageReceipt,
    batch_of,
    total_tokens,
)

__all__ = [
    "CONFIG_PATH",
    "CONTRACT_VERSION",
    "CONTRACT_VERSIONS",
    "DATA_CLASSES",
    "ENDPOINTS",
    "GATEWAY_TOKEN",
    "KEY",
    "MAX_BATCH",
    "NANO",
    "REGION_HEADER",
    "REVISION_HEADER",
    "SERVED_MODES",
    "TOKEN_KINDS",
    "USAGE_PATH",
    "USAGE_VERSION",
    "Ack",
    "ConfigSnapshot",
    "ContractError",
    "CredentialConfig",
    "DataClass",
    "DegradingConfig",
    "Endpoint",
    "HandlingConfig",
    "KeyConfig",
    "LimitConfig",
    "LimitKind",
    "LimitScope",
    "Mode",
    "PriceConfig",
    "ProviderConfig",
    "QuotaConfig",
    "RouteConfig",
    "SettingsConfig",
    "TargetConfig",
    "Usage",
    "UsageBatch",
    "UsageEventReport",
    "UsageReceipt",
    "ack_path",
    "batch_of",
    "decode",
    "digest",
    "encode",
    "looks_like",
    "looks_like_key",
    "new_key_secret",
    "total_tokens",
]

CONFIG_PATH = "/internal/v1/config"
USAGE_PATH = "/internal/v1/usage"
REVISION_HEADER = "x-config-revision"
# In each request of a gateway: its GATEWAY_REGION, which may be empty.
REGION_HEADER = "x-gateway-region"


def ack_path(gateway_id: str) -> str:
    """The path to which a gateway sends its `Ack`."""
    return f"/internal/v1/gateways/{gateway_id}/ack"
