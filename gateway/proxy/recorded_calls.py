"""How a call goes on record: counted, logged, written to disk, and settled with its limits."""

import asyncio
import time

from gateway.contract import Usage
from gateway.proxy.call_facts import CallFacts, Status
from gateway.proxy.call_log import log_answered
from gateway.proxy.client_answers import ClientStream
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Price
from gateway.proxy.limits import Reservation
from gateway.proxy.logs import lines
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.plans import Plan
from gateway.proxy.quota_reservations import settle_with_quota
from gateway.proxy.request import Request
from gateway.proxy.state import State
from gateway.proxy.upstream import Attempts


class RecordedCall:
    """What of a call matters for its record. It goes on record once, if a backend got it."""

    __slots__ = (
        "_attempts", "_facts", "_is_finished", "_parsed", "_plan", "_price", "_request", "_reservation", "_state",
        "_stream", "_tier",
    )  # fmt: skip
    _attempts: Attempts
    _facts: CallFacts
    # On record, or about to be.
    _is_finished: bool
    _parsed: ParsedRequest
    _plan: Plan
    # None: the model has none, or lacks what each such call uses.
    _price: Price | None
    _request: Request
    _reservation: Reservation
    _state: State
    _stream: ClientStream | None
    # That a whole answer named.
    _tier: str | None

    async def record_failure(self, refusal: Refusal) -> None:
        """Record that the call failed, if a backend got it and nothing is on record. Raises SpoolError."""
        if self._attempts.reached is not None and not self._is_finished:
            await self._finish("error", refusal.status, {}, is_exact=True)

    async def _settle(self, usage: Usage, tokens: int, *, is_unused: bool = False) -> None:
        """Release what the call has reserved, and count the `usage`, of which `tokens` are tokens."""
        price, own, nano = self._price, self._reservation, 0
        if price is not None and not is_unused:
            nano = self._parsed.cost(price, usage)
            if nano and not own.is_settled:
                self._state.metrics.count_cost(self._parsed.model, price.currency, nano)
        quota = self._attempts.quota
        if quota is None:
            await self._state.limiter.settle(own, tokens, nano)
        else:
            await settle_with_quota(self._state.limiter, own, quota, tokens, nano)

    async def _finish(self, status: Status, http_status: int, usage: Usage, *, is_exact: bool) -> None:
        """Record the call and settle its limits; returns when it is on disk. Raises SpoolError before others."""
        self._is_finished = self._request.is_recorded = True
        state, facts, reached = self._state, self._facts, self._attempts.reached
        latency = time.monotonic() - facts.started
        tokens = state.metrics.count_finished(self._parsed.model, status, latency, usage)
        if facts.first_token is not None and reached is not None:
            first = facts.first_token - facts.started
            state.first_tokens.note(reached.id, first)
            state.metrics.count_first_token(self._parsed.model, first)
        tier = self._tier if self._stream is None else self._stream.service_tier
        event = facts.event(
            status, http_status, usage, reached, is_exact=is_exact, latency=latency, tier=tier
        )
        if lines.is_on:
            log_answered(event, self._plan.key)
        # The disk works while the limits are settled. Neither needs the other, and neither ends with the call.
        on_record = state.spool.append(event)
        try:
            await self._settle(usage, tokens, is_unused=status == "error" and not usage)
        except asyncio.CancelledError:
            # Who cancels does not wait for the disk; the spool says what it could not write, and retries.
            on_record.add_done_callback(_heard)
            raise
        except Exception:
            # A call that is not on record must not look answered, whatever else went wrong: SpoolError comes first.
            await on_record
            raise
        await on_record


def _heard(on_record: asyncio.Future[None]) -> None:
    if not on_record.cancelled():
        on_record.exception()
