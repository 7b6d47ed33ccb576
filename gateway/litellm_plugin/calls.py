"""One call through LiteLLM: its limits and its usage event, from the check of the key to the record on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from gateway.contract import Usage, UsageEventReport, total_tokens
from gateway.litellm_plugin.background import Background
from gateway.litellm_plugin.routes import deployment_id, target_of
from gateway.proxy.call_log import log_answered
from gateway.proxy.delivered import Delivered
from gateway.proxy.errors import model_unpriced
from gateway.proxy.evidence import count_tokens
from gateway.proxy.ids import new_call_id, rfc3339
from gateway.proxy.index import Index, Key, Price, Route
from gateway.proxy.limits import LimitReached, Reservation
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.tracing import Trace

Status = Literal["ok", "error", "cancelled"]


class Call:
    """One call. `begin` admits it and writes its beginning down; exactly one `finish` or `forget` ends it.

    Its coroutines run in the plugin's loop (`Background.do`).
    """

    def __init__(
        self,
        background: Background,
        index: Index,
        key: Key,
        parsed: ParsedRequest,
        route: Route,
        trace: Trace,
    ) -> None:
        """Note what is asked; nothing is reserved yet.

        Args:
            background: where limits and the spool are.
            index: the configuration of this call.
            key: whose call it is.
            parsed: its body.
            route: the targets that may serve it.
            trace: the trace that it belongs to.
        """
        self.id = new_call_id()
        self.key = key
        self.parsed = parsed
        self.route = route
        self.occurred_at = time.time()
        # LiteLLM's name of the deployment that got the call last.
        self.deployment: str | None = None
        # The last sign of life, by the monotonic clock.
        self.seen_at = self.started = time.monotonic()
        self.is_begun = False
        self.is_ended = False
        # Its answer is a stream, whose end is seen for sure.
        self.is_streaming = False
        self._background = background
        self._index = index
        self._trace = trace
        self._price: Price | None = index.price(key.config.tenant_id, parsed.model)
        self._reservation = Reservation()
        self.first_token: float | None = None
        self.backends = {deployment_id(one): one for group in route.groups for one in group}

    @property
    def headers(self) -> Mapping[str, str]:
        """For the answer: the call's id, and what is left of limits."""
        return {"x-request-id": self.id, **self._reservation.headers}

    def fields_for(self, deployment: str | None) -> dict[str, str]:
        """The field by which a target keeps its tenants' caches apart, with this tenant's value; none for most."""
        backend = self.backends.get(deployment or "")
        name = backend.config.cache_key_field if backend else None
        return {name: self._index.separation.salt_of(self.key.config.tenant_id)} if name else {}

    async def begin(self) -> None:
        """Reserve what the call may use and write its beginning to disk. Raises Refusal and SpoolError."""
        limits = self.key.limits_on(self.parsed.model)
        is_priced = self._price is not None and self._price.covers(self.parsed.mode)
        if not is_priced and any(one.kind == "money_per_month" and one.is_hard for one in limits):
            raise model_unpriced(self.parsed.model)
        estimate = self.parsed.estimate(self.route, self._price, self._index.settings.default_output_tokens)
        try:
            self._reservation = await self._background.limiter.admit(
                limits, estimate, self.key.config.tenant_id
            )
        except LimitReached as reached:
            self._background.refusals.limited(reached, self.key.config.key_id, self._index.revision)
            raise
        self.is_begun = True
        self._background.active += 1
        prompt = self._counted(Delivered())
        try:
            await self._background.spool.begin(
                self.event("cancelled", 499, prompt, is_exact=False), lambda: prompt
            )
        except BaseException:
            await self.forget()
            raise

    async def finish(self, status: Status, http_status: int, usage: Usage, *, is_exact: bool) -> None:
        """Record the call, return what it did not use to its limits, and wait until it is on disk.

        Safe to repeat: only the first one counts. Raises SpoolError.

        Args:
            status: how it ended.
            http_status: what the client saw.
            usage: whole numbers by kind.
            is_exact: whether the target reported all of them.
        """
        if self.is_ended or not self.is_begun:
            return
        self.is_ended = True
        self._background.active -= 1
        event = self.event(status, http_status, usage, is_exact=is_exact)
        self._background.metrics.count_finished(
            self.parsed.model, status, time.monotonic() - self.started, usage
        )
        log_answered(event, self.key)
        try:
            await self._background.spool.append(event)
        finally:
            await self._settle(usage, is_unused=status == "error" and not usage)

    async def forget(self) -> None:
        """End a call that reached no target: nothing is recorded."""
        if self.is_ended or not self.is_begun:
            return
        self.is_ended = True
        self._background.active -= 1
        self._background.spool.forget(self.id)
        await self._settle({}, is_unused=True)

    async def abandon(self) -> None:
        """End a call whose end was never seen: its prompt is billed as estimated."""
        await self.finish("cancelled", 499, self._counted(Delivered()), is_exact=False)

    def event(self, status: Status, http_status: int, usage: Usage, *, is_exact: bool) -> UsageEventReport:
        """The usage event of this call as of now. `status`, `http_status`, `usage` and `is_exact` as in `finish`."""
        first = None if self.first_token is None else round((self.first_token - self.started) * 1000)
        return UsageEventReport(
            call_id=self.id,
            occurred_at=rfc3339(self.occurred_at),
            key_id=self.key.config.key_id,
            model=self.parsed.model,
            status=status,
            http_status=http_status,
            is_exact=is_exact,
            usage=usage,
            latency_ms=round((time.monotonic() - self.started) * 1000),
            first_token_ms=first,
            is_stream=self.parsed.is_stream,
            target_id=target_of(self.deployment),
            config_revision=self._index.revision,
            trace_id=self._trace.id,
            request_id=self.id,
            person_id=self.key.config.person_id,
        )

    def _counted(self, delivered: Delivered) -> Usage:
        return count_tokens(None, self.parsed.bounds(self.route, delivered.choices), delivered)[0]

    async def _settle(self, usage: Usage, *, is_unused: bool) -> None:
        nano = self._price.cost(usage) if self._price and not is_unused else 0
        await self._background.limiter.settle(self._reservation, total_tokens(usage), nano)
