"""Estimate the tokens of a prompt.

An estimate counts every four bytes of the prompt's JSON as a token, as in English, 4 tokens per message, and
1,000 per image, sound or file instead of its bytes. The gateway uses it to reserve before a call, and to bill
a call whose backend reports no usage.
"""

import re

from gateway.contract import Mode
from gateway.proxy.body import Body

_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_OTHER_PART = 1000
# Quotation marks inside a JSON text are escaped, so these match only real members.
_DATA_NAME = re.compile(rb'"(?:image_url|input_audio|file)"')
_DATA_PART = re.compile(
    rb'"(?:image_url|input_audio|file)"\s*:\s*'
    rb'(?:\{(?:[^{}"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\}|"[^"\\]*+(?:\\.[^"\\]*+)*+")',
    re.DOTALL,
)
# Fields that no backend adds to the prompt. All others may be part of it: tools, functions, documents.
NO_PROMPT = frozenset((
    "messages", "model", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options", "stop", "user",
    "metadata", "temperature", "top_p", "seed", "reasoning_effort", "service_tier", "safety_identifier",
))  # fmt: skip


def with_margin(estimate: int) -> int:
    """The tokens to reserve for an estimated prompt: a third more, since code and other scripts have more tokens."""
    return -(-estimate * 4 // 3)


def estimate_prompt(body: Body, mode: Mode) -> int:
    """The approximate number of tokens in the prompt of a chat call, or in the input of an embedding call."""
    return estimate_with_media(body, mode)[0]


def estimate_with_media(body: Body, mode: Mode) -> tuple[int, int]:
    """As `estimate_prompt`, and how many of these tokens are those of media: a small picture may have only a few.

    It counts the bytes of the JSON, including names and punctuation, without parsing it.
    """
    if mode == "embedding":
        return estimate_input(body.raw_of("input") or b""), 0
    messages = body.raw_of("messages") or b""
    data_parts = data_bytes = 0
    has_parts = _DATA_NAME.search(body.outline) is not None
    for part in _DATA_PART.finditer(messages) if has_parts else ():
        data_parts += 1
        data_bytes += part.end() - part.start()
    beside = sum(body.size_of(name) for name in set(body.names()) if name not in NO_PROMPT)
    texts = estimate_texts(len(messages) - data_bytes + beside, body.count_of("messages"))
    media = _TOKENS_PER_OTHER_PART * data_parts
    return texts + media, media


def estimate_texts(size: int, messages: int) -> int:
    """As `estimate_prompt`, for a chat of plain texts.

    `size` is that of its messages, and of other fields that may be part of the prompt, in bytes of JSON.
    """
    return estimate_text(size) + _TOKENS_PER_MESSAGE * messages


def estimate_input(given: bytes) -> int:
    """The approximate number of tokens in the JSON of a text or of token ids, or of a list of either."""
    if given.find(b'"') < 0:
        return given.count(b",") + 1
    # A token id may have only two bytes.
    return estimate_text(len(given) + 2 * given.count(b","))


def estimate_text(size: int) -> int:
    """The approximate number of tokens in `size` bytes of text."""
    return -(-size // _BYTES_PER_TOKEN)
