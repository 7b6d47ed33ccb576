"""What is known of one call besides its answer, and the usage event that says it all."""

import time
from typing import Literal

from gateway.contract import Usage, UsageEventReport
from gateway.proxy.ids import rfc3339
from gateway.proxy.index import Backend, Key
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.request import Request
from gateway.proxy.tracing import read_trace

Status = Literal["ok", "error", "cancelled"]


class CallFacts:
    """The facts of one call, from its beginning on."""

    __slots__ = (
        "_asked",
        "_key",
        "_parsed",
        "_request",
        "_revision",
        "first_token",
        "occurred_at",
        "started",
        "trace",
    )

    def __init__(
        self, request: Request, key: Key, parsed: ParsedRequest, revision: int, asked: str | None
    ) -> None:
        """The call begins now.

        Args:
            request: the client's request.
            key: whose call it is.
            parsed: the call; its model is the one that serves it.
            revision: of the configuration.
            asked: the model that the client asked for, if it is another one.
        """
        self._request = request
        self._key = key
        self._parsed = parsed
        self._revision = revision
        self._asked = asked
        self.trace = read_trace(request.headers)
        self.occurred_at = time.time()
        # By the monotonic clock, as is the moment of the first token.
        self.started = time.monotonic()
        self.first_token: float | None = None

    def event(
        self,
        status: Status,
        http_status: int,
        usage: Usage,
        backend: Backend | None,
        *,
        is_exact: bool,
        latency: float = 0.0,
        tier: str | None = None,
    ) -> UsageEventReport:
        """The call as it goes on record.

        Args:
            status: how it ended.
            http_status: what the client saw.
            usage: by kind.
            backend: who got the call last.
            is_exact: whether nothing of the usage was estimated.
            latency: in seconds.
            tier: the service tier that the answer named.
        """
        request, first = self._request, self.first_token
        return UsageEventReport(
            call_id=request.id,
            occurred_at=rfc3339(self.occurred_at),
            key_id=self._key.config.key_id,
            model=self._parsed.model,
            status=status,
            http_status=http_status,
            is_exact=is_exact,
            usage=usage,
            latency_ms=round(latency * 1000),
            first_token_ms=None if first is None else round((first - self.started) * 1000),
            is_stream=self._parsed.is_stream,
            target_id=backend.id if backend else None,
            config_revision=self._revision,
            trace_id=self.trace.id,
            request_id=request.id,
            person_id=self._key.config.person_id,
            service_tier=tier,
            is_batch=tier == "batch",
            asked_model=self._asked,
        )
