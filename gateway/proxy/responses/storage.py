"""Answers that a provider stores for a tenant: only if the tenant allows it, and never for another one.

All tenants share our account at a provider, so its ids would open any tenant's answers. A client gets another id, which
the gateway seals with the tenant's (`gateway.proxy.separation`): it names the target that has the answer, and opens
only with a key of the same tenant.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.index import Index, Key, Route
from gateway.proxy.parsed_requests import ParsedRequest

_OFF = "Your tenant's settings do not allow stored answers."


@dataclass(slots=True)
class Storage:
    """What a call says about storage; `seal` gives the client's id of a target's answer, if it may be stored."""

    asked: bool | None
    # The client's id of an earlier answer; empty: none.
    previous: str
    seal: Callable[[str, str], str] | None = None


def may_store(key: Key, index: Index) -> bool:
    """Whether answers to this key may be stored. Without the installation's key, ids could be forged."""
    return key.config.stores_answers and index.separation.is_keyed


def permit(parsed: ParsedRequest, key: Key, index: Index, route: Route) -> Route:
    """Fit a call to what its tenant allows. Returns the route with only the target that has the earlier answer, if the
    call refers to one; no other model has it either. Raises Refusal (400, 404).

    Args:
        parsed: the call.
        key: whose call it is.
        index: the configuration.
        route: the route of the model.
    """
    storage = parsed.storage
    if not isinstance(storage, Storage):
        return route
    if not may_store(key, index):
        for name, value in (("previous_response_id", storage.previous), ("store", storage.asked)):
            if value:
                raise bad_request(
                    f"`{name}` is not available: {_OFF} Omit it, and send the earlier items with each call.",
                    code="unsupported_parameter",
                    param=name,
                )
        # Servers store an answer unless they are told not to.
        parsed.body.replace("store", False)
        return route
    tenant_id, separation = key.config.tenant_id, index.separation
    if storage.previous:
        opened = separation.open_id(tenant_id, storage.previous)
        fit = route.only(lambda one: opened is not None and one.id == opened[0])
        if opened is None or fit is None:
            raise not_found("previous_response_id")
        parsed.body.replace("previous_response_id", opened[1])
        parsed.secrets = (opened[1],)
        route = Route(msgspec.structs.replace(fit.config, fallbacks=[], degrading=None), fit.groups)
    is_kept = storage.asked is not False
    parsed.body.replace("store", is_kept)
    if is_kept:
        storage.seal = lambda target_id, theirs: separation.seal_id(tenant_id, target_id, theirs)
        if route.config.degrading is not None:
            # A later call with the same model refers to the answer.
            route = Route(msgspec.structs.replace(route.config, degrading=None), route.groups)
    return route


def not_found(param: str) -> Refusal:
    """404 for an answer that is unknown, gone, or another tenant's: all get the same."""
    return Refusal(
        404,
        "response_not_found",
        "This answer does not exist, is not stored any more, or belongs to somebody else. Answers are found only with "
        "keys that may call the model at the target that made them.",
        param=param,
    )


def nothing_stored() -> Refusal:
    """404 where no answer is stored at all."""
    message = f"No answer is stored here: {_OFF} Send the earlier items with each call, and keep its answer."
    return Refusal(404, "response_not_found", message, param="response_id")
