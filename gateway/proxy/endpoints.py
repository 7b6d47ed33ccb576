"""All endpoints that take calls. To add one, declare it here and name its path in the contract's `ENDPOINTS`.

The rest of the gateway, the console's pages and the refusals that name other paths read these two.
"""

from collections.abc import Mapping

from gateway.contract import ENDPOINTS as PATHS
from gateway.proxy.apis import images, moderations, rerank, speech, transcriptions
from gateway.proxy.apis.answers import count_with, write_answer
from gateway.proxy.completions import OWN_FIELDS, parse_completion
from gateway.proxy.dialects.anthropic_client.parsed import parse_messages
from gateway.proxy.endpoint import Endpoint, fit_with
from gateway.proxy.head import MESSAGES_PATH
from gateway.proxy.messages_calls import fit_messages
from gateway.proxy.parsed_requests import parse_request
from gateway.proxy.responses import parsed as responses
from gateway.proxy.responses.answer import read_response, write_response
from gateway.proxy.responses.storage import permit
from gateway.proxy.responses.stream import stream_responses

RESPONSES_PATH = "/v1/responses"

_DECLARED = (
    Endpoint("/v1/chat/completions", lambda raw, _: parse_request(raw, "chat")),
    Endpoint("/v1/completions", lambda raw, _: parse_completion(raw), fit=fit_with(OWN_FIELDS)),
    Endpoint(
        RESPONSES_PATH,
        lambda raw, _: responses.parse_responses(raw),
        fit=fit_with(responses.OWN_FIELDS),
        stream=stream_responses,
        read_answer=read_response,
        write_answer=write_response,
        permit=permit,
    ),
    Endpoint("/v1/embeddings", lambda raw, _: parse_request(raw, "embedding")),
    Endpoint(MESSAGES_PATH, lambda raw, _: parse_messages(raw), fit=fit_messages),
    Endpoint(
        "/v1/rerank",
        rerank.read,
        read_answer=rerank.read_answer,
        count=count_with(),
        write_answer=write_answer,
    ),
    Endpoint(
        "/v1/moderations",
        moderations.read,
        read_answer=moderations.read_answer,
        count=count_with(),
        write_answer=write_answer,
    ),
    Endpoint(
        "/v1/audio/transcriptions",
        transcriptions.read,
        fit=transcriptions.fit,
        is_streamed=transcriptions.is_streamed,
        stream=transcriptions.stream,
        read_answer=transcriptions.read_answer,
        count=count_with("output"),
        write_answer=write_answer,
        may_answer_whole=True,
        takes_files=True,
    ),
    Endpoint(
        "/v1/audio/speech",
        speech.read,
        fit=fit_with(speech.OWN_FIELDS),
        is_streamed=speech.is_streamed,
        stream=speech.stream,
        read_answer=speech.read_answer,
        count=count_with("audio"),
    ),
    Endpoint(
        "/v1/images/generations",
        images.read,
        fit=fit_with(images.OWN_FIELDS),
        stream=images.stream,
        read_answer=images.read_answer,
        count=count_with("image"),
        write_answer=write_answer,
    ),
)

ENDPOINTS: Mapping[str, Endpoint] = {one.path: one for one in _DECLARED}
assert ENDPOINTS.keys() == PATHS.keys()


def path_of(mode: str) -> str:
    """The path for models of a mode; empty if there is none."""
    return next((path for path, own in PATHS.items() if own == mode), "")
