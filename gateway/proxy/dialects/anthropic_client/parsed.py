"""The few fields of a Messages call that the gateway itself must understand, as of a chat call."""

import re

from gateway.proxy.body import Body
from gateway.proxy.dialects.anthropic_client.relay import LARGEST_OUTPUT, check_stream
from gateway.proxy.dialects.common import malformed
from gateway.proxy.errors import bad_request
from gateway.proxy.media import hides_letters
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.tokens import estimate_with_media

# A file in base64. The words of a document have spaces.
_FILE = re.compile(rb'"data"\s*:\s*"[A-Za-z0-9+/=_-]{64,}+"')
_BYTES_PER_TOKEN = 4
_TOKENS_PER_FILE = 1000
# They make a backend read more than the text of the call.
_BRINGS_MORE = (b'"image"', b'"document"', b"_search_", b'"web_')


def parse_messages(raw: bytes) -> ParsedRequest:
    """Read a Messages call's body: its model, its size, its maximum. Every backend's translation reads the rest.

    The usage is always shown. Raises Refusal (400) naming the field that is missing or wrong.
    """
    body = Body(raw)
    model = body.simple("model")
    if not isinstance(model, str) or not model:
        raise bad_request("Name a model: `model` must be a text, as GET /v1/models lists it.", param="model")
    messages = body.items_of("messages")
    if not messages or not all(memoryview(one)[0] == ord("{") for one in messages):
        raise malformed("messages", "be a list with at least one message")
    most = body.simple("max_tokens")
    # With 0, Anthropic only fills its cache.
    if type(most) is not int or not 0 <= most <= LARGEST_OUTPUT:
        raise malformed("max_tokens", f"be a whole number from 0 to {LARGEST_OUTPUT:,}")
    is_stream = check_stream(body)
    tokens, media = estimate_messages(body)
    return ParsedRequest(
        model,
        "chat",
        body,
        is_stream=is_stream,
        wants_usage=True,
        is_messages=True,
        input_estimate=tokens,
        media_estimate=media,
        may_bring_more=any(name in body.outline for name in _BRINGS_MORE) or hides_letters(body.outline),
        may_think=body.raw_of("thinking") is not None or body.raw_of("output_config") is not None,
        named_output=most,
    )


def estimate_messages(body: Body) -> tuple[int, int]:
    """The approximate number of tokens in the prompt, as `gateway.proxy.tokens` estimates a chat's: 1,000 for each
    file in base64 instead of its bytes; and how many of them are those of files.
    """
    files = [found.end() - found.start() for found in _FILE.finditer(body.raw_of("messages") or b"")]
    tokens, others = estimate_with_media(body, "chat")
    media = _TOKENS_PER_FILE * len(files)
    return tokens - sum(files) // _BYTES_PER_TOKEN + media, others + media
