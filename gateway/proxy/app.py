"""The paths that this gateway answers. Every answer carries `x-request-id`."""

import asyncio
import contextlib
import dataclasses
import hmac
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import orjson
import structlog

from gateway.proxy.auth import authenticate, credential, is_loopback, require_endpoint, shown_key
from gateway.proxy.body import with_member
from gateway.proxy.dialects.anthropic_client.parsed import parse_messages
from gateway.proxy.dialects.anthropic_client.request import count_answer
from gateway.proxy.endpoint import Endpoint
from gateway.proxy.endpoints import ENDPOINTS, RESPONSES_PATH, path_of
from gateway.proxy.errors import Refusal, bad_request, model_not_found, unavailable, usage_not_recorded
from gateway.proxy.fallbacks import serve
from gateway.proxy.head import MESSAGES_PATH, shown
from gateway.proxy.http.exchange import Exchange
from gateway.proxy.index import Index, Key, Route
from gateway.proxy.intake import SMALL, Share
from gateway.proxy.limits import LimitReached, limits_on_every
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.paths import require_clear_path
from gateway.proxy.plans import Plan, plan_of
from gateway.proxy.refusals import Cheaply
from gateway.proxy.request import Request
from gateway.proxy.responses.fetch import answer_stored, may_be_stored
from gateway.proxy.spool import SpoolError
from gateway.proxy.state import State
from gateway.proxy.tokens import with_margin
from gateway.proxy.wrong_paths import require_method, unknown_path

_log = structlog.get_logger()
T = TypeVar("T")
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_KNOWN = (*ENDPOINTS, f"{MESSAGES_PATH}/count_tokens")


class App:
    """What one gateway answers."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        request = Request(exchange, self._state.settings.trusted_proxies)
        try:
            endpoint = request.known.endpoint
            if endpoint is not None:
                await self._call(request, endpoint)
            else:
                await self._dispatch(request, exchange.head.target.raw_path)
        except Refusal as refusal:
            await self._refuse(request, refusal)
        except SpoolError:
            await self._refuse(request, usage_not_recorded())
        except asyncio.CancelledError:
            # The client gets an explanation whatever caused this: there would be no answer at all.
            with contextlib.suppress(asyncio.CancelledError):
                await self._refuse(request, _interrupted())
            if request.status is not None and not request.is_ended:
                request.break_off()
        except Exception:
            _log.exception("call_failed", call=request.id, path=shown(request.path))
            if request.status is None:
                message = f"The gateway failed. Send this request id to the operators: {request.id}."
                await request.refuse(Refusal(500, "internal_error", message, kind="server_error"))
            else:
                request.break_off()

    async def _dispatch(self, request: Request, raw_path: bytes) -> None:
        """Answer the first request of its kind on its connection. `raw_path` is the path as it came."""
        if request.head_problem is not None:
            raise request.head_problem
        path = request.path
        require_clear_path(raw_path, path)
        endpoint = ENDPOINTS.get(path)
        if endpoint is not None:
            require_method(request.method, path, "POST")
            request.known.endpoint = endpoint
            await self._call(request, endpoint)
        elif path == f"{MESSAGES_PATH}/count_tokens":
            require_method(request.method, path, "POST")
            await self._count_tokens(request)
        elif path == "/v1/models" or path.startswith("/v1/models/"):
            require_method(request.method, path, "GET")
            await self._models(request, path.removeprefix("/v1/models").lstrip("/"))
        elif may_be_stored(path):
            index = self._state.ready_index()
            key = self._key_of(request, index)
            if (cheap := self._state.refusals.in_force(key.config.key_id, index.revision)) is not None:
                raise cheap
            await self._look_at_limits(key, 0)
            await answer_stored(self._state, index, key, request, path.removeprefix(f"{RESPONSES_PATH}/"))
        elif path in ("/healthz", "/readyz", "/metrics"):
            require_method(request.method, path, "GET")
            entry_points: dict[str, Callable[[Request], Awaitable[None]]] = {
                "/healthz": self._health,
                "/readyz": self._ready,
                "/metrics": self._metrics,
            }
            await entry_points[path](request)
        else:
            raise unknown_path(request.method, path, _KNOWN)

    async def _call(self, request: Request, endpoint: Endpoint) -> None:
        state = self._state
        index = state.ready_index()
        key = self._key_of(request, index)
        state.require_spool()
        if (cheap := state.refusals.in_force(key.config.key_id, index.revision)) is not None:
            raise cheap
        largest = endpoint.largest_body(index.settings)
        raw = request.whole_body(largest)
        share: Share | None = None
        if raw is None:
            await self._look_at_limits(key, request.length(largest))
            share = state.bodies.share_of(key.config.tenant_id, key.config.key_id)
        try:
            if share is not None or raw is None:
                assert share is not None
                parsed, plan, route = await self._read(request, index, key, share, endpoint)
                request.on_begin = partial(_let_go, parsed, share)
            else:
                size = len(raw)
                try:
                    parsed, plan, route = self._read_small(request, index, key, raw, endpoint)
                except Refusal as refusal:
                    # A limit without room for any call says so before anything else is said.
                    await self._look_at_limits(key, size)
                    self._note_wrong(key, refusal, size)
                    raise
                # From here on only `parsed` has it, until the answer begins.
                del raw
                request.on_begin = parsed.let_go
            await serve(state, index, request, plan, parsed, route, endpoint)
        except LimitReached as refusal:
            state.refusals.limited(refusal, key.config.key_id, index.revision)
            raise
        finally:
            if share is not None:
                share.release()

    async def _count_tokens(self, request: Request) -> None:
        """Estimate a prompt's tokens as limits do, on the high side. It asks no backend, so it is not recorded."""
        index = self._state.ready_index()
        key = self._key_of(request, index)
        if refusal := self._state.refusals.too_many_wrong(key.config.key_id):
            raise refusal
        share = self._state.bodies.share_of(key.config.tenant_id, key.config.key_id)
        try:
            parsed, _, _ = await self._read(request, index, key, share, _QUESTION)
        finally:
            share.release()
        await request.answer(200, count_answer(with_margin(parsed.input_estimate)))

    async def _read(
        self, request: Request, index: Index, key: Key, share: Share, endpoint: Endpoint
    ) -> tuple[ParsedRequest, Plan, Route]:
        """Read and check a call. Returns it, its plan, and the backends that can take it. Raises Refusal.

        Args:
            request: the request.
            index: the configuration.
            key: whose call it is.
            share: counts the bytes of its body.
            endpoint: where it arrived.
        """
        largest = endpoint.largest_body(index.settings)
        raw = await request.body(largest, share, self._state.settings.body_grace_seconds)
        size = len(raw)
        try:
            parsed = await self._beside(size, endpoint.read, raw, request.headers)
            del raw
            plan = self._plan_of(request, index, key, parsed)
            route = plan.route
            if endpoint.permit is not None:
                route = endpoint.permit(parsed, key, index, route)
            large = len(parsed.body.raw)
            route = await self._beside(large, endpoint.fit, parsed, request.headers, index, route)
            return parsed, plan, route
        except Refusal as refusal:
            self._note_wrong(key, refusal, size)
            raise

    def _read_small(
        self, request: Request, index: Index, key: Key, raw: bytes, endpoint: Endpoint
    ) -> tuple[ParsedRequest, Plan, Route]:
        """As `_read`, with a small body that is here as a whole: `raw`."""
        parsed = endpoint.read(raw, request.headers)
        plan = self._plan_of(request, index, key, parsed)
        route = plan.route if endpoint.permit is None else endpoint.permit(parsed, key, index, plan.route)
        return parsed, plan, endpoint.fit(parsed, request.headers, index, route)

    def _note_wrong(self, key: Key, refusal: Refusal, size: int) -> None:
        """Note that a body of `size` bytes was read only for this refusal, if the body is why."""
        if refusal.status < 500:
            self._state.refusals.wrong(key.config.key_id, size)

    async def _look_at_limits(self, key: Key, length: int | None) -> None:
        """Refuse a call before reading its body if a limit has no room for any call at all.

        The gateway reads a small body first if that is cheaper or tells more: with limits shared by several gateways,
        which need a request over the network, and with limits on a model, since the call may name another one.
        """
        limiter = self._state.limiter
        is_small = length is not None and length <= SMALL
        if limiter.is_local or not is_small:
            limits = limits_on_every(key, is_small=is_small)
            if limits:
                await limiter.look(limits, key.config.tenant_id)

    async def _beside(self, size: int, work: Callable[..., T], *arguments: object) -> T:
        """Run slow work on a large body in a thread, so that no other call waits for it."""
        if size <= SMALL:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._state.readers, work, *arguments)

    def _plan_of(self, request: Request, index: Index, key: Key, parsed: ParsedRequest) -> Plan:
        """The plan of a call, if its key may call that model here. Raises Refusal.

        Args:
            request: the request.
            index: the configuration.
            key: whose call it is.
            parsed: the call.
        """
        model = request.asked_model = parsed.model
        plan = plan_of(index, key, model, parsed.mode)
        if plan is not None and (plan.grant_ends_at is None or time.time() < plan.grant_ends_at):
            request.model = model
            return plan
        known = index.route_of(model, key.config)
        request.model = model if known else ""
        if known is None or not key.may_call(model, time.time()):
            raise model_not_found(model)
        raise _wrong_endpoint(model, known)

    async def _models(self, request: Request, name: str) -> None:
        index = self._state.ready_index()
        key = self._key_of(request, index)
        routes = index.callable_models(key, time.time())
        if not name:
            await request.answer(
                200, orjson.dumps({"object": "list", "data": [_shown(one) for one in routes]})
            )
            return
        for route in routes:
            if route.config.model == name:
                await request.answer(200, orjson.dumps(_shown(route)))
                return
        raise model_not_found(name)

    def _key_of(self, request: Request, index: Index) -> Key:
        """The key of a request. Raises Refusal, and a cheaper one for a wrong key that keeps coming."""
        known = request.known
        key = known.key
        if key is None or known.key_of is not index.mark or key.has_ended(time.time()):
            key = self._authenticate(request, index)
        config = key.config
        request.tenant, request.key_id = config.tenant_slug, config.key_id
        if known.key is not key:
            require_endpoint(key, request.path)
            known.key, known.key_of = key, index.mark
        return key

    def _authenticate(self, request: Request, index: Index) -> Key:
        known = request.known
        # Whatever comes of it, what was true is not remembered.
        known.key = None
        try:
            if known.key_digest is None:
                known.key_digest = shown_key(known.headers)
            return authenticate(index, known.headers, known.client_ip, known.key_digest)
        except Refusal as refusal:
            given = credential(request.headers)
            raise self._state.refusals.stranger(refusal, request.client_ip, given) from None

    async def _health(self, request: Request) -> None:
        """200 while the process runs at all."""
        await request.answer(200, b'{"status":"ok"}')

    async def _ready(self, request: Request) -> None:
        """200 while the gateway can serve calls: it is configured, not ending, and able to record usage."""
        problem = self._state.config_problem()
        try:
            index: Index = self._state.ready_index()
        except Refusal as refusal:
            message = f"{refusal} {problem}".strip()
            raise unavailable(message, refusal.code) from None
        self._state.require_spool()
        problems = [problem] if problem else []
        ready = {"status": "ready", "revision": index.revision, "problems": problems}
        await request.answer(200, orjson.dumps(ready))

    async def _metrics(self, request: Request) -> None:
        """Metrics for callers with the metrics token (else 401); if none is set, for this machine only (else 404)."""
        token = self._state.settings.metrics_token
        if token:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), token.encode()):
                raise Refusal(
                    401, "invalid_metrics_token", "Send the metrics token as `Authorization: Bearer …`."
                )
        elif not is_loopback(request.client_ip):
            raise Refusal(
                404, "unknown_url", "Set GATEWAY_METRICS_TOKEN to read metrics from another machine."
            )
        await request.answer(200, self._state.metrics_text(), content_type=_EXPOSITION)

    async def _refuse(self, request: Request, refusal: Refusal) -> None:
        if request.path.startswith("/v1/"):
            if not request.is_recorded:
                self._state.metrics.count_refused(request.model, refusal.code)
            self._state.refusals.count(refusal.code, request.tenant)
            original = refusal.original if isinstance(refusal, Cheaply) else refusal
            self._state.note_refused(request, refusal.status, refusal.code, original)
            if isinstance(original, LimitReached):
                self._state.metrics.refused_by_limit.labels(original.limit.scope, original.limit.kind).inc()
            if original is refusal:
                _log.info(
                    "call_refused",
                    call=request.id,
                    path=shown(request.path),
                    status=refusal.status,
                    code=refusal.code,
                )
        if request.status is None:
            await request.refuse(refusal)


def _wrong_endpoint(model: str, route: Route) -> Refusal:
    """400 for a model that serves the key at other paths only."""
    own = [mode for mode in route.config.modes if mode in route.modes]
    paths = " and ".join(filter(None, map(path_of, own))) or "no path that this gateway knows"
    return bad_request(
        f"The model `{model}` answers at {paths}, not here.", code="wrong_endpoint", param="model"
    )


def _parse_question(raw: bytes) -> ParsedRequest:
    """A question for the size of a prompt: a Messages call that needs no maximum, and is never sent."""
    return parse_messages(with_member(raw, "max_tokens", 1))


_QUESTION = dataclasses.replace(ENDPOINTS[MESSAGES_PATH], read=lambda raw, _: _parse_question(raw))


def _let_go(parsed: ParsedRequest, share: Share) -> None:
    """The answer has begun: nobody needs the body any longer."""
    parsed.let_go()
    share.release()


def _interrupted() -> Refusal:
    return unavailable("The gateway aborted this call. Try again.", "interrupted")


def _shown(route: Route) -> dict[str, object]:
    """A model as GET /v1/models shows it."""
    config = route.config
    return {"id": config.model, "object": "model", "created": config.created, "owned_by": config.owned_by}
