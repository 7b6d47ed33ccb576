"""Models that answer in place of another one, when no target of that one answers.

Such a call stays within the tenant's regions, the class of data and the grants (`Index.stand_ins`), counts against the
limits of the model that serves it, is priced and recorded as a call to that one, and its headers say so.
"""

import asyncio
import time

from gateway.proxy.calls import Call
from gateway.proxy.endpoint import Endpoint
from gateway.proxy.errors import Refusal
from gateway.proxy.index import Index, Key, Route
from gateway.proxy.intake import SMALL
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.request import Request
from gateway.proxy.state import State

# Of an answer by another model than the one that the client asked for.
SERVED_HEADER = "x-model-served"
REASON_HEADER = "x-model-reason"


async def serve(
    state: State,
    index: Index,
    request: Request,
    key: Key,
    parsed: ParsedRequest,
    route: Route,
    endpoint: Endpoint,
) -> None:
    """Serve a call by its model, or by the first of that model's fallbacks that answers.

    Raises the Refusal of its own model if none of them does.

    Args:
        state: of this process.
        index: the configuration.
        request: the client's request.
        key: whose call it is.
        parsed: the call.
        route: the backends of its model that can take it.
        endpoint: where it arrived.
    """
    if not route.config.fallbacks:
        await Call(state, index, request, key, parsed, route, endpoint).run()
        return
    state.call_began()
    try:
        call = Call(state, index, request, key, parsed, route, endpoint, is_followed=True)
        try:
            await call.run()
        except Refusal as refusal:
            if not refusal.is_unanswered:
                raise
            for other in index.stand_ins(route, key, parsed.mode, time.time()):
                if await _is_served_by(other, state, index, request, key, parsed, endpoint):
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
    """
    asked, served = parsed.model, route.config.model
    said = {SERVED_HEADER: served, REASON_HEADER: "fallback"}
    parsed.model = served
    try:
        fitting = await _fitting(route, state, index, request, parsed, endpoint)
        await Call(
            state, index, request, key, parsed, fitting, endpoint, asked=asked, is_followed=True, said=said
        ).run()
    except Refusal:
        if request.is_recorded:
            raise
        return False
    finally:
        parsed.model = asked
    return True


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
