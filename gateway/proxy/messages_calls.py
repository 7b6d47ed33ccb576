"""Calls of the Messages API: which backends can take one, and what each of them gets."""

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.providers.dialects import DIALECTS
from gateway.proxy.body import Body
from gateway.proxy.controls import controls_in, narrowed, put_apart
from gateway.proxy.dialects.anthropic_client.relay import check_call, passed_call, passed_headers, user_of
from gateway.proxy.dialects.anthropic_client.request import ChatModel, chat_request
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.index import Index, Route
from gateway.proxy.media import check_media
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.separation import Apart, Separation

# Of the user's name, in bytes.
_LONGEST_NAME = 1024
_OWN = DIALECTS["openai_compatible"]


@dataclass(slots=True)
class Relayed:
    """A Messages call as a Messages backend gets it: the client's own bytes and headers, where they mean something."""

    body: Body
    headers: Mapping[str, str]

    def payload(self, upstream_model: str) -> bytes:
        """The call for a backend with this name of the model. Safe to repeat."""
        return passed_call(self.body, upstream_model, None)


def fit_messages(parsed: ParsedRequest, headers: Mapping[str, str], index: Index, route: Route) -> Route:
    """Check and translate a Messages call. Returns the route with only the backends that can take it.

    Afterwards `body` is the chat call for backends of OpenAI's dialect, if there are any, and `relayed` what Messages
    backends get. Safe to repeat for another model.

    Raises Refusal (400) naming what none of the backends can take.

    Args:
        parsed: the call as `parse_messages` read it.
        headers: the client's headers.
        index: the configuration.
        route: the route of the model.
    """
    original = parsed.untranslated or parsed.body
    parsed.body, parsed.untranslated, parsed.relayed = original, original, None
    chats = route.only(lambda one: not one.is_translated)
    relays = route.only(lambda one: one.is_translated)
    problem: Refusal | None = None
    if chats is not None:
        try:
            chat = Body(chat_request(original.raw, _chat_model(parsed.model, chats)))
            check_media(chat, index.media_hosts)
            chats = narrowed(chats, controls_in(chat, route.separating_fields))
            parsed.body = chat
        except Refusal as refusal:
            chats, problem = None, refusal
    if relays is not None:
        try:
            check_call(original)
            check_media(original, index.media_hosts, is_messages=True)
            _check_user(original)
            version, betas = headers.get("anthropic-version"), headers.get("anthropic-beta")
            parsed.relayed = Relayed(original, passed_headers(version, betas))
        except Refusal as refusal:
            relays, problem = None, problem or refusal
    takers = {
        id(one) for some in (chats, relays) if some is not None for group in some.groups for one in group
    }
    fit = route.only(lambda one: id(one) in takers)
    if fit is None:
        assert problem is not None
        raise problem
    return fit


def put_call_apart(parsed: ParsedRequest, separation: Separation, tenant_id: str) -> Apart:
    """As `put_apart`, for every form in which a call is sent."""
    apart = put_apart(parsed.body, separation, tenant_id)
    if parsed.relayed is None or not (user := user_of(parsed.relayed.body)):
        return apart
    own = separation.name_of(tenant_id, "user", user)
    parsed.relayed.body.replace("metadata", {"user_id": own})
    return Apart(apart.salt, (*apart.names, own))


def _chat_model(model: str, route: Route) -> ChatModel:
    """A call is translated once for all backends, so only the facts that all of them share count. The rest is fitted
    for each: see `gateway.proxy.outgoing`.
    """
    dialects = [one.dialect or _OWN for group in route.groups for one in group]
    same = all(one == dialects[0] for one in dialects)
    return ChatModel(model, dialects[0] if same else _OWN)


def _check_user(body: Body) -> None:
    user = user_of(body)
    if user is not None and len(user.encode("utf-8", "surrogatepass")) > _LONGEST_NAME:
        raise bad_request(
            f"`metadata.user_id` must have at most {_LONGEST_NAME:,} bytes.", param="metadata.user_id"
        )
    settings = body.get("metadata") or {}
    for name in settings:
        if name != "user_id":
            raise bad_request(
                f"`metadata.{name[:60]}` is not available here. Omit it.",
                code="unsupported_parameter",
                param=f"metadata.{name[:60]}",
            )
