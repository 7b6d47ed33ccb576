"""Read or delete one stored answer, with a key of the tenant that made it.

It uses no tokens, so it is not recorded; limits count it as a request, because it reaches a provider.
"""

import time

from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.errors import Refusal, unavailable
from gateway.proxy.http.errors import TransportError
from gateway.proxy.index import Backend, Index, Key, Route
from gateway.proxy.limits import EstimatedUsage
from gateway.proxy.names import Names
from gateway.proxy.outgoing import stored_call
from gateway.proxy.plain_answers import DroppedAnswer, read_plain
from gateway.proxy.request import Request
from gateway.proxy.responses.names import ResponseNames
from gateway.proxy.responses.storage import may_store, not_found, nothing_stored
from gateway.proxy.state import State
from gateway.proxy.vault import NoCredential
from gateway.proxy.whole_answers import dumped, parse

_METHODS = ("GET", "HEAD", "DELETE")
_PLACE = "/v1/responses/"
# Paths beside stored answers that this gateway does not have.
_NO_IDS = ("input_tokens", "compact", "")
_NO_TOKENS = EstimatedUsage(0, 0, is_output_named=True)


def may_be_stored(path: str) -> bool:
    """Whether a path is that of a stored answer, and of nothing below or beside it."""
    response_id = path.removeprefix(_PLACE)
    return path.startswith(_PLACE) and "/" not in response_id and response_id not in _NO_IDS


async def answer_stored(state: State, index: Index, key: Key, request: Request, response_id: str) -> None:
    """Answer a GET, HEAD or DELETE of a stored answer. Raises Refusal.

    Args:
        state: of this process.
        index: the configuration.
        key: whose request it is.
        request: the request.
        response_id: the client's id of the answer.
    """
    if not may_store(key, index):
        raise nothing_stored()
    if request.method not in _METHODS:
        message = f"Not allowed to {request.method[:10]} a stored answer: use GET or DELETE."
        raise Refusal(405, "method_not_allowed", message, headers={"allow": ", ".join(_METHODS)})
    opened = index.separation.open_id(key.config.tenant_id, response_id)
    holder = _holder(index, key, opened[0]) if opened is not None else None
    if opened is None or holder is None:
        raise not_found("response_id")
    backend, route = holder
    limits = key.limits_on(route.config.model)
    reservation = await state.limiter.admit(limits, _NO_TOKENS, key.config.tenant_id)
    try:
        content = await _ask(state, index, key, request, backend, opened[1])
    finally:
        await state.limiter.settle(reservation, 0, 0)
    if request.method == "DELETE":
        await request.answer(200, dumped({"id": response_id, "object": "response", "deleted": True}))
        return
    names = ResponseNames(
        Names(backend, route.config.model),
        "",
        lambda theirs: index.separation.seal_id(key.config.tenant_id, backend.id, theirs),
    )
    whole = parse(content)
    if not isinstance(whole, dict) or whole.get("id") != opened[1]:
        raise _failed()
    await request.answer(200, dumped(names.in_response(whole)))


def _holder(index: Index, key: Key, target_id: str) -> tuple[Backend, Route] | None:
    """An address of the target, if the key may call one of its models there now."""
    now = time.time()
    for model in key.config.models:
        route = index.route_of(model, key.config, "responses") if key.may_call(model, now) else None
        for group in route.groups if route else ():
            for one in group:
                if route is not None and one.id == target_id:
                    return one, route
    return None


async def _ask(
    state: State, index: Index, key: Key, request: Request, backend: Backend, theirs: str
) -> bytes:
    headers = {"accept": "application/json", "accept-encoding": "identity", "x-request-id": request.id}
    share = state.answers.share_of(key.config.tenant_id, key.config.key_id)
    try:
        call = stored_call(backend, theirs, headers, index.settings, state.vault)
        answer = await state.upstream.post(
            call.url,
            data=b"",
            lines=call.lines,
            connect_seconds=call.connect_seconds,
            response_seconds=call.response_seconds,
            trust=call.trust,
            # HEAD is for a client that wants no body; the answer is checked all the same.
            method="GET" if request.method == "HEAD" else request.method,
        )
        try:
            if answer.status == 404:
                raise not_found("response_id")
            if answer.status // 100 != 2:
                raise _failed()
            return await read_plain(answer, share, state.settings.largest_answer_mib * 1024**2)
        finally:
            answer.close()
    except (TransportError, TimeoutError, NoCredential, FailedAnswer):
        raise unavailable(
            "The answer cannot be reached at the moment. Try again shortly.", "no_backend_available"
        ) from None
    except DroppedAnswer as dropped:
        raise dropped.refusal from None
    finally:
        share.release()


def _failed() -> Refusal:
    return Refusal(
        502, "backend_failed", "The server that stores this answer failed. Try again.", kind="server_error"
    )
