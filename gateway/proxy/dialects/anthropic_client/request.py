"""A Messages call as a chat call, and the size of one."""

from dataclasses import dataclass
from typing import Any

from deployments.providers.dialects import DIALECTS, Dialect
from gateway.proxy.body import Body
from gateway.proxy.dialects.anthropic_client.content import chat_messages
from gateway.proxy.dialects.anthropic_client.fields import IDLE, OMITTED, READ
from gateway.proxy.dialects.common import call_in, check_idle, malformed, untranslatable
from gateway.proxy.dialects.surfaces import fitted, must_ask_for_usage
from gateway.proxy.tokens import estimate_prompt, with_margin
from gateway.proxy.whole_answers import dumped

_CHOICES = {"none": "none", "auto": "auto", "any": "required"}
_TIERS = {"auto": None, "standard_only": "default"}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
# The budgets, in tokens, below which an effort is low, or medium.
_LOW, _MEDIUM = 4096, 16_384


@dataclass(frozen=True, slots=True)
class ChatModel:
    """The model that a translated call is for."""

    # The backend's own name of it.
    name: str
    dialect: Dialect = DIALECTS["openai_compatible"]
    # It takes `reasoning_effort`. Other models think, or do not, by themselves.
    takes_effort: bool = False
    # It wants the words of its earlier thoughts back.
    keeps_thoughts: bool = False


def chat_request(raw: bytes, model: ChatModel) -> bytes:
    """A Messages call's JSON as a chat call's, which asks for usage if it is streamed.

    Raises Refusal (400) naming the part that has no equal there, or that is wrong. Safe to repeat.
    """
    return dumped(translate_call(call_in(raw), model))


def count_tokens(raw: bytes, model: ChatModel) -> int:
    """The estimated tokens of a prompt, on the high side: such backends count only what they answer.

    Raises Refusal (400) as `chat_request`; `max_tokens` may be missing.
    """
    chat = translate_call({"max_tokens": 1, **call_in(raw)}, model)
    return with_margin(estimate_prompt(Body(dumped(chat)), "chat"))


def count_answer(tokens: int) -> bytes:
    """What Anthropic's clients get for a question about the size of a prompt."""
    return dumped({"input_tokens": tokens})


def translate_call(call: dict[str, Any], model: ChatModel) -> dict[str, Any]:
    """As `chat_request`, for JSON that is already parsed and has no repeated names."""
    call = {name: value for name, value in call.items() if value is not None}
    for name in call:
        if name in IDLE:
            check_idle(call, name, IDLE[name])
        elif name == "context_management":
            _check_edits(call[name])
        elif name not in READ and name not in OMITTED:
            raise untranslatable(name, "is not available for this model. Omit it, or choose another model.")
    messages = chat_messages(call.get("system"), call.get("messages"), keeps_thoughts=model.keeps_thoughts)
    if model.dialect.beside_tool_calls:
        for message in messages:
            # Messages have no place for what a provider adds to a call.
            message.get("tool_calls", [{}])[0].update(model.dialect.beside_tool_calls)
    chat: dict[str, Any] = {"model": model.name, "messages": messages, **_limits(call)}
    if call.get("stream"):
        chat["stream"] = True
        if must_ask_for_usage(model.dialect):
            chat["stream_options"] = {"include_usage": True}
    for name in ("temperature", "top_p", "top_k"):
        if name in call:
            if type(call[name]) not in (int, float):
                raise malformed(name, "be a number")
            chat[name] = call[name]
    chat |= _thinking(call, model)
    chat |= _tools(call)
    metadata = call.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if isinstance(user, str) and user:
        chat["user"] = user
    tier = call.get("service_tier", "auto")
    if not isinstance(tier, str) or tier not in _TIERS:
        raise malformed("service_tier", "be auto or standard_only")
    if _TIERS[tier]:
        chat["service_tier"] = _TIERS[tier]
    return fitted(chat, model.dialect)


def _check_edits(settings: Any) -> None:
    edits = settings.get("edits", []) if isinstance(settings, dict) else None
    if not isinstance(edits, list) or any(
        not isinstance(one, dict) or one.get("type") not in OMITTED for one in edits
    ):
        raise untranslatable("context_management", "is not available for this model. Omit it.")


def _limits(call: dict[str, Any]) -> dict[str, Any]:
    most = call.get("max_tokens")
    if type(most) is not int or most < 1:
        raise malformed("max_tokens", "be a whole number above 0 for this model")
    kept: dict[str, Any] = {"max_tokens": most}
    stop = call.get("stop_sequences", [])
    if not isinstance(stop, list) or not all(isinstance(one, str) for one in stop):
        raise malformed("stop_sequences", "be a list of texts")
    if stop:
        kept["stop"] = stop
    return kept


def _thinking(call: dict[str, Any], model: ChatModel) -> dict[str, Any]:
    config, thinking = call.get("output_config", {}), call.get("thinking", {})
    if not isinstance(config, dict) or not isinstance(thinking, dict):
        raise malformed("thinking" if isinstance(config, dict) else "output_config", "be an object")
    kept: dict[str, Any] = {}
    for name, value in config.items():
        if name not in ("effort", "format") and value is not None:
            raise untranslatable(f"output_config.{name}", "is not available for this model. Omit it.")
    wanted = config.get("format")
    if wanted is not None:
        schema = wanted.get("schema") if isinstance(wanted, dict) else None
        if not isinstance(schema, dict):
            raise malformed("output_config.format", "be a json_schema with a schema")
        described = {"name": "answer", "schema": schema, "strict": True}
        kept["response_format"] = {"type": "json_schema", "json_schema": described}
    effort = config.get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise malformed("output_config.effort", f"be one of {', '.join(_EFFORTS)}")
    if model.takes_effort:
        if thinking.get("type") == "disabled":
            effort = "none"
        elif thinking.get("type") == "enabled" and effort is None:
            budget = thinking.get("budget_tokens")
            if type(budget) is not int:
                raise malformed("thinking.budget_tokens", "be a whole number")
            effort = "low" if budget < _LOW else "medium" if budget < _MEDIUM else "high"
        if effort is not None:
            kept["reasoning_effort"] = effort
    return kept


def _tools(call: dict[str, Any]) -> dict[str, Any]:
    tools, choice = call.get("tools", []), call.get("tool_choice", {"type": "auto"})
    if not isinstance(tools, list) or not isinstance(choice, dict):
        raise malformed(
            "tools" if isinstance(choice, dict) else "tool_choice", "be a list or an object, as documented"
        )
    if not tools:
        return {}
    kept: dict[str, Any] = {"tools": [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]}
    kind = choice.get("type")
    if kind == "tool" and isinstance(choice.get("name"), str):
        kept["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif isinstance(kind, str) and kind in _CHOICES:
        if kind != "auto":
            kept["tool_choice"] = _CHOICES[kind]
    else:
        raise malformed("tool_choice.type", "be auto, any, tool with a name, or none")
    if choice.get("disable_parallel_tool_use") is True:
        kept["parallel_tool_calls"] = False
    return kept


def _tool(tool: Any, path: str) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
        raise untranslatable(
            f"{path}.type", "must be custom for this model: it has none of Anthropic's own tools."
        )
    if tool.get("defer_loading"):
        raise untranslatable(f"{path}.defer_loading", "is not available for this model. Omit it.")
    if not isinstance(tool.get("name"), str) or not isinstance(tool.get("input_schema"), dict):
        raise malformed(path, "have a name and an input_schema")
    function: dict[str, Any] = {"name": tool["name"], "parameters": tool["input_schema"]}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    if tool.get("strict"):
        function["strict"] = True
    return {"type": "function", "function": function}
