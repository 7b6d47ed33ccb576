"""The numbers of tokens that a request makes possible."""

from functools import lru_cache

import msgspec

from gateway.proxy.delivered import COMPRESSED_SOUND
from gateway.proxy.usage import LARGEST_COUNT

# Tokens that a backend may add to a prompt: templates, system prompts, documents.
_PROMPT_MARGIN = 65_536
# The part of them that counts as exact.
_TEMPLATE_MARGIN = 8192
# Tokens of one choice, including thoughts, if the model's own maximum is not known.
_LONGEST_OUTPUT = 262_144
# The same for backends that count thoughts only in the total, as Gemini's do.
_LONGEST_UNNAMED = 65_536


class Bounds(msgspec.Struct, frozen=True):
    """The token counts that a request makes possible."""

    # On the high side.
    input_estimate: int
    input_least: int
    input_bytes: int
    # Does not apply if the backend reads more than the request's text.
    input_most: int
    # Numbers above this are inexact.
    input_certain: int
    # The maximum that the client named for all choices; 0: none.
    named_output: int
    hidden_most: int  # reasoning without bytes
    # The part of it that may appear only in the total.
    unnamed_most: int
    output_most: int
    choices: int
    # Whether files, media or the web may add to the prompt.
    may_bring_more: bool
    # Whether the call requested reasoning.
    may_think: bool = False
    is_embedding: bool = False
    characters_of_a_sound_token: int = COMPRESSED_SOUND


def bounds_of(
    four_bytes_each: int,
    upper: int,
    *,
    media: int = 0,
    named_output: int,
    longest_output: int | None,
    choices: int,
    is_embedding: bool,
    may_bring_more: bool,
    may_think: bool = False,
    characters_of_a_sound_token: int = COMPRESSED_SOUND,
) -> Bounds:
    """The bounds of a call's usage.

    Args:
        four_bytes_each, upper: estimates of the prompt, at four bytes a token and on the upper side.
        media: how much of `four_bytes_each` is that of media, of which a small one may have a token.
        named_output: maximum that the client named, for all choices; 0: none.
        longest_output: longest answer of the model; None: unknown.
        choices: number of choices.
        is_embedding: the call requests vectors.
        may_bring_more: the call has media, files or a search.
        may_think: the call requests reasoning.
        characters_of_a_sound_token: base64 characters of sound per token.
    """
    output_most, hidden_most, unnamed_most = _most_output(longest_output, choices)
    size = 4 * four_bytes_each
    input_most = size + _PROMPT_MARGIN
    return Bounds(
        input_estimate=upper or 1,
        input_least=(four_bytes_each - media) // 16 or 1,
        input_bytes=size,
        input_most=input_most if input_most < LARGEST_COUNT else LARGEST_COUNT,
        input_certain=size + _TEMPLATE_MARGIN,
        named_output=named_output,
        hidden_most=min(named_output, LARGEST_COUNT) if named_output else hidden_most,
        unnamed_most=unnamed_most,
        output_most=output_most,
        choices=choices,
        may_bring_more=may_bring_more,
        may_think=may_think,
        is_embedding=is_embedding,
        characters_of_a_sound_token=characters_of_a_sound_token,
    )


@lru_cache(1024)
def _most_output(longest: int | None, choices: int) -> tuple[int, int, int]:
    """The most tokens of so many answers of a model: in all, those without bytes, and those only in the total.

    `longest` is its longest answer; None: unknown.
    """
    most = max(longest or _LONGEST_OUTPUT, _LONGEST_OUTPUT)
    each = (most, longest or _LONGEST_OUTPUT, longest or _LONGEST_UNNAMED)
    output, hidden, unnamed = (min(tokens * choices, LARGEST_COUNT) for tokens in each)
    return output, hidden, unnamed
