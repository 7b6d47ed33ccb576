"""Models that answer in place of another one, when no target of that one answers, or on purpose (`degrading`).

Such a call stays within the tenant's regions, the class of data and the grants (`Index.stand_ins`). It counts against
the limits of the model that serves it, and once against those on requests to all models. It is priced and recorded as
a call to that model, and its headers say so.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping

from gateway.proxy.calls import Call, Said
from gateway.proxy.degrading import smaller_model
from gateway.proxy.endpoint import Endpoint
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Backend, Index, Key, Route
from gateway.proxy.intake import SMALL
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.plans import Plan, plan_of
from gateway.proxy.request import Request
from gateway.proxy.so_far import SoFar
from gateway.proxy.state import State
from gateway.proxy.strategies import HEADER, Chosen, choose

# Of an answer by another model than the one that the client asked for.
SERVED_HEADER = "x-model-served"
REASON_HEADER = "x-model-reason"


def serve(
    state: State,
    index: Index,
    request: Request,
    plan: Plan,
    parsed: ParsedRequest,
    route: Route,
    endpoint: Endpoint,
) -> Awaitable[None]:
    """Serve a call by its model, as its strategy wants, or by the first of that model's fallbacks that answers.

    Where the route degrades (`degrading`), a smaller model is asked first. If it cannot serve the call, its own does.

    Raises the Refusal of its own model if none of them does, and Refusal (400) for an unknown strategy.

    Args:
        state: of this process.
        index: the configuration.
        request: the client's request.
        plan: of the key whose call it is, and its model.
        parsed: the call.
        route: the backends of its model that can take it.
        endpoint: where it arrived.
    """
    asked = request.headers.get(HEADER)
    chosen = None if asked is None else _chosen(asked, state, index, parsed, route)
    said = None
    if chosen is not None:
        route, said = chosen.route, chosen.said
    config = route.config
    if not (config.fallbacks or config.degrading) or (chosen is not None and not chosen.suits_fallbacks):
        return Call(state, index, request, plan, parsed, route, endpoint, said=said).run()
    return _serve_by_any(state, index, request, plan, parsed, route, endpoint, said)


async def _serve_by_any(
    state: State,
    index: Index,
    request: Request,
    plan: Plan,
    parsed: ParsedRequest,
    route: Route,
    endpoint: Endpoint,
    said: Said | None,
) -> None:
    """As `serve`, where other models may answer. `said` are further headers of an answer of its own model."""
    config, key = route.config, plan.key
    state.call_began()
    so_far = SoFar()
    try:
        if config.degrading and (smaller := await smaller_model(state, index, key, parsed, route)):
            reason = smaller.reason
            if await _is_served_by(
                smaller.route, state, index, request, key, parsed, endpoint, reason, so_far
            ):
                return
            # Its own model gets no more calls than without the smaller one.
            so_far.retries = None
            # The call may have been translated for the other model.
            route = await _fitting(route, state, index, request, parsed, endpoint)
        call = Call(state, index, request, plan, parsed, route, endpoint, so_far=so_far, said=said)
        try:
            await call.run()
        except Refusal as refusal:
            if not refusal.is_unanswered:
                raise
            for other in index.stand_ins(route, key, parsed.mode, time.time()):
                if not so_far.may_go_on():
                    break
                if await _is_served_by(
                    other, state, index, request, key, parsed, endpoint, "fallback", so_far
                ):
                    return
            await call.record_failure(refusal)
            raise
    finally:
        state.call_ended()


async def _is_served_by(
    route: Route,
    state: State,
    index: Index,
    request: Request,
    key: Key,
    parsed: ParsedRequest,
    endpoint: Endpoint,
    reason: str,
    so_far: SoFar,
) -> bool:
    """Serve a call by another model. False if it cannot take this call, has no room for it, or does not answer.

    Raises Refusal, already recorded, if a backend of it answered that the call itself is at fault.

    Args:
        route: the backends of that model.
        state: of this process.
        index: the configuration.
        request: the client's request.
        key: whose call it is.
        parsed: the call.
        endpoint: where it arrived.
        reason: why, as the answer says it.
        so_far: what other models have done of this call.
    """
    asked, served = parsed.model, route.config.model
    strategy = request.headers.get(HEADER)
    served_by = {SERVED_HEADER: served, REASON_HEADER: reason}

    def said(backend: Backend) -> Mapping[str, str]:
        return served_by if chosen is None else {**served_by, **chosen.said(backend)}

    parsed.model = served
    try:
        plan = plan_of(index, key, served, parsed.mode)
        assert plan is not None, "a stand-in is granted and served"
        fitting = await _fitting(route, state, index, request, parsed, endpoint)
        chosen = None if strategy is None else _chosen(strategy, state, index, parsed, fitting)
        if chosen is not None:
            fitting = chosen.route
        await Call(
            state, index, request, plan, parsed, fitting, endpoint, asked=asked, so_far=so_far, said=said
        ).run()
    except Refusal as refusal:
        if request.is_recorded:
            refusal.headers = {**served_by, **refusal.headers}
            raise
        return False
    finally:
        parsed.model = asked
    return True


def _chosen(asked: str, state: State, index: Index, parsed: ParsedRequest, route: Route) -> Chosen:
    """The route in the order that the client asks for. Raises Refusal (400) for an unknown strategy.

    Args:
        asked: the strategy.
        state: of this process.
        index: the configuration.
        parsed: the call.
        route: the backends that can take it.
    """
    return choose(asked, route, parsed, state.first_tokens, index.settings.default_output_tokens)


async def _fitting(
    route: Route, state: State, index: Index, request: Request, parsed: ParsedRequest, endpoint: Endpoint
) -> Route:
    """The route with only the backends that can take a call. Raises Refusal.

    Args:
        route: of a model.
        state: of this process; large bodies are read beside other calls.
        index: the configuration.
        request: the client's request.
        parsed: the call.
        endpoint: where it arrived.
    """
    if len(parsed.body.raw) <= SMALL:
        return endpoint.fit(parsed, request.headers, index, route)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(state.readers, endpoint.fit, parsed, request.headers, index, route)
