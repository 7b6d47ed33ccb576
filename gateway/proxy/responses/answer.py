"""A whole answer of the Responses API: complete or not, what of it was delivered, and what it used."""

import functools
from typing import Any

import msgspec

from gateway.proxy.answer_errors import FailedAnswer, error_in
from gateway.proxy.delivered import Delivered
from gateway.proxy.dialects.common import Identity
from gateway.proxy.index import Backend
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.responses.names import ResponseNames
from gateway.proxy.responses.storage import Storage
from gateway.proxy.usage import tier_in
from gateway.proxy.whole_answers import PlainAnswer, as_json, dumped, parse, usage_of, words_in, written

# An answer that ended at a maximum, or at a filter, is complete for its client.
ENDS = ("completed", "incomplete")


class _Answer(msgspec.Struct):
    output: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")


_ANSWER = msgspec.json.Decoder(_Answer)


def read_response(_: ParsedRequest, __: Names, original: bytes, ___: Identity) -> PlainAnswer:
    """Read a whole answer. Raises FailedAnswer if it contains an error, or is not complete.

    Args:
        _, __: the call, and the backend's names.
        original: the answer as it came.
        ___: of the call.
    """
    content = as_json(original)
    try:
        whole = parse(content)
        members = _ANSWER.decode(content)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise FailedAnswer(502, reason=f"no object: {error}") from None
    output = complete(whole)["output"]
    reported = usage_of(content, bytes(members.usage), original)
    delivered = delivered_of(bytes(members.output))
    if reported and max(reported.completion or 0, reported.total or 0) > delivered.bytes:
        delivered.other = max(words_in(output) - delivered.bytes, 0)
    return PlainAnswer(content, reported, delivered, service_tier=tier_in(whole))


def complete(response: Any) -> dict[str, Any]:
    """The response. Raises FailedAnswer unless it has ended, and without an error."""
    if not isinstance(response, dict):
        raise FailedAnswer(502, reason="no object")
    if (failed := error_in(response, is_error=response.get("status") == "failed")) is not None:
        raise failed
    # Some servers leave the status out.
    if response.get("status", "completed") not in ENDS or not isinstance(response.get("output"), list):
        raise FailedAnswer(502, response.get("error"), reason=f"not whole: {response.get('status')}")
    return response


def delivered_of(output: bytes) -> Delivered:
    """What the JSON of output items delivered."""
    delivered = written(output)
    delivered.chunks = output.count(b'"token"')
    return delivered


def write_response(
    parsed: ParsedRequest, backend: Backend, _: bytes, plain: PlainAnswer, names: Names, identity: Identity
) -> bytes:
    """The answer for the client.

    Args:
        parsed: the call.
        backend: who answered.
        _: the answer as it came.
        plain: the answer as it was read.
        names: of the backend.
        identity: of the call.
    """
    return dumped(names_of(parsed, backend, names, identity).in_response(parse(plain.content)))


def names_of(parsed: ParsedRequest, backend: Backend, names: Names, identity: Identity) -> ResponseNames:
    """What names a call's answer. Nobody can fetch an answer that is not stored, so its id is the call's.

    Args:
        parsed: the call.
        backend: who answered.
        names: of the backend.
        identity: of the call.
    """
    storage = parsed.storage
    seal = storage.seal if isinstance(storage, Storage) else None
    return ResponseNames(
        names,
        f"resp_{identity.call_id}",
        functools.partial(seal, backend.id) if seal else None,
        parsed.repeated,
    )
