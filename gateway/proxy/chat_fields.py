"""What the names of a chat's fields say, and whether its messages are plain texts, as most are.

What such a chat cannot contain need not be searched for in it.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from gateway.proxy.body_bounds import LARGE
from gateway.proxy.body_members import MOST_KNOWN_NAMES
from gateway.proxy.controls import are_plain
from gateway.proxy.tokens import NO_PROMPT

# Fields that bring no media, files or tools, and ask for no other form of answer than text.
_PLAIN = """
model messages max_tokens max_completion_tokens n stream stream_options temperature top_p top_k min_p stop seed user
presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs response_format reasoning_effort
verbosity safety_identifier prompt_cache_key
"""
_FIELDS = frozenset(_PLAIN.split())
# Fields that request reasoning, or work of the backend's own.
_THINKS = re.compile(
    "think|reason|chat_template_kwargs|extra_body|web_search|plugins|search_parameters", re.IGNORECASE
)
NUMBERS = ("max_tokens", "max_completion_tokens", "n")


class Fields(NamedTuple):
    """What the names of a chat's fields say."""

    # Each is there once, under its own name, and none but `messages` can bring more than the text of a call.
    are_plain: bool
    # Besides, none of them can steer an engine, or be refused for what is in it.
    are_ordinary: bool
    # One of them requests reasoning.
    may_think: bool
    may_stream: bool
    # Those of `NUMBERS` that are there.
    numbers: tuple[str, ...]
    # Those that may be part of the prompt, besides the messages.
    beside: tuple[str, ...]


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
        "stream" in names,
        tuple(name for name in NUMBERS if name in names),
        tuple(name for name in dict.fromkeys(names) if name not in NO_PROMPT),
    )


_known_fields = lru_cache(1024)(_fields)


class _Text(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str | list[_Text] | None = None
    name: str | None = None


_MESSAGES = msgspec.json.Decoder(list[_Message])


def count_texts(messages: bytes) -> int:
    """The number of messages, if each is one of plain texts. 0 if any may be more than that, or if they are many bytes.

    Each member must have a known name and the type of a text each time it appears, so nothing can hide in it.
    """
    if len(messages) > LARGE:
        return 0
    try:
        return len(_MESSAGES.decode(messages))
    except msgspec.MsgspecError:
        return 0
