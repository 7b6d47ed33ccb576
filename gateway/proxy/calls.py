"""One model call from question to record: admit, ask a backend, pass the answer on, settle, write it down."""

import asyncio
import contextlib
import time
from typing import Any, Literal

import aiohttp
import msgspec
import structlog

from gateway.contract import TokenCounts, UsageEventReport
from gateway.proxy import upstream
from gateway.proxy.controls import put_apart
from gateway.proxy.errors import Refusal, error_body, unavailable
from gateway.proxy.ids import rfc3339, trace_id
from gateway.proxy.index import Index, Key, Price, Route
from gateway.proxy.limits import Reservation
from gateway.proxy.names import Names
from gateway.proxy.questions import Question
from gateway.proxy.request import Request
from gateway.proxy.spool import SpoolError
from gateway.proxy.state import State, usage_not_recorded
from gateway.proxy.streaming import EventStream, StreamTooStrange
from gateway.proxy.tokens import estimate_answer, from_openai

_log = structlog.get_logger()
_PATHS = {"chat": "/chat/completions", "embedding": "/embeddings"}
_CLIENT_GONE = 499
_AFTERMATH_SECONDS = 0.1


class _Answer(msgspec.Struct):
    """What the gateway reads of a plain answer."""

    usage: dict[str, Any] | None = None
    choices: msgspec.Raw = msgspec.Raw(b"[]")


class BrokenAnswer(Exception):
    """The backend began an answer and did not finish it, or sent something that is none."""


class Call:
    """One call. `run` answers the request; afterwards the call is settled and on record."""

    def __init__(
        self, state: State, index: Index, request: Request, key: Key, question: Question, route: Route
    ) -> None:
        self._state = state
        self._index = index
        self._request = request
        self._key = key
        self._question = question
        self._route = route
        self._price: Price | None = index.price(key.config.tenant_id, question.model)
        self._apart = put_apart(question.body, index.separation, key.config.tenant_id)
        self._reservation = Reservation()
        self._attempts = upstream.Attempts()
        self._occurred_at = time.time()
        self._started = time.monotonic()
        self._first_token: float | None = None
        self._stream: EventStream | None = None
        self._is_sending = False  # waiting for a client that reads slowly, not for the backend
        self._is_finished = False

    async def run(self) -> None:
        """Serve the call until it is answered, has failed, or the client has gone. Raises Refusal."""
        await self._admit()
        self._state.call_began()
        serving = asyncio.create_task(self._serve())
        self._state.serving.add(serving)
        serving.add_done_callback(self._state.serving.discard)
        hangup = asyncio.create_task(self._request.hangup())
        try:
            await asyncio.wait({serving, hangup}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done() and not serving.cancelled():
                serving.result()
                return
            is_ending = serving.cancelled()  # this process does not wait any longer
            if not is_ending:
                serving.cancel()  # which closes the connection to the backend
                await asyncio.wait({serving})
                if not serving.cancelled():
                    serving.exception()  # of no interest to anybody any more
            if is_ending:
                await self._cut_off()
            elif not self._is_finished:
                tokens, is_exact = self._counted_so_far()
                await self._finish(
                    "cancelled", self._request.status or _CLIENT_GONE, tokens, is_exact=is_exact
                )
        except Refusal as refusal:
            if self._attempts.reached is not None and not self._is_finished:
                await self._finish("error", refusal.status, TokenCounts(), is_exact=True)
            refusal.headers = {**self._reservation.headers, **refusal.headers}
            raise
        except SpoolError:
            # Kept in memory and tried again; the client sees no end of an answer that is not on record.
            if self._request.status is None:
                raise usage_not_recorded() from None
            problem = usage_not_recorded()
            await self._request.end_stream(_error_event(str(problem), problem.code))
        finally:
            self._state.call_ended()
            hangup.cancel()
            await self._settle(TokenCounts(), is_unused=True)  # where nothing was recorded, nothing was used

    async def _admit(self) -> None:
        """Reserve what the call may use. Raises Refusal."""
        limits = self._key.limits_on(self._question.model)
        is_priced = self._price is not None and self._price.covers(self._question.mode)
        if not is_priced and any(one.kind == "money_per_month" and one.is_hard for one in limits):
            raise Refusal(
                403,
                "model_unpriced",
                f"The model `{self._question.model}` has no price, so a limit on money cannot be kept. "
                "Ask the operators to price it.",
                param="model",
            )
        demand = self._question.demand(self._route, self._price, self._index.settings.default_output_tokens)
        tenant_id = self._key.config.tenant_id
        self._reservation = await self._state.limiter.admit(limits, demand, tenant_id)
        for limit in self._reservation.soft_exceeded:
            self._state.metrics.over_soft_limit.labels(limit.scope, limit.kind).inc()

    async def _serve(self) -> None:
        request = self._request
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if self._question.is_stream else "application/json",
            "accept-encoding": "identity",
            "x-request-id": request.id,
        }
        for name in ("traceparent", "tracestate"):
            if name in request.headers:
                headers[name] = request.headers[name]
        try:
            async with upstream.ask(
                self._state.upstream,
                self._state.router,
                self._route,
                _PATHS[self._question.mode],
                self._question.body,
                headers,
                self._index.settings,
                self._attempts,
                self._apart,
            ) as (backend, response):
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise BrokenAnswer("compressed although asked not to")
                if self._question.is_stream:
                    names = Names(backend, self._route.config.model, self._apart.secrets)
                    self._stream = EventStream(names, hides_usage=not self._question.wants_usage)
                    await self._pass_stream(self._stream, response)
                    return
                content = await response.read()
        except (BrokenAnswer, StreamTooStrange, aiohttp.ClientError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and self._is_sending:
                tokens, is_exact = self._counted_so_far()
                await self._finish("cancelled", 200, tokens, is_exact=is_exact)
                await self._request.end_stream()
                return
            await self._break_off(f"{type(error).__name__}: {error}")
            return
        await self._answer(content, Names(backend, self._route.config.model, self._apart.secrets))

    async def _answer(self, content: bytes, names: Names) -> None:
        """Record a plain answer, then send it."""
        try:
            answer = msgspec.json.decode(content, type=_Answer)
            content = names.in_answer(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await self._break_off(f"no JSON: {error}")
            return
        if answer.usage is not None:
            tokens, is_exact = from_openai(answer.usage)
        else:
            written = estimate_answer(msgspec.json.decode(answer.choices))
            tokens, is_exact = TokenCounts(input=self._question.input_estimate, output=written), False
        await self._finish("ok", 200, tokens, is_exact=is_exact)
        await self._request.answer(200, content, self._reservation.headers)

    async def _pass_stream(self, stream: EventStream, response: aiohttp.ClientResponse) -> None:
        """Pass events on as they come; record the call before its last one."""
        loop = asyncio.get_running_loop()
        idle_seconds = self._index.settings.idle_timeout_seconds
        async with asyncio.timeout(None) as patience:
            async for data in response.content.iter_any():
                patience.reschedule(loop.time() + idle_seconds)
                await self._pass_events(stream, stream.feed(data))
                if stream.is_done:
                    break
        await self._pass_events(stream, stream.end())
        if not stream.is_done and stream.usage is None:
            raise BrokenAnswer("the stream ended before it was complete")
        tokens, is_exact = self._counted_so_far()
        await self._finish("ok", 200, tokens, is_exact=is_exact)
        if self._request.status is None:
            await self._request.begin_stream(self._reservation.headers)
        await self._request.end_stream(b"data: [DONE]\n\n")
        with contextlib.suppress(TimeoutError):  # read to the very end, and the connection can be used again
            async with asyncio.timeout(_AFTERMATH_SECONDS):
                await response.content.readany()

    async def _pass_events(self, stream: EventStream, events: bytes) -> None:
        if self._first_token is None and stream.pieces:
            self._first_token = time.monotonic()
        if not events:
            return
        if self._request.status is None:
            await self._request.begin_stream(self._reservation.headers)
        self._is_sending = True
        await self._request.send_piece(events)
        self._is_sending = False

    async def _break_off(self, reason: str) -> None:
        """The backend failed in the middle: a plain error if nothing was sent yet, else an error event."""
        backend = self._attempts.reached
        assert backend is not None
        self._state.router.failed(backend, "broken_answer")
        _log.warning("backend_broke_off", call=self._request.id, backend=backend.id, reason=reason)
        tokens, is_exact = self._counted_so_far() if self._stream else (TokenCounts(), False)
        message = "The model broke off in the middle of its answer. Try again."
        if self._request.status is None:
            await self._finish("error", 502, tokens, is_exact=is_exact)
            raise Refusal(502, "backend_failed", message, kind="server_error")
        await self._finish("error", 200, tokens, is_exact=is_exact)
        await self._request.end_stream(_error_event(message, "backend_failed"))

    async def _cut_off(self) -> None:
        """The process ends before the answer does."""
        if not self._is_finished:
            tokens, is_exact = self._counted_so_far()
            await self._finish("error", self._request.status or 503, tokens, is_exact=is_exact)
        message = "This gateway is shutting down. Try again: another one will answer."
        if self._request.status is None:
            raise unavailable(message, "shutting_down")
        await self._request.end_stream(_error_event(message, "shutting_down"))

    def _counted_so_far(self) -> tuple[TokenCounts, bool]:
        """Tokens as the backend told them, or else as we counted; and whether that is exact."""
        if self._stream is not None and self._stream.usage is not None:
            return from_openai(self._stream.usage)
        if self._attempts.reached is None:
            return TokenCounts(), True
        pieces = self._stream.pieces if self._stream else 0
        return TokenCounts(input=self._question.input_estimate, output=pieces), False

    async def _settle(self, tokens: TokenCounts, *, is_unused: bool = False) -> None:
        nano = self._price.cost(tokens) if self._price and not is_unused else 0
        if not self._reservation.is_settled and nano and self._price:
            self._state.metrics.cost.labels(self._question.model, self._price.currency).inc(nano / 1e9)
        await self._state.limiter.settle(self._reservation, tokens.total, nano)

    async def _finish(
        self,
        status: Literal["ok", "error", "cancelled"],
        http_status: int,
        tokens: TokenCounts,
        *,
        is_exact: bool,
    ) -> None:
        """Record the call and settle its limits; returns when it is on disk. Raises SpoolError."""
        self._is_finished = self._request.is_recorded = True
        latency = time.monotonic() - self._started
        first = None if self._first_token is None else self._first_token - self._started
        model = self._question.model
        self._state.metrics.count_finished(model, status, latency, tokens)
        if first is not None:
            self._state.metrics.first_token.labels(model).observe(first)
        backend = self._attempts.reached
        event = UsageEventReport(
            call_id=self._request.id,
            occurred_at=rfc3339(self._occurred_at),
            key_id=self._key.config.key_id,
            model=model,
            status=status,
            http_status=http_status,
            is_exact=is_exact,
            tokens=tokens,
            latency_ms=round(latency * 1000),
            first_token_ms=None if first is None else round(first * 1000),
            is_stream=self._question.is_stream,
            backend_id=backend.id if backend else None,
            config_revision=self._index.revision,
            trace_id=trace_id(self._request.headers.get("traceparent")),
            request_id=self._request.id,
        )
        try:  # on record first: whoever is cancelled while settling is not forgotten
            await self._state.spool.append(event)
        finally:
            await self._settle(tokens, is_unused=status == "error" and not tokens.total)


def _error_event(message: str, code: str) -> bytes:
    """The last event of a stream that failed: official clients raise it as an APIError."""
    return b"data: " + error_body(message, "server_error", code) + b"\n\n"
