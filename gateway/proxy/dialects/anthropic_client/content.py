"""The messages of a Messages call as a chat: tools' results become messages of their own."""

from typing import Any

from gateway.proxy.dialects.common import malformed, untranslatable
from gateway.proxy.whole_answers import dumped

Part = dict[str, Any]

# Between texts that become one: many servers take only one text a message.
_BETWEEN = "\n\n"
_ROLES = ("user", "assistant", "system")
_FILE_NAME = "document.pdf"


def chat_messages(system: Any, messages: Any, *, keeps_thoughts: bool) -> list[dict[str, Any]]:
    """A chat's messages. Raises Refusal (400) naming a block that a chat has no equal for.

    `keeps_thoughts`: the backend wants the words of earlier thoughts back, as `reasoning_content`.
    """
    if not isinstance(messages, list) or not messages:
        raise malformed("messages", "be a list with at least one message")
    chat: list[dict[str, Any]] = []
    if instructions := _texts(system, "system"):
        chat.append({"role": "system", "content": instructions})
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            raise malformed(f"{path}.role", f"be one of {', '.join(_ROLES)}")
        content = message.get("content")
        if role == "system":
            chat.append({"role": "system", "content": _texts(content, f"{path}.content")})
        elif role == "assistant":
            chat.append(_assistant(_blocks(content, f"{path}.content"), f"{path}.content", keeps_thoughts))
        else:
            chat += _user(_blocks(content, f"{path}.content"), f"{path}.content")
    return chat


def _blocks(content: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise malformed(path, "be a text or a list of blocks")
    return content


def _texts(content: Any, path: str) -> str:
    """The words of a content that may have only texts; empty for none."""
    if content is None:
        return ""
    parts = [
        part for number, one in enumerate(_blocks(content, path)) for part in _parts(one, f"{path}[{number}]")
    ]
    if any(part["type"] != "text" for part in parts):
        raise untranslatable(path, "may have only texts for this model.")
    return _BETWEEN.join(part["text"] for part in parts)


def _user(blocks: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """A message for each result of a tool, and one for everything else, which may also have pictures of results."""
    results: list[dict[str, Any]] = []
    rest: list[Part] = []
    for number, block in enumerate(blocks):
        where = f"{path}[{number}]"
        if block.get("type") == "tool_result":
            result, media = _tool_result(block, where)
            results.append(result)
            rest += media
        else:
            rest += _parts(block, where)
    if not rest:
        return results or [{"role": "user", "content": ""}]
    if all(part["type"] == "text" for part in rest):
        return [*results, {"role": "user", "content": _BETWEEN.join(part["text"] for part in rest)}]
    return [*results, {"role": "user", "content": rest}]


def _tool_result(block: dict[str, Any], path: str) -> tuple[dict[str, Any], list[Part]]:
    """The message of a tool, and the pictures and files in it, which such a message cannot have."""
    call_id = block.get("tool_use_id")
    if not isinstance(call_id, str):
        raise malformed(f"{path}.tool_use_id", "be a text")
    content = block.get("content")
    parts = [
        part
        for number, one in enumerate([] if content is None else _blocks(content, f"{path}.content"))
        for part in _parts(one, f"{path}.content[{number}]")
    ]
    words = [part["text"] for part in parts if part["type"] == "text"]
    media = [part for part in parts if part["type"] != "text"]
    if media:
        media.insert(0, {"type": "text", "text": f"From the result of tool call {call_id}:"})
    return {"role": "tool", "tool_call_id": call_id, "content": _BETWEEN.join(words)}, media


def _parts(block: dict[str, Any], path: str) -> list[Part]:
    """OpenAI's parts for a block of a user, or of a tool's result."""
    kind, source = block.get("type"), block.get("source")
    if kind == "text":
        return [{"type": "text", "text": _string(block, "text", path)}]
    if kind == "image" and isinstance(source, dict):
        return [{"type": "image_url", "image_url": {"url": _image_url(source, f"{path}.source")}}]
    if kind == "document" and isinstance(source, dict):
        return _document(block, source, path)
    if kind == "search_result":
        found = _texts(block.get("content"), f"{path}.content")
        lines = [_string(block, "title", path), _string(block, "source", path), found]
        return [{"type": "text", "text": "\n".join(lines)}]
    raise untranslatable(
        f"{path}.type",
        "is not available for this model: it takes text, image, document, search_result and tool_result.",
    )


def _image_url(source: dict[str, Any], path: str) -> str:
    if source.get("type") == "url":
        return _string(source, "url", path)
    if source.get("type") == "base64":
        return f"data:{_string(source, 'media_type', path)};base64,{_string(source, 'data', path)}"
    raise untranslatable(f"{path}.type", "must be base64 or url for this model.")


def _document(block: dict[str, Any], source: dict[str, Any], path: str) -> list[Part]:
    where = f"{path}.source"
    title = block.get("title") if isinstance(block.get("title"), str) else ""
    context = block.get("context") if isinstance(block.get("context"), str) else ""
    before = [{"type": "text", "text": "\n".join(filter(None, (title, context)))}] if title or context else []
    kind = source.get("type")
    if kind == "base64":
        url = f"data:{_string(source, 'media_type', where)};base64,{_string(source, 'data', where)}"
        file = {"type": "file", "file": {"filename": title or _FILE_NAME, "file_data": url}}
        return [*([{"type": "text", "text": context}] if context else []), file]
    if kind == "text":
        return [*before, {"type": "text", "text": _string(source, "data", where)}]
    if kind == "content":
        inner = _blocks(source.get("content"), f"{where}.content")
        return [
            *before,
            *(part for number, one in enumerate(inner) for part in _parts(one, f"{where}.content[{number}]")),
        ]
    raise untranslatable(f"{where}.type", "must be base64, text or content for this model.")


def _assistant(blocks: list[dict[str, Any]], path: str, keeps_thoughts: bool) -> dict[str, Any]:
    words: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        where, kind = f"{path}[{number}]", block.get("type")
        if kind == "text":
            words.append(_string(block, "text", where))
        elif kind == "thinking":
            thoughts.append(_string(block, "thinking", where))
        elif kind == "tool_use":
            if not isinstance(block.get("input"), dict):
                raise malformed(f"{where}.input", "be an object")
            function = {"name": _string(block, "name", where), "arguments": dumped(block["input"]).decode()}
            calls.append({"id": _string(block, "id", where), "type": "function", "function": function})
        elif kind != "redacted_thinking":
            raise untranslatable(
                f"{where}.type", "is not available for this model: it takes text, thinking and tool_use."
            )
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words)}
    if keeps_thoughts and any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
        message["content"] = message["content"] or None
    return message


def _string(place: dict[str, Any], name: str, path: str) -> str:
    value = place.get(name)
    if not isinstance(value, str):
        raise malformed(f"{path}.{name}", "be a text")
    return value
