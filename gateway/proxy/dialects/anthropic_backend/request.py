"""A chat call as a Messages call."""

from dataclasses import dataclass
from typing import Any

from gateway.proxy.dialects.anthropic_backend.content import cache_mark, system_and_turns
from gateway.proxy.dialects.anthropic_backend.fields import IDLE, OMITTED
from gateway.proxy.dialects.anthropic_backend.thinking import ThinkingForm, settings_for, thinking_form
from gateway.proxy.dialects.common import call_in, check_idle, malformed, untranslatable
from gateway.proxy.whole_answers import dumped

# Tokens, if neither the client nor the catalog says how long an answer may be. The Messages API wants a number, and
# a chat without one means the model's own maximum: each model that Anthropic still serves allows this much.
LONGEST_ANSWER = 32_000
_READ = frozenset((
    "model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream", "temperature", "top_p", "top_k",
    "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "thinking", "user",
    "safety_identifier", "service_tier", "cache_control",
))  # fmt: skip
_TIERS = {"auto": "auto", "default": "standard_only"}


@dataclass(frozen=True, slots=True)
class MessagesModel:
    """The model that a translated call is for."""

    # The backend's own name of it.
    name: str
    # Tokens, from the catalog.
    longest_answer: int | None = None
    # How it is told to think; None: as its name says.
    thinking: ThinkingForm | None = None

    @property
    def thinking_form(self) -> ThinkingForm:
        return self.thinking or thinking_form(self.name)


def messages_request(raw: bytes, model: MessagesModel) -> bytes:
    """A chat call's JSON as a Messages call's.

    Raises Refusal (400) naming the part that has no equal there, or that is wrong. Safe to repeat.
    """
    return dumped(translate_call(call_in(raw), model))


def translate_call(call: dict[str, Any], model: MessagesModel) -> dict[str, Any]:
    """As `messages_request`, for JSON that is already parsed and has no repeated names."""
    call = {name: value for name, value in call.items() if value is not None}
    for name in call:
        if name in IDLE:
            check_idle(call, name, IDLE[name])
        elif name not in _READ and name not in OMITTED:
            raise untranslatable(name, "is not available for this model. Omit it, or choose another model.")
    system, turns = system_and_turns(call.get("messages"))
    max_tokens = _max_tokens(call, model)
    translated: dict[str, Any] = {"model": model.name, "max_tokens": max_tokens, "messages": turns}
    if system:
        translated["system"] = system
    if call.get("stream"):
        translated["stream"] = True
    translated |= _sampling(call)
    translated |= _thinking(call, model.thinking_form, max_tokens, turns)
    _add_format(translated, call.get("response_format"))
    translated |= _tools(call)
    if stop := _stop(call.get("stop")):
        translated["stop_sequences"] = stop
    # Both name the user; the gateway has made them unique to the tenant.
    user = call.get("safety_identifier", call.get("user"))
    if isinstance(user, str) and user:
        translated["metadata"] = {"user_id": user}
    if "service_tier" in call:
        tier = call["service_tier"]
        if not isinstance(tier, str) or tier not in _TIERS:
            raise untranslatable("service_tier", "may be auto or default for this model.")
        translated["service_tier"] = _TIERS[tier]
    if mark := cache_mark(call, "body"):
        translated["cache_control"] = mark
    return translated


def _max_tokens(call: dict[str, Any], model: MessagesModel) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        number = call.get(name)
        if number is not None:
            if type(number) is not int or number < 1:
                raise malformed(name, "be a whole number above 0")
            return number
    return model.longest_answer or LONGEST_ANSWER


def _sampling(call: dict[str, Any]) -> dict[str, Any]:
    """The sampling parameters. The default of both APIs is left out: newer models take no such parameter at all."""
    kept: dict[str, Any] = {}
    for name in ("temperature", "top_p"):
        number = call.get(name)
        if number is None or (number == 1 and type(number) is not bool):
            continue
        if type(number) not in (int, float) or not 0 <= number <= 1:
            raise untranslatable(name, "must be between 0 and 1 for this model.")
        kept[name] = number
    top_k = call.get("top_k")
    if top_k is not None:
        if type(top_k) is not int:
            raise malformed("top_k", "be a whole number")
        # Engines write 0 and -1 for "off".
        if top_k > 0:
            kept["top_k"] = top_k
    return kept


def _thinking(
    call: dict[str, Any], form: ThinkingForm, max_tokens: int, turns: list[dict[str, Any]]
) -> dict[str, Any]:
    own, effort = call.get("thinking"), call.get("reasoning_effort")
    if own is not None:
        if not isinstance(own, dict) or not isinstance(own.get("type"), str):
            raise malformed("thinking", "be an object with a `type`")
        if effort is not None:
            raise malformed("thinking", "not come together with `reasoning_effort`. Send one of them")
        return {"thinking": own}
    if effort is None:
        return {}
    settings, level = settings_for(effort, form, max_tokens)
    # Such models go on in a loop of tools only with the thoughts that began it, which this client does not send.
    if settings and settings["type"] == "enabled" and _is_in_loop_without_thoughts(turns):
        settings = None
    kept: dict[str, Any] = {"thinking": settings} if settings else {}
    if level:
        kept["output_config"] = {"effort": level}
    return kept


def _is_in_loop_without_thoughts(turns: list[dict[str, Any]]) -> bool:
    if len(turns) < 2 or turns[-1]["content"][0]["type"] != "tool_result":
        return False
    return turns[-2]["content"][0]["type"] not in ("thinking", "redacted_thinking")


def _add_format(translated: dict[str, Any], wanted: Any) -> None:
    if wanted is None or wanted == {"type": "text"}:
        return
    described = wanted.get("json_schema") if isinstance(wanted, dict) else None
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        raise untranslatable(
            "response_format", "must be a `json_schema` with a schema for this model, not a free JSON object."
        )
    output_format = {"type": "json_schema", "schema": schema}
    translated["output_config"] = {**translated.get("output_config", {}), "format": output_format}


def _tools(call: dict[str, Any]) -> dict[str, Any]:
    tools = call.get("tools") or []
    if not isinstance(tools, list):
        raise malformed("tools", "be a list")
    chosen = call.get("tool_choice", "auto")
    if not tools:
        if chosen not in ("auto", "none"):
            raise malformed("tool_choice", "come with `tools`")
        return {}
    translated = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    choice, allowed = _tool_choice(chosen)
    if allowed is not None:
        translated = [tool for tool in translated if tool["name"] in allowed]
    if call.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    kept: dict[str, Any] = {"tools": translated}
    if choice != {"type": "auto"}:
        kept["tool_choice"] = choice
    return kept


def _tool(tool: Any, path: str) -> dict[str, Any]:
    function = (
        tool.get("function")
        if isinstance(tool, dict) and tool.get("type", "function") == "function"
        else None
    )
    if not isinstance(function, dict):
        raise untranslatable(f"{path}.type", "must be function for this model.")
    if not isinstance(function.get("name"), str):
        raise malformed(f"{path}.function.name", "be a text")
    translated = {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if isinstance(function.get("description"), str):
        translated["description"] = function["description"]
    if function.get("strict"):
        translated["strict"] = True
    if mark := cache_mark(tool, path):
        translated["cache_control"] = mark
    return translated


def _tool_choice(chosen: Any) -> tuple[dict[str, Any], list[Any] | None]:
    """Anthropic's choice, and the names of the tools that are left; None: all."""
    if isinstance(chosen, str) and chosen in _CHOICES:
        return {"type": _CHOICES[chosen]}, None
    kind = chosen.get("type") if isinstance(chosen, dict) else None
    if kind == "function" and isinstance(chosen.get("function"), dict):
        return {"type": "tool", "name": chosen["function"].get("name")}, None
    allowed = chosen.get("allowed_tools") if kind == "allowed_tools" else None
    if isinstance(allowed, dict) and allowed.get("mode") in ("auto", "required"):
        tools = allowed.get("tools")
        named = (
            [one.get("function") for one in tools if isinstance(one, dict)] if isinstance(tools, list) else []
        )
        names = [one.get("name") for one in named if isinstance(one, dict)]
        return {"type": _CHOICES[allowed["mode"]]}, names
    raise untranslatable(
        "tool_choice", "must be none, auto, required, a function or allowed_tools for this model."
    )


_CHOICES = {"none": "none", "auto": "auto", "required": "any"}


def _stop(stop: Any) -> list[str]:
    sequences = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(sequences, list) or not all(isinstance(one, str) for one in sequences):
        raise malformed("stop", "be a text or a list of texts")
    if not all(one.strip() for one in sequences):
        raise untranslatable("stop", "must have more than white space in each text for this model.")
    return sequences
