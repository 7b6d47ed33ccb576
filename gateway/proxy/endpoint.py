"""What an endpoint is: one declaration of all that the gateway does differently at one path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.contract import ENDPOINTS, Mode, SettingsConfig, Usage
from gateway.proxy.body import Body
from gateway.proxy.client_answers import ClientStream, answer_for, as_chat, stream_for
from gateway.proxy.controls import controls_in, narrowed
from gateway.proxy.delivered import Delivered
from gateway.proxy.dialects.common import Identity
from gateway.proxy.evidence import count_tokens
from gateway.proxy.index import Backend, Index, Key, Route
from gateway.proxy.media import check_media
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.whole_answers import PlainAnswer

Headers = Mapping[str, str]


def fit(parsed: ParsedRequest, headers: Headers, index: Index, route: Route) -> Route:
    """The route with only the backends that can take a call.

    Raises Refusal (400) for a field that may not pass, or that no backend accepts.

    Args:
        parsed: the call.
        headers: of the request; OpenAI's have none that matter here.
        index: the configuration.
        route: those that serve this key and mode.
    """
    return route if parsed.is_ordinary else narrowed(route, checked(parsed.body, index, route))


def fit_with(own_fields: frozenset[str]) -> Callable[[ParsedRequest, Headers, Index, Route], Route]:
    """As `fit`, for an API that has these fields although a chat has not."""

    def fit(parsed: ParsedRequest, _: Headers, index: Index, route: Route) -> Route:
        return narrowed(route, checked(parsed.body, index, route, own_fields))

    return fit


def checked(
    body: Body, index: Index, route: Route, own_fields: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The engine controls in a body. Raises Refusal (400) for a field that may not pass.

    Args:
        body: of the call.
        index: the configuration.
        route: whose backends may get it.
        own_fields: what the call's API has and a chat's has not.
    """
    check_media(body, index.media_hosts)
    return controls_in(body, route.separating_fields, own_fields)


def read_json(parsed: ParsedRequest, names: Names, content: bytes, identity: Identity) -> PlainAnswer:
    """A backend's whole answer, as chat. Raises FailedAnswer if it contains an error, or less than was requested.

    Args:
        parsed: the call.
        names: of the backend that answered.
        content: the answer as it came.
        identity: what a translated answer says about itself.
    """
    return names.read(as_chat(names.backend, content, identity), parsed.mode, parsed.inputs)


def count(parsed: ParsedRequest, route: Route, answer: PlainAnswer | None) -> tuple[Usage, bool]:
    """The usage of a whole answer, and whether it is exact. None: the client left while a backend worked."""
    if answer is None:
        came = Delivered()
        return count_tokens(None, parsed.bounds(route, came.choices), came)
    bounds = parsed.bounds(route, answer.delivered.choices)
    usage, is_exact = count_tokens(answer.reported, bounds, parsed.written(answer.delivered))
    return usage, is_exact and answer.is_certain


def is_streamed(parsed: ParsedRequest, content_type: str) -> bool:
    """Whether an answer of this type is a stream. JSON is an error, or an answer as a whole."""
    return parsed.is_stream and not content_type.startswith("application/json")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path to which clients send calls. Its defaults are those of OpenAI's APIs that take and return JSON.

    `path` is one of the contract's `ENDPOINTS`, which also gives its mode. What is called for each call:

    - `read` reads and checks the body, with the request's headers, and notes what the call may use. Raises Refusal.
    - `permit`, if there is one, applies what the key's tenant allows. Raises Refusal.
    - `fit` says which backends of the route can take it. Raises Refusal.
    - `is_streamed` says by the type of an answer whether it is passed on as it comes; then `stream` makes what does
      that, and counts it. Otherwise a call for a stream has failed, unless `may_answer_whole`.
    - `read_answer` and `count` read a whole answer and its usage; `write_answer` is what the client gets of it.
    """

    path: str
    read: Callable[[bytes, Headers], ParsedRequest]
    fit: Callable[[ParsedRequest, Headers, Index, Route], Route] = fit
    is_streamed: Callable[[ParsedRequest, str], bool] = is_streamed
    stream: Callable[[ParsedRequest, Backend, Names, Identity], ClientStream] = stream_for
    read_answer: Callable[[ParsedRequest, Names, bytes, Identity], PlainAnswer] = read_json
    count: Callable[[ParsedRequest, Route, PlainAnswer | None], tuple[Usage, bool]] = count
    write_answer: Callable[[ParsedRequest, Backend, bytes, PlainAnswer, Names, Identity], bytes] = answer_for
    may_answer_whole: bool = False
    takes_files: bool = False
    permit: Callable[[ParsedRequest, Key, Index, Route], Route] | None = None

    def largest_body(self, settings: SettingsConfig) -> int:
        """The most bytes of a call."""
        return settings.max_upload_bytes if self.takes_files else settings.max_body_bytes

    @property
    def mode(self) -> Mode:
        """The mode in which it calls models."""
        return ENDPOINTS[self.path]
