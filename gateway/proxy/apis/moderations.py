"""`/v1/moderations`: whether texts and pictures are harmful. Counted in tokens, estimated where none are reported."""

import re
from collections.abc import Mapping

from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.apis.answers import answer_of
from gateway.proxy.apis.counting import checked
from gateway.proxy.apis.reading import begun, tokens_of
from gateway.proxy.body import Body
from gateway.proxy.dialects.common import Identity
from gateway.proxy.errors import bad_request
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.unit_requests import as_units
from gateway.proxy.usage import tier_in
from gateway.proxy.whole_answers import PlainAnswer

# The data of a picture; a text that begins like it has tokens all the same.
_DATA = re.compile(rb'"(?:image_)?url"\s*+:\s*+"data:[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def read(raw: bytes, headers: Mapping[str, str]) -> ParsedRequest:
    """A call to moderate. Raises Refusal (400)."""
    body = Body(raw)
    parsed = begun(body, "moderation")
    given = body.raw_of("input")
    if given is None or given[:1] not in (b'"', b"[") or not given[1:-1].strip():
        raise bad_request("`input` must be a text or a list that is not empty.", param="input")
    items = body.items_of("input") or []
    if any(memoryview(one)[0] not in b'"{' for one in items):
        raise bad_request("`input` must have texts or parts with a type.", param="input")
    pictures = given.count(b'"image_url"')
    # Parts together are one thing to judge, texts are one each.
    texts = sum(memoryview(one)[0] == ord('"') for one in items)
    parsed.inputs = max(1, texts)
    parsed.largest_input = len(given)
    size = len(given) - sum(found.end() - found.start() for found in _DATA.finditer(given) if pictures)
    parsed.own_usage = {"input": tokens_of(size, pictures)}
    parsed.possible_usage = (parsed.own_usage,)
    return parsed


def read_answer(parsed: ParsedRequest, names: Names, content: bytes, identity: Identity) -> PlainAnswer:
    """A whole answer. Raises FailedAnswer for an error, or with fewer results than texts.

    Args:
        parsed: the call.
        names: of the backend.
        content: the answer as it came.
        identity: not used.
    """
    content, whole, told = checked(content, as_units(parsed))
    results = whole.get("results")
    if not isinstance(results, list) or len(results) < parsed.inputs:
        raise FailedAnswer(502, reason="not a result for each text")
    return answer_of(content, told, tier=tier_in(whole))
