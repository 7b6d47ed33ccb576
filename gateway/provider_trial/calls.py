"""Calls to the gateway of a trial, and what a client reads of the answers."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

# Longer than a gateway waits for a provider's first byte.
_SECONDS = 180.0


class Wrong(Exception):
    """What does not hold, in a sentence."""


@dataclass
class Came:
    """An answer. Of a stream `chunks` are the events' data without the end mark, and `is_whole` says that it came."""

    status: int
    call_id: str
    raw: bytes
    milliseconds: int
    whole: Any = None
    chunks: list[Any] = field(default_factory=list)
    is_whole: bool = False

    @property
    def says(self) -> str:
        """The code and the sentence of an error."""
        error = self.whole.get("error") if isinstance(self.whole, dict) else None
        if not isinstance(error, dict):
            return f"status {self.status}"
        return f"status {self.status}, {error.get('code')}: {error.get('message')}"

    def must_be_200(self) -> Came:
        """Itself. Raises Wrong for an error."""
        if self.status != 200:
            raise Wrong(self.says)
        return self


def post(url: str, path: str, key: str, call: dict[str, Any]) -> Came:
    """Make a call. Raises Wrong if the gateway does not answer, or answers what no client can read.

    Args:
        url: of the gateway.
        path: of the endpoint.
        key: of the gateway.
        call: the body.
    """
    body = json.dumps(call)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_SECONDS)
    began = time.monotonic()
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        raw = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Wrong(f"the connection broke: {type(error).__name__}") from error
    finally:
        connection.close()
    milliseconds = round((time.monotonic() - began) * 1000)
    came = Came(answer.status, answer.headers.get("x-request-id", ""), raw, milliseconds)
    try:
        if answer.headers.get_content_type() == "text/event-stream":
            datas = [line[5:].strip() for line in raw.decode().splitlines() if line.startswith("data:")]
            came.is_whole = datas[-1:] == ["[DONE]"] or '"message_stop"' in (datas[-1:] or [""])[0]
            came.chunks = [json.loads(data) for data in datas if data != "[DONE]"]
        else:
            came.whole = json.loads(raw)
    except ValueError as error:
        raise Wrong("the answer is no JSON") from error
    return came


def message_in(came: Came) -> dict[str, Any]:
    """The message of a chat answer, put together from the pieces if it is a stream. Raises Wrong."""
    try:
        if not came.chunks:
            return dict(came.must_be_200().whole["choices"][0]["message"])
        return _put_together(came)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Wrong("the answer lacks what clients read") from error


def _put_together(came: Came) -> dict[str, Any]:
    if not came.is_whole:
        raise Wrong("the stream has no end")
    content = ""
    calls: list[dict[str, Any]] = []
    for chunk in came.chunks:
        if "error" in chunk:
            raise Wrong(f"the stream ends with an error: {chunk['error'].get('message')}")
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            content += delta.get("content") or ""
            for piece in delta.get("tool_calls") or ():
                if piece["index"] == len(calls):
                    calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
                call, function = calls[piece["index"]], piece.get("function") or {}
                call["id"] = call["id"] or piece.get("id") or ""
                call["function"]["name"] += function.get("name") or ""
                call["function"]["arguments"] += function.get("arguments") or ""
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
