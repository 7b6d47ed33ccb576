"""What the names of a chat's fields say, and whether its messages are plain texts, as most are.

What such a chat cannot contain need not be searched for in it.
"""

import re
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

import msgspec

from gateway.proxy.body_bounds import LARGE
from gateway.proxy.body_members import MOST_KNOWN_NAMES
from gateway.proxy.controls import are_plain
from gateway.proxy.tokens import NO_PROMPT

# Fields that request reasoning, or work of the backend's own.
_THINKS = re.compile(
    "think|reason|chat_template_kwargs|extra_body|web_search|plugins|search_parameters", re.IGNORECASE
)
NUMBERS = ("max_tokens", "max_completion_tokens", "n")
# Tokens of an answer, and answers to a call.
LARGEST_OUTPUT = 10_000_000
_Number = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_OUTPUT)] | None
_NOTHING = msgspec.Raw()


class _Text(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str | list[_Text] | None = None
    name: str | None = None


class PlainChat(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A chat whose messages are plain texts, with fields that bring no media, files or tools, and ask for no other form
    of answer than text.

    Each member must have a known name and the type of its value each time it appears, so nothing can hide in it.
    """

    model: str
    messages: list[_Message]
    max_tokens: _Number = None
    max_completion_tokens: _Number = None
    n: _Number = None
    stream: bool | None = None
    # What the gateway does not read.
    stream_options: msgspec.Raw = _NOTHING
    temperature: msgspec.Raw = _NOTHING
    top_p: msgspec.Raw = _NOTHING
    top_k: msgspec.Raw = _NOTHING
    min_p: msgspec.Raw = _NOTHING
    stop: msgspec.Raw = _NOTHING
    seed: msgspec.Raw = _NOTHING
    user: msgspec.Raw = _NOTHING
    presence_penalty: msgspec.Raw = _NOTHING
    frequency_penalty: msgspec.Raw = _NOTHING
    repetition_penalty: msgspec.Raw = _NOTHING
    logit_bias: msgspec.Raw = _NOTHING
    logprobs: msgspec.Raw = _NOTHING
    top_logprobs: msgspec.Raw = _NOTHING
    response_format: msgspec.Raw = _NOTHING
    reasoning_effort: msgspec.Raw = _NOTHING
    verbosity: msgspec.Raw = _NOTHING
    safety_identifier: msgspec.Raw = _NOTHING
    prompt_cache_key: msgspec.Raw = _NOTHING


_CHAT = msgspec.json.Decoder(PlainChat)
_FIELDS = frozenset(PlainChat.__struct_fields__)


class Fields(NamedTuple):
    """What the names of a chat's fields say."""

    # Each is there once, and is one of a plain chat's.
    are_plain: bool
    # Besides, none of them can steer an engine, or be refused for what is in it.
    are_ordinary: bool
    # One of them requests reasoning.
    may_think: bool
    # Those that may be part of the prompt.
    prompt: tuple[str, ...]


@lru_cache(4096)
def asks_to_think(name: str) -> bool:
    """Whether a field of this name requests reasoning, or work of the backend's own."""
    return _THINKS.search(name) is not None


def fields_of(names: tuple[str, ...]) -> Fields:
    """What these names say. Clients send the same few names in call after call, so it is remembered for most."""
    return _known_fields(names) if len(names) <= MOST_KNOWN_NAMES else _fields(names)


def _fields(names: tuple[str, ...]) -> Fields:
    is_plain = _FIELDS.issuperset(names) and len(set(names)) == len(names)
    return Fields(
        is_plain,
        is_plain and are_plain(names),
        any(map(asks_to_think, names)),
        ("messages", *(name for name in dict.fromkeys(names) if name not in NO_PROMPT)),
    )


_known_fields = lru_cache(1024)(_fields)


def plain_chat(raw: bytes) -> PlainChat | None:
    """A body that `Body` has found valid, if it is a plain chat and not large; None says nothing."""
    if len(raw) > LARGE:
        return None
    try:
        return _CHAT.decode(raw)
    except msgspec.MsgspecError:
        return None
