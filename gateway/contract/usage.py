"""What gateways report: calls, and their own condition."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from gateway.contract.config import CONTRACT_VERSION
from gateway.contract.messages import Calls, Count, KindName, OpenMessage, Revision, Words

# Of usage batches. A gateway says it in the header `x-contract-version`; a batch without that header is of version 1.
USAGE_VERSION = 2
MAX_BATCH = 1000  # events in one UsageBatch


class RefusedRevision(OpenMessage, frozen=True):
    """A revision that a gateway did not put in force, and why."""

    # 0: its head could not be read.
    revision: Revision
    reason: Words


class Ack(OpenMessage, frozen=True):
    """The revision that a gateway serves, and its condition. A console of version 1 gets `v1_usage.Ack`."""

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
    # What reports, if it is not a gateway of ours: the plugin inside of a LiteLLM proxy, which promises less. Our own
    # leave the field out, as consoles of version 1 accept no field that they do not know.
    kind: Literal["litellm"] | msgspec.UnsetType = msgspec.UNSET
    # Until another revision is in force.
    refused: RefusedRevision | None = None
    # The versions of the contract that it reads; empty: it does not say.
    reads: list[int] = []
    # Processes that serve calls.
    workers: Count = 1
    # Fingerprints of the signing keys that it was given; empty: it does not check signatures.
    signing_keys: list[Words] = []
    # The same for all gateways that count limits and quotas together; empty: it counts in its own memory.
    counts_in: Words = ""


# The kinds of usage that are tokens, which limits count and `llm_tokens_total` shows. Others are kept and billed only.
TOKEN_KINDS = frozenset(
    ("input", "output", "cache_read", "reasoning", "cache_write", "cache_write_1h", "image", "audio")
)
# Whole numbers by kind, without zeros. The kinds are **disjoint**: no token is counted under two of them.
Usage = dict[KindName, Count]


def total_tokens(usage: Mapping[str, int]) -> int:
    """Tokens of all kinds."""
    return sum(count for kind, count in usage.items() if kind in TOKEN_KINDS)


class UsageEventReport(OpenMessage, frozen=True):
    """One call, as the gateway saw it. The same `call_id` always has the same content.

    `ok`: answered in full. `error`: a target was reached, and the call failed. `cancelled`: the client disconnected
    before the end. Calls that were refused before any target was reached are counted in the metrics, and not
    reported here. `is_exact` is false if usage was estimated, in whole or in part, because the target did not
    report it, or reported impossible numbers.

    Gateways compute `usage` from OpenAI's numbers, in which cached tokens are inside `prompt_tokens` and reasoning
    tokens inside `completion_tokens`: input = prompt − cached − audio, output = completion − reasoning − audio. The
    console keeps a kind that it does not know, prices no call that used it, and tells its operators. It counts the call
    itself (`request`) unless `usage` does.
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
    usage: Usage
    latency_ms: Count
    first_token_ms: Count | None
    is_stream: bool
    # What served the call: the id of a target of the configuration.
    target_id: str | None
    config_revision: Revision
    # 32 hexadecimal digits from the client's `traceparent`, or the value of its `X-Trace-ID`.
    trace_id: str | None
    # The answer's `x-request-id`; today the same as `call_id`.
    request_id: str
    # Who answered for the key when the call arrived; null if nobody did, or the configuration does not say.
    person_id: str | None = None
    # As the target named it in its answer, such as `flex`.
    service_tier: str | None = None
    # Whether the target charges the call as one with a long context.
    is_long_context: bool = False
    # Whether the call was part of a batch, which targets charge less for.
    is_batch: bool = False
    # The public name that the client asked for, if another model served the call.
    asked_model: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all kinds."""
        return total_tokens(self.usage)


class UsageBatch(OpenMessage, frozen=True):
    """Calls, oldest first."""

    events: Annotated[list[UsageEventReport], msgspec.Meta(max_length=MAX_BATCH)]


def batch_of(events: Iterable[bytes]) -> bytes:
    """A `UsageBatch` as JSON, of events that are JSON already."""
    return b'{"events":[%b]}' % b",".join(events)


class UsageReceipt(OpenMessage, frozen=True):
    """The outcome of a batch, after the commit. The numbers add up to the number of events sent."""

    recorded: Count  # new in the ledger
    # In the ledger already, with the same content.
    repeated: Count
    # Kept, but not billed until someone has checked them: unknown key, contradiction, no price.
    quarantined: Count
