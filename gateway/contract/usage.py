"""What gateways report: calls, and their own condition."""

from typing import Annotated, Literal

import msgspec

from gateway.contract.config import CONTRACT_VERSION
from gateway.contract.messages import Calls, Count, Message, Revision, Words

MAX_BATCH = 1000  # events in one UsageBatch


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
