"""Thoughts: from `reasoning_effort` to Anthropic's settings, and signed thoughts there and back.

Anthropic signs thoughts, and wants them back unchanged while a model uses tools. Clients of OpenAI's dialect get the
words as `reasoning_content`, and beside them `thinking_blocks`, a list of
`{"index", "type": "thinking", "characters", "signature"}` and
`{"index", "type": "redacted_thinking", "encrypted_content"}`. `characters` says how much of `reasoning_content` a
signature covers, so no word is sent, or counted, twice. A client that sends both back as they came keeps the thoughts.
"""

import re
from typing import Any, Final, Literal

from gateway.proxy.dialects.common import malformed, untranslatable

ThinkingForm = Literal["adaptive", "budget"]

# Tokens, where a model takes only a budget. The first and the third are Google's for the same words.
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 63_488,
}
_EFFORTS: Final = {
    "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"
}  # fmt: skip
_LEAST_BUDGET: Final = 1024
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
# The first version that decides by itself how long to think.
_FIRST_ADAPTIVE: Final = (4, 6)


def thinking_form(model: str) -> ThinkingForm:
    """How a model is told to think, by its version. A name without a version counts as new."""
    found = _VERSION.search(model)
    if found is None:
        return "adaptive"
    return "budget" if (int(found[1]), int(found[2] or 0)) < _FIRST_ADAPTIVE else "adaptive"


def settings_for(
    effort: Any, form: ThinkingForm, max_tokens: int
) -> tuple[dict[str, Any] | None, str | None]:
    """Anthropic's `thinking` and `effort` for a `reasoning_effort`.

    Raises Refusal (400) for an unknown effort, and if `max_tokens` leaves no room to think.
    """
    if effort == "none":
        return (None if form == "budget" else {"type": "disabled"}), None
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise malformed("reasoning_effort", "be none, minimal, low, medium, high, xhigh or max")
    if form == "adaptive":
        # Newer models hide their thoughts unless asked.
        return {"type": "adaptive", "display": "summarized"}, _EFFORTS[effort]
    if max_tokens < 2 * _LEAST_BUDGET:
        raise untranslatable(
            "reasoning_effort",
            f"needs at least {2 * _LEAST_BUDGET:,} `max_completion_tokens` for this model: its thoughts are counted "
            "in it, and have at least half of that.",
        )
    # At least half is left for the answer.
    return {"type": "enabled", "budget_tokens": min(_BUDGETS[effort], max_tokens // 2)}, None


def signed_thoughts(message: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """Anthropic's blocks for the thoughts of an earlier answer. Unsigned thoughts are left out.

    `path` names the message in a Refusal (400): for thoughts that do not fit together.
    """
    blocks = message.get("thinking_blocks")
    if blocks is None:
        return []
    if not isinstance(blocks, list) or not all(isinstance(one, dict) for one in blocks):
        raise malformed(f"{path}.thinking_blocks", "be a list of objects")
    words = message.get("reasoning_content")
    words = words if isinstance(words, str) else ""
    found, at = [], 0
    for number, block in enumerate(blocks):
        where = f"{path}.thinking_blocks[{number}]"
        if block.get("type") == "redacted_thinking":
            data = block.get("encrypted_content", block.get("data"))
            if not isinstance(data, str):
                raise malformed(f"{where}.encrypted_content", "be a text")
            found.append({"type": "redacted_thinking", "data": data})
            continue
        text = block.get("thinking")
        if text is None:
            size = block.get("characters")
            if type(size) is not int or not 0 <= size <= len(words) - at:
                raise malformed(
                    f"{path}.thinking_blocks",
                    "come with its `reasoning_content`, both as the model sent them",
                )
            text, at = words[at : at + size], at + size
        signature = block.get("signature")
        if not isinstance(text, str) or not isinstance(signature, str | None):
            raise malformed(where, "have a text and a signature")
        if signature:
            found.append({"type": "thinking", "thinking": text, "signature": signature})
    return found


def thinking_block(index: int, characters: int, signature: str) -> dict[str, Any]:
    """What a client gets for a signed thought, beside its words."""
    return {"index": index, "type": "thinking", "characters": characters, "signature": signature}


def redacted_block(index: int, data: str) -> dict[str, Any]:
    """What a client gets for a thought that only Anthropic can read."""
    return {"index": index, "type": "redacted_thinking", "encrypted_content": data}
