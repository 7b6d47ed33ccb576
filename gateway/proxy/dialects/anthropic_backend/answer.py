"""A whole answer of a Messages backend as a chat completion."""

from typing import Any

from gateway.proxy.dialects.anthropic_backend.errors import chat_error
from gateway.proxy.dialects.anthropic_backend.thinking import redacted_block, thinking_block
from gateway.proxy.dialects.anthropic_backend.usage import AnthropicUsage
from gateway.proxy.dialects.common import Identity, parse_exactly
from gateway.proxy.whole_answers import as_json, dumped

# Why an answer ended. `pause_turn` and a full context window leave it incomplete, which OpenAI calls "length".
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "refusal": "content_filter",
}
_TIERS = {"standard": "default", "priority": "priority", "batch": "flex"}


def finish_reason(stop_reason: Any) -> str | None:
    """OpenAI's word for why an answer ended; None if it did not. A reason that is not known counts as an end."""
    return FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else None


def chat_completion(original: bytes, identity: Identity) -> bytes:
    """The answer as a chat completion's JSON. What is no answer stays as it is, for `read_answer` to judge; an error
    becomes OpenAI's.
    """
    try:
        message = parse_exactly(as_json(original))
    except ValueError:
        return original
    if isinstance(message, dict) and (message.get("type") == "error" or "error" in message):
        return dumped(chat_error(message))
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return original
    return dumped(_completion(message, identity))


def _completion(message: dict[str, Any], identity: Identity) -> dict[str, Any]:
    usage = AnthropicUsage()
    usage.note(message.get("usage"))
    said = _said([block for block in message["content"] if isinstance(block, dict)])
    completion: dict[str, Any] = {
        "id": f"chatcmpl-{identity.call_id}",
        "object": "chat.completion",
        "created": identity.created,
        "model": identity.model,
        "choices": [
            {
                "index": 0,
                "message": said,
                "logprobs": None,
                "finish_reason": finish_reason(message.get("stop_reason")),
            }
        ],
    }
    if usage.is_told:
        completion["usage"] = usage.for_chat()
        tier = message["usage"].get("service_tier")
        if isinstance(tier, str) and tier in _TIERS:
            completion["service_tier"] = _TIERS[tier]
    return completion


def _said(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's message. Blocks of servers' own tools have no equal; calls cannot ask for them."""
    texts = [block["text"] for block in blocks if _has(block, "text", "text")]
    thoughts = [block["thinking"] for block in blocks if _has(block, "thinking", "thinking")]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": None,
    }
    if thoughts and any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    signed: list[dict[str, Any]] = []
    for block in blocks:
        if _has(block, "thinking", "thinking"):
            signature = block.get("signature")
            # Unsigned words are of no use later, but those of the next block come after them.
            signed.append(
                thinking_block(
                    len(signed), len(block["thinking"]), signature if isinstance(signature, str) else ""
                )
            )
        elif _has(block, "redacted_thinking", "data"):
            signed.append(redacted_block(len(signed), block["data"]))
    if signed:
        message["thinking_blocks"] = signed
    tools = [block for block in blocks if block.get("type") == "tool_use"]
    if tools:
        message["tool_calls"] = [
            {
                "id": tool.get("id"),
                "type": "function",
                "function": {"name": tool.get("name"), "arguments": dumped(tool.get("input") or {}).decode()},
            }
            for tool in tools
        ]
    return message


def _has(block: dict[str, Any], kind: str, member: str) -> bool:
    return block.get("type") == kind and isinstance(block.get(member), str)
