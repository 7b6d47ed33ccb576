"""One model call from request to record: admit it, ask a backend, pass the answer on, settle, write the record."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

import structlog

from gateway.contract import Usage
from gateway.proxy import upstream
from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.call_facts import CallFacts
from gateway.proxy.client_answers import ClientStream
from gateway.proxy.dialects.common import Identity
from gateway.proxy.endpoint import Endpoint
from gateway.proxy.errors import Refusal, broke_off, error_event, model_unpriced, usage_not_recorded
from gateway.proxy.http.answer import Answer
from gateway.proxy.http.errors import TransportError
from gateway.proxy.index import Backend, Index, Route
from gateway.proxy.intake import Share
from gateway.proxy.limits import Reservation
from gateway.proxy.messages_calls import put_call_apart
from gateway.proxy.names import Names
from gateway.proxy.outgoing import Sent
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.passing import Passing
from gateway.proxy.plain_answers import DroppedAnswer, read_plain
from gateway.proxy.plans import Plan
from gateway.proxy.recorded_calls import RecordedCall
from gateway.proxy.request import Request
from gateway.proxy.sessions import session_of
from gateway.proxy.so_far import SoFar, counted
from gateway.proxy.spool import SpoolError
from gateway.proxy.state import State
from gateway.proxy.streaming import StreamTooStrange
from gateway.proxy.watch import Watch
from gateway.proxy.whole_answers import BrokenAnswer, PlainAnswer

_log = structlog.get_logger()
_CLIENT_GONE = 499
_AFTERMATH_SECONDS = 0.1
# After the end of an answer, for the backend's usage report.
_LAST_WORDS_SECONDS = 5.0
_HELD_SECONDS = 0.25
Said = Callable[[Backend], Mapping[str, str]]


class Call(RecordedCall):
    """One call. `run` answers the request; afterwards the call is settled and recorded."""

    __slots__ = (
        "_apart", "_beginning", "_endpoint", "_index", "_is_sending", "_route", "_said", "_share", "_so_far", "_watch",
    )  # fmt: skip

    def __init__(
        self,
        state: State,
        index: Index,
        request: Request,
        plan: Plan,
        parsed: ParsedRequest,
        route: Route,
        endpoint: Endpoint,
        *,
        asked: str | None = None,
        so_far: SoFar | None = None,
        said: Said | None = None,
    ) -> None:
        """A call that nobody has answered yet.

        Args:
            state: of this process.
            index: the configuration.
            request: the client's request.
            plan: of the key whose call it is, for the model that shall serve it.
            parsed: the call; its model is the one that shall serve it.
            route: the backends that can take it.
            endpoint: where it arrived.
            asked: the model that the client asked for, if it is another one.
            so_far: if other models may be asked; then the caller counts it as active, and may `record_failure`.
            said: further headers of a backend's answer.
        """
        self._state = state
        self._index = index
        self._request = request
        self._plan = plan
        self._parsed = parsed
        self._route = route
        self._endpoint = endpoint
        price = plan.price
        # A price that lacks what each such call uses would be half of the cost.
        self._price = price if price is not None and parsed.is_priced_by(price) else None
        key = plan.key
        self._facts = CallFacts(request, key, parsed, index.revision, asked)
        self._so_far = so_far
        self._said = said
        tenant_id = key.config.tenant_id
        session = session_of(route, request.headers, parsed.body, index.separation, tenant_id)
        self._apart = (
            plan.apart if parsed.is_ordinary else put_call_apart(parsed, index.separation, tenant_id)
        )
        self._reservation = Reservation()
        self._share = Share(state.answers, tenant_id, key.config.key_id)
        self._attempts = upstream.Attempts(session, retries=so_far.retries if so_far else None)
        self._stream = None
        self._tier = None
        # Waiting for a slow client, not for the backend.
        self._is_sending = False
        seconds = route.config.handling.call_timeout_seconds
        self._watch = Watch(request, state.serving, self._lacks_only_usage, seconds)
        self._is_finished = False
        # A stream's first record, on its way to disk.
        self._beginning: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Serve the call until it is answered, has failed, or the client has gone. Raises Refusal."""
        await self._admit()
        if self._so_far is None:
            self._state.call_began()
        else:
            self._so_far.is_counted = True
        try:
            with self._watch as watch:
                if not watch.is_client_gone:
                    await self._serve()
            if watch.stopped is not None:
                await self._cut_off(watch.stopped)
            elif watch.is_client_gone and not self._is_finished and self._attempts.reached is not None:
                await self._cancelled()
        except Refusal as refusal:
            if self._so_far is None or not refusal.is_unanswered:
                await self.record_failure(refusal)
            refusal.headers = {**self._reservation.headers, **refusal.headers}
            raise
        except SpoolError:
            # The spool keeps it and retries. The client never sees the end of an answer that is not on record.
            if self._request.status is None:
                raise usage_not_recorded() from None
            problem = usage_not_recorded()
            self._end_failed(error_event(str(problem), problem.code))
        except Exception:
            # A fault of ours still puts the call on record, if only without usage.
            await self._record_fault()
            raise
        finally:
            if self._so_far is None:
                self._state.call_ended()
            else:
                self._so_far.retries = self._attempts.retries
            if self._share.size:
                self._share.release()
            if self._beginning is not None and not self._is_finished:
                self._state.spool.forget(self._request.id)
            # A call without a record has used nothing.
            if not self._reservation.is_settled:
                await self._settle({}, 0, is_unused=True)

    def _lacks_only_usage(self) -> bool:
        stream = self._stream
        return (
            stream is not None and stream.is_finished and not stream.is_usage_known and stream.error is None
        )

    async def _admit(self) -> None:
        """Reserve what the call may use. Raises Refusal."""
        plan = self._plan
        if self._price is None and plan.is_money_bounded:
            raise model_unpriced(plan.model)
        estimate = self._parsed.estimate(self._route, self._price, self._index.settings.default_output_tokens)
        if self._so_far is not None and self._so_far.is_counted:
            estimate = counted(estimate)
        self._reservation = await self._state.limiter.admit(plan.limits, estimate, plan.key.config.tenant_id)
        for limit in self._reservation.soft_exceeded:
            self._state.metrics.over_soft_limit.labels(limit.scope, limit.kind).inc()

    async def _serve(self) -> None:
        parsed = self._parsed
        sent = Sent(parsed.content_type, parsed.accept, self._request.id, self._facts.trace.headers)
        try:
            await upstream.ask(
                self._state.upstream,
                self._state.router,
                self._route,
                parsed,
                sent,
                self._index.settings,
                self._attempts,
                self._apart,
                self._state.vault,
                self._state.limiter,
                self._take,
            )
        except (BrokenAnswer, StreamTooStrange, TransportError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and self._is_sending:
                # It takes nothing of its stream.
                await self._cancelled()
                self._request.abort()
                return
            await self._break_off(f"{type(error).__name__}: {error}")

    async def _take(self, backend: Backend, answer: Answer) -> None:
        """Pass one backend's answer on. Raises BackendFault if it failed or never came, and nothing was sent."""
        self._stream = None
        if self._said is not None:
            self._reservation.headers = {**self._reservation.headers, **self._said(backend)}
        names = Names(backend, self._route.config.model, self._attempts.secrets)
        identity = Identity(self._request.id, self._route.config.model, int(self._facts.occurred_at))
        try:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise FailedAnswer(502, reason="compressed although asked not to")
            content_type = answer.headers.get("content-type", "")
            if self._endpoint.is_streamed(self._parsed, content_type):
                self._stream = self._endpoint.stream(self._parsed, backend, names, identity)
                self._stream.opened(content_type)
                await self._pass_stream(self._stream, answer, backend)
                return
            largest = self._state.settings.largest_answer_mib * 1024**2
            original = await read_plain(answer, self._share, largest)
            plain = self._endpoint.read_answer(self._parsed, names, original, identity)
            if self._parsed.is_stream and not self._endpoint.may_answer_whole:
                raise FailedAnswer(502, reason="a plain answer to a call for a stream")
        except (FailedAnswer, StreamTooStrange, TransportError, TimeoutError) as error:
            if self._request.status is not None:
                raise error if isinstance(error, TimeoutError) else BrokenAnswer(str(error)) from error
            self._stream = None
            _log.warning("backend_broke_off", call=self._request.id, backend=backend.id, reason=repr(error))
            raise upstream.fault_of_answer(
                error, backend, self._route, self._state.router, self._attempts.secrets
            ) from error
        except DroppedAnswer as dropped:
            raise await self._drop(dropped, backend) from None
        content = self._endpoint.write_answer(self._parsed, backend, original, plain, names, identity)
        await self._answer(plain, content)

    async def _drop(self, dropped: DroppedAnswer, backend: Backend) -> Refusal:
        """Record an answer that came but was not kept; its usage is billed. Returns the refusal for the caller."""
        dropped.note(self._state, self._request.id, backend)
        usage = self._parsed.usage_of_dropped(self._route, dropped.reported, dropped.size)
        await self._finish("error", dropped.refusal.status, usage, is_exact=False)
        return dropped.refusal

    async def _answer(self, answer: PlainAnswer, content: bytes) -> None:
        """Record a plain answer, then send it."""
        self._tier = answer.service_tier
        usage, is_exact = self._endpoint.count(self._parsed, self._route, answer)
        await self._finish("ok", 200, usage, is_exact=is_exact)
        await self._request.answer(200, content, self._reservation.headers, answer.content_type)

    async def _pass_stream(self, stream: ClientStream, answer: Answer, backend: Backend) -> None:
        """Pass events on as they come; record the call before the last one."""
        loop = asyncio.get_running_loop()
        idle_seconds = backend.idle_seconds(self._index.settings)
        self._beginning = self._state.spool.begin(
            self._facts.event("cancelled", 200, self._counted_so_far()[0], backend, is_exact=False),
            lambda: self._counted_so_far()[0],
        )
        await self._open_stream(stream, answer, idle_seconds)
        self._state.router.answered(backend)
        passing, is_ending, until = Passing(stream, answer, self._request), False, 0.0
        try:
            while stream.may_bring_more:
                if not is_ending or (stream.goes_on and not stream.is_done):
                    is_ending = stream.is_finished and (stream.is_done or not stream.goes_on)
                    until = loop.time() + (_LAST_WORDS_SECONDS if is_ending else idle_seconds)
                next_data = answer.read(until) if is_ending else passing.read(until, idle_seconds)
                if not (data := await next_data):
                    break
                await self._pass_events(stream, stream.feed(data))
        except (TimeoutError, TransportError):
            if self._is_sending or not stream.is_finished:
                # Otherwise only its usage is missing.
                raise
        await self._pass_events(stream, stream.end())
        if not stream.is_finished:
            raise BrokenAnswer("the stream ended before it was complete")
        if self._watch.is_client_gone:
            await self._cancelled()
            return
        usage, is_exact = self._counted_so_far()
        await self._finish("ok", 200, usage, is_exact=is_exact)
        self._request.end_stream(stream.last_words())
        # Its very end lets the connection be reused.
        answer.finish(_AFTERMATH_SECONDS)

    async def _open_stream(self, stream: ClientStream, answer: Answer, idle_seconds: float) -> None:
        """Pass the first events on once they contain part of an answer; until then the call can go to another
        backend. Events that only announce an answer are held back briefly. Raises FailedAnswer.
        """
        held = b""
        while not stream.has_begun:
            seconds = _HELD_SECONDS if held else idle_seconds
            try:
                data = await answer.read(asyncio.get_running_loop().time() + seconds)
            except TimeoutError:
                if held:
                    break
                raise
            held += stream.feed(data) if data else stream.end()
            if stream.error is not None:
                raise stream.error
            if (not data or stream.is_done) and not stream.is_finished:
                raise FailedAnswer(502, reason="the stream ended before it was complete")
        if not self._watch.is_client_gone:
            await self._require_beginning()
        if not self._watch.is_client_gone:
            self._request.begin_stream({**self._reservation.headers, **stream.headers})
        await self._pass_events(stream, held)

    async def _require_beginning(self) -> None:
        """Wait until the beginning is on disk, so that any call a client has part of survives a crash.

        Raises SpoolError if it cannot be written; then the call is recorded as failed.
        """
        assert self._beginning is not None
        try:
            await asyncio.shield(self._beginning)
        except SpoolError:
            await self._finish("error", 503, {}, is_exact=True)
            raise

    async def _pass_events(self, stream: ClientStream, events: bytes) -> None:
        if self._facts.first_token is None and stream.delivered.pieces:
            self._facts.first_token = time.monotonic()
        if events and not self._watch.is_client_gone and self._request.send_piece(events):
            self._is_sending = True
            await self._request.drain(self._index.settings.idle_timeout_seconds)
            self._is_sending = False
        if stream.error is not None:
            raise stream.error

    async def _break_off(self, reason: str) -> None:
        """End an answer that failed midway: with a plain error if nothing was sent yet, else with an error event."""
        backend = self._attempts.reached
        assert backend is not None
        self._state.router.failed(backend, "broken_answer", is_reachable=True)
        _log.warning("backend_broke_off", call=self._request.id, backend=backend.id, reason=reason)
        if self._request.status is None:
            await self._finish("error", 502, {}, is_exact=True)
            raise broke_off()
        usage, is_exact = self._counted_so_far(is_failed=True)
        await self._finish("error", 200, usage, is_exact=is_exact)
        error = self._stream.error if self._stream is not None else None
        last = upstream.last_event(error, backend, self._route, self._state.router, self._attempts.secrets)
        self._end_failed(last)

    async def _cut_off(self, why: Refusal) -> None:
        """End the call because its time, or that of the process, is over before the answer is."""
        if not self._is_finished:
            backend = self._attempts.reached
            if backend is not None and self._request.status is None and why.code == "call_timeout":
                self._state.router.failed(backend, "timeout", is_reachable=True)
            usage, is_exact = self._counted_so_far(is_failed=True)
            await self._finish("error", self._request.status or why.status, usage, is_exact=is_exact)
        if self._request.status is None:
            raise why
        if not self._request.is_ended:
            self._end_failed(error_event(str(why), why.code))

    async def _record_fault(self) -> None:
        """Record a call at which this gateway failed, with what its client got of a stream. Raises SpoolError."""
        if self._attempts.reached is None or self._is_finished:
            return
        usage: Usage = {}
        # What failed may be the counting.
        with contextlib.suppress(Exception):
            usage, _ = self._counted_so_far(is_failed=True)
        await self._finish("error", self._request.status or 500, usage, is_exact=False)

    async def _cancelled(self) -> None:
        """Record a call whose client has gone."""
        usage, is_exact = self._counted_so_far()
        await self._finish("cancelled", self._request.status or _CLIENT_GONE, usage, is_exact=is_exact)

    def _end_failed(self, event: bytes) -> None:
        """End a stream with an event that says why it failed, in the client's dialect; a sound just breaks off."""
        last = event if self._stream is None else self._stream.failed(event)
        if last is None:
            self._request.abort()
        else:
            self._request.end_stream(last)

    def _counted_so_far(self, *, is_failed: bool = False) -> tuple[Usage, bool]:
        """The tokens that the backend reported, or else our own count; and whether the number is exact."""
        if self._attempts.reached is None:
            return {}, True
        stream = self._stream
        if stream is None:
            return ({}, True) if is_failed else self._endpoint.count(self._parsed, self._route, None)
        return stream.counted(self._parsed, self._route, is_failed=is_failed)
