"""The messages of a chat as Anthropic takes them: one system prompt, and turns of users and assistants."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

from gateway.proxy.dialects.anthropic_backend.fields import HOLDING, OMITTED_IN_MESSAGES
from gateway.proxy.dialects.anthropic_backend.thinking import signed_thoughts
from gateway.proxy.dialects.common import malformed, object_in, tool_id, untranslatable

Block = dict[str, Any]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w-]+=[\w.+-]+)*;base64,", re.IGNORECASE | re.ASCII)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TEXTS = ("application/json", "application/xml", "application/yaml")
_ROLES = ("system", "developer", "user", "assistant", "tool")
_OF_USERS = frozenset(("role", "content", "cache_control", "tool_call_id", *OMITTED_IN_MESSAGES))


def system_and_turns(messages: Any) -> tuple[list[Block], list[dict[str, Any]]]:
    """The system prompt, and the turns, of a chat's `messages`.

    Instructions from the middle of a chat move into the system prompt, in their order, as at Anthropic's own OpenAI
    surface: not every model takes them where they stand. Neighbors of one role become one turn; empty texts are left
    out. Raises Refusal (400) naming the part that Anthropic has no equal for.
    """
    if not isinstance(messages, list) or not messages:
        raise malformed("messages", "be a list with at least one message")
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise malformed(f"{path}.role", f"be one of {', '.join(_ROLES)}")
        role = message["role"]
        if role == "assistant":
            blocks = _assistant_blocks(message, path)
        else:
            for name, value in message.items():
                if name not in _OF_USERS and value is not None:
                    raise untranslatable(f"{path}.{name}", "is not available for this model. Omit it.")
            blocks = _tool_result(message, path) if role == "tool" else _parts(message, path)
        if role in ("system", "developer"):
            system += _only_texts(blocks, path)
            continue
        if not blocks and role != "assistant":
            raise malformed(f"{path}.content", "have a text that is not empty")
        own = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == own:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": own, "content": blocks})
    return system, turns


def _only_texts(blocks: list[Block], path: str) -> list[Block]:
    if any(block["type"] != "text" for block in blocks):
        raise untranslatable(f"{path}.content", "may have only texts.")
    return blocks


def _parts(message: dict[str, Any], path: str) -> list[Block]:
    """The blocks of `content`; a mark for the cache at the message itself is put on the last one."""
    content = message.get("content")
    blocks: list[Block] = []
    if isinstance(content, str):
        blocks = _text(content)
    elif isinstance(content, list):
        for number, part in enumerate(content):
            where = f"{path}.content[{number}]"
            if not isinstance(part, dict):
                raise malformed(where, "be an object")
            made = _part_maker(part, where)(part, where)
            mark = cache_mark(part, where)
            if made and mark:
                made[-1]["cache_control"] = mark
            blocks += made
    elif content is not None:
        raise malformed(f"{path}.content", "be a text or a list of parts")
    mark = cache_mark(message, path)
    if blocks and mark:
        blocks[-1]["cache_control"] = mark
    return blocks


def _text(text: str) -> list[Block]:
    """Anthropic refuses texts without a letter in them."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _part_maker(part: dict[str, Any], path: str) -> Callable[[dict[str, Any], str], list[Block]]:
    maker = _PARTS.get(str(part.get("type")))
    if maker is None:
        raise untranslatable(
            f"{path}.type",
            "is not available for this model: it takes text, image_url and file. Omit the part.",
        )
    return maker


def _text_part(part: dict[str, Any], path: str) -> list[Block]:
    text = part.get(part["type"])
    if not isinstance(text, str):
        raise malformed(f"{path}.{part['type']}", "be a text")
    return _text(text)


def _image_part(part: dict[str, Any], path: str) -> list[Block]:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise malformed(f"{path}.image_url.url", "be a URL")
    return [{"type": "image", "source": _image_source(url, f"{path}.image_url.url")}]


def _image_source(url: str, path: str) -> dict[str, Any]:
    if _WEB.match(url):
        return {"type": "url", "url": url}
    found = _DATA_URL.match(url)
    kind = found[1].lower().replace("image/jpg", "image/jpeg") if found else ""
    if found is None or kind not in _IMAGES:
        raise untranslatable(path, "must be a JPEG, PNG, GIF or WebP image for this model.")
    return {"type": "base64", "media_type": kind, "data": url[found.end() :]}


def _file_part(part: dict[str, Any], path: str) -> list[Block]:
    file = part.get("file")
    data = file.get("file_data") if isinstance(file, dict) else None
    where = f"{path}.file.file_data"
    if not isinstance(file, dict) or not isinstance(data, str):
        raise untranslatable(where, "must have the file itself as a `data:` URL.")
    document: Block = {"type": "document", "source": _document_source(data, where)}
    if isinstance(file.get("filename"), str) and file["filename"]:
        document["title"] = file["filename"]
    return [document]


def _document_source(data: str, path: str) -> dict[str, Any]:
    if _WEB.match(data):
        return {"type": "url", "url": data}
    found = _DATA_URL.match(data)
    kind = found[1].lower() if found else ""
    if found is not None and kind == "application/pdf":
        return {"type": "base64", "media_type": kind, "data": data[found.end() :]}
    if found is not None and (kind.startswith("text/") or kind in _TEXTS):
        try:
            text = base64.b64decode(data[found.end() :], validate=True).decode()
        except (binascii.Error, ValueError):
            raise malformed(path, "be UTF-8 in base64") from None
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise untranslatable(path, "must be a PDF or a text for this model, as a `data:` URL in base64.")


_PARTS: dict[str, Callable[[dict[str, Any], str], list[Block]]] = {
    "text": _text_part, "refusal": _text_part, "image_url": _image_part, "file": _file_part,
}  # fmt: skip


def cache_mark(place: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The mark up to which Anthropic is to cache: its own `cache_control`, or OpenAI's `prompt_cache_breakpoint`.

    Raises Refusal (400) for a mark that Anthropic would not understand.
    """
    mark = place.get("cache_control")
    if mark is not None:
        if (
            not isinstance(mark, dict)
            or mark.get("type") != "ephemeral"
            or mark.get("ttl") not in (None, "5m", "1h")
        ):
            raise malformed(
                f"{path}.cache_control", 'be {"type": "ephemeral"}, with a `ttl` of 5m or 1h if any'
            )
        return mark
    point = place.get("prompt_cache_breakpoint")
    if not isinstance(point, dict):
        return None
    # OpenAI's lifetimes are 30 minutes and more; the longest here is an hour.
    return {"type": "ephemeral", "ttl": "1h"} if point.get("ttl") else {"type": "ephemeral"}


def _tool_result(message: dict[str, Any], path: str) -> list[Block]:
    given = message.get("tool_call_id")
    if not isinstance(given, str):
        raise malformed(f"{path}.tool_call_id", "be a text")
    mark = cache_mark(message, path)
    result: Block = {"type": "tool_result", "tool_use_id": tool_id(given)}
    content = _parts({name: value for name, value in message.items() if name != "cache_control"}, path)
    if any(block["type"] == "document" for block in content):
        raise untranslatable(f"{path}.content", "may have only texts and images.")
    if content:
        result["content"] = content
    if mark:
        result["cache_control"] = mark
    return [result]


def _assistant_blocks(message: dict[str, Any], path: str) -> list[Block]:
    for name in HOLDING:
        if message.get(name):
            raise untranslatable(f"{path}.{name}", "is not available for this model. Omit it.")
    blocks = [*signed_thoughts(message, path), *_only_texts(_parts(message, path), path)]
    refusal = message.get("refusal")
    if isinstance(refusal, str):
        blocks += _text(refusal)
    return [*blocks, *_tool_uses(message.get("tool_calls"), path)]


def _tool_uses(calls: Any, path: str) -> Iterator[Block]:
    if calls is not None and not isinstance(calls, list):
        raise malformed(f"{path}.tool_calls", "be a list")
    for number, call in enumerate(calls or []):
        where = f"{path}.tool_calls[{number}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise untranslatable(where, "must call a function for this model.")
        if not isinstance(call.get("id"), str) or not isinstance(function.get("name"), str):
            raise malformed(where, "have an id and the name of a function")
        yield {
            "type": "tool_use",
            "id": tool_id(call["id"]),
            "name": function["name"],
            "input": _arguments(function.get("arguments"), f"{where}.function.arguments"),
        }


def _arguments(given: Any, path: str) -> dict[str, Any]:
    """A tool's arguments as an object: Anthropic takes nothing else."""
    if isinstance(given, dict):
        return given
    if given is None or given == "":
        return {}
    built = object_in(given) if isinstance(given, str) else None
    if built is None:
        raise malformed(path, "be a JSON object, as the model sent it")
    return built
