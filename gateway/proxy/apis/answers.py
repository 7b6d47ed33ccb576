"""How whole answers that are no chats are counted and written."""

from collections.abc import Callable

from gateway.contract import Usage
from gateway.proxy.apis.counting import Told, counted
from gateway.proxy.apis.events import WORDS
from gateway.proxy.delivered import Delivered
from gateway.proxy.dialects.common import Identity
from gateway.proxy.index import Backend, Route
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.unit_requests import as_units
from gateway.proxy.whole_answers import PlainAnswer

JSON = "application/json"


def answer_of(
    content: bytes,
    told: Told,
    delivered: Delivered | None = None,
    content_type: str = JSON,
    *,
    tier: str | None = None,
) -> PlainAnswer:
    """A whole answer as the gateway keeps it.

    Args:
        content: what the client gets, under the backend's names.
        told: what it says of usage.
        delivered: what of it is an answer; None: nothing that has tokens.
        content_type: of `content`.
        tier: the service tier that it names.
    """
    return PlainAnswer(
        content,
        told.tokens,
        delivered or Delivered(),
        is_certain=told.is_clear,
        service_tier=tier,
        units=told.units,
        content_type=content_type,
    )


def count_with(output: str = "") -> Callable[[ParsedRequest, Route, PlainAnswer | None], tuple[Usage, bool]]:
    """What counts a whole answer, whose tokens are of the kind `output`; empty: it has none."""

    def count(parsed: ParsedRequest, route: Route, answer: PlainAnswer | None) -> tuple[Usage, bool]:
        if answer is None:
            # The backend worked, and its report never came.
            return as_units(parsed).own_usage, as_units(parsed).is_own_usage_exact
        told = Told(answer.units, answer.reported, answer.is_certain)
        return counted(as_units(parsed), told, answer.delivered, output)

    return count


def write_answer(
    parsed: ParsedRequest,
    backend: Backend,
    original: bytes,
    plain: PlainAnswer,
    names: Names,
    identity: Identity,
) -> bytes:
    """A whole answer for the client: under the public name of the model, without private members.

    Args:
        parsed: the call.
        backend: who answered.
        original: the answer as it came.
        plain: the answer as it was read.
        names: removes the backend's names.
        identity: not used.
    """
    return names.in_answer(plain.content, WORDS) if plain.content_type == JSON else plain.content
