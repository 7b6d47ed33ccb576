"""A chat completion as a message. The completion has the public names already: see `gateway.proxy.names`."""

from typing import Any

from gateway.proxy.dialects.common import Identity, object_in, parse_exactly
from gateway.proxy.usage import Reported, read_usage
from gateway.proxy.whole_answers import dumped

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
# Anthropic's own name for arguments that are no JSON object.
_INVALID = "INVALID_JSON"


def message(content: bytes, identity: Identity) -> bytes:
    """The message's JSON for the first choice of a completion that `read_answer` has accepted."""
    completion = parse_exactly(content)
    choice = completion["choices"][0]
    said = choice.get("message")
    said = said if isinstance(said, dict) else {"content": choice.get("text")}
    blocks = _blocks(said, identity)
    reason, sequence = stop_reason(choice, has_tools=any(block["type"] == "tool_use" for block in blocks))
    return dumped({**beginning(identity), "content": blocks, "stop_reason": reason, "stop_sequence": sequence,
                   "usage": messages_usage(read_usage(completion))})  # fmt: skip


def beginning(identity: Identity) -> dict[str, Any]:
    """A message that has no content yet."""
    return {
        "id": f"msg_{identity.call_id}",
        "type": "message",
        "role": "assistant",
        "model": identity.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": messages_usage(None),
    }


def stop_reason(choice: dict[str, Any], *, has_tools: bool) -> tuple[str, str | None]:
    """Why a message stopped, and the stop sequence if the backend names it (vLLM does).

    Some servers end calls of tools with "stop".
    """
    told = choice.get("finish_reason")
    reason = STOP_REASONS.get(told, "end_turn") if isinstance(told, str) else "end_turn"
    sequence = choice.get("stop_reason")
    if reason == "end_turn" and has_tools:
        return "tool_use", None
    if reason == "end_turn" and isinstance(sequence, str) and sequence and told == "stop":
        return "stop_sequence", sequence
    return reason, None


def messages_usage(reported: Reported | None) -> dict[str, Any]:
    """Anthropic's usage, in which cached tokens are beside the others; zeros for what was not reported."""
    told = reported or Reported()
    cached = told.cache_read + told.cache_write
    prompt, completion = told.prompt or 0, told.completion or 0
    is_beside = told.is_reasoning_beside or told.is_reasoning_at_top or told.reasoning > completion
    # A total with room for it says that reasoning is beside the completion, as xAI counts.
    whole = prompt + completion + told.reasoning + cached * told.is_cache_beside
    if is_beside or (told.reasoning and told.total == whole):
        completion += told.reasoning
    usage: dict[str, Any] = {
        "input_tokens": prompt if told.is_cache_beside else max(prompt - cached, 0),
        "cache_read_input_tokens": told.cache_read,
        "cache_creation_input_tokens": told.cache_write,
        "output_tokens": completion,
    }
    if told.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": told.reasoning}
    return usage


def thoughts_in(place: dict[str, Any]) -> str:
    """The thoughts in a message or a delta; Mistral writes them as parts of the content, others under two names."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(place.get(name), str) and place[name]:
            return str(place[name])
    content = place.get("content")
    if not isinstance(content, list):
        return ""
    thoughts = [part.get("thinking") for part in content if isinstance(part, dict)]
    return "".join(one if isinstance(one, str) else words_in({"content": one}) for one in thoughts)


def words_in(place: dict[str, Any]) -> str:
    """The words in a message or a delta, those of a refusal included."""
    content = place.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        content = "".join(text for text in texts if isinstance(text, str))
    refusal = place.get("refusal")
    return (content if isinstance(content, str) else "") + (refusal if isinstance(refusal, str) else "")


def calls_in(place: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of tools in a message or a delta; the older `function_call` counts as one."""
    calls = place.get("tool_calls")
    found = [one for one in calls if isinstance(one, dict)] if isinstance(calls, list) else []
    older = place.get("function_call")
    if not found and isinstance(older, dict):
        return [{"index": 0, "function": older}]
    return found


def _blocks(said: dict[str, Any], identity: Identity) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if thoughts := thoughts_in(said):
        # Only Anthropic signs thoughts. Blocks without a signature are left out of calls to it.
        blocks.append({"type": "thinking", "thinking": thoughts, "signature": ""})
    if words := words_in(said):
        blocks.append({"type": "text", "text": words})
    for number, call in enumerate(calls_in(said)):
        function = call["function"] if isinstance(call.get("function"), dict) else {}
        blocks.append({
            "type": "tool_use",
            "id": call_name(call, number, identity),
            "name": function["name"] if isinstance(function.get("name"), str) else "",
            "input": _input(function.get("arguments")),
        })  # fmt: skip
    return blocks


def call_name(call: dict[str, Any], number: int, identity: Identity) -> str:
    """The id of a call, or one of ours if the backend gave none."""
    given = call.get("id")
    return given if isinstance(given, str) and given else f"toolu_{identity.call_id}_{number}"


def _input(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    if not isinstance(arguments, str) or not arguments.strip():
        return {}
    built = object_in(arguments)
    return {_INVALID: arguments} if built is None else built
