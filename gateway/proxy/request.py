"""One HTTP request over raw ASGI: reading it within bounds, answering it, noticing a client that has gone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.proxy.auth import client_address, read_headers
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.ids import new_call_id
from gateway.proxy.settings import Network

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = "application/json"
_BODY_SECONDS = 60.0  # for the whole body to arrive


class Request:
    """A request, its id, and the one answer to it. `status` is None until the answer has begun."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, trusted_proxies: tuple[Network, ...]
    ) -> None:
        self.id = new_call_id()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = read_headers(scope["headers"])
        peer = str((scope.get("client") or ("", 0))[0])
        self.client_ip = client_address(peer, self.headers, trusted_proxies)
        self.status: int | None = None
        self.model = ""  # the public name of the model asked for, once it is known to be one of ours
        self.is_recorded = False  # as a usage event
        self._receive = receive
        self._send = send

    async def body(self, largest: int) -> bytes:
        """Read the body. Raises Refusal: 413 beyond `largest` bytes, 408 if it takes over a minute."""
        announced = self.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > largest:
            raise _too_large(largest)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise bad_request("The body ended before it was complete.", code="incomplete_body")
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    if size > largest:
                        raise _too_large(largest)
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refusal(408, "request_timeout", "The body took over a minute. Send it again.") from None

    async def hangup(self) -> None:
        """Return when the client has gone. Only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, content_type: str = JSON
    ) -> None:
        """Send a whole answer."""
        await self._begin(status, {"content-length": str(len(body)), **(headers or {})}, content_type)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse(self, refusal: Refusal, headers: Mapping[str, str] | None = None) -> None:
        """Send an error."""
        await self.answer(refusal.status, refusal.body(), {**(headers or {}), **refusal.headers})

    async def begin_stream(self, headers: Mapping[str, str]) -> None:
        """Begin an answer of server-sent events."""
        unbuffered = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        await self._begin(200, {**unbuffered, **headers}, "text/event-stream; charset=utf-8")

    async def send_piece(self, data: bytes) -> None:
        """Send a piece of a stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self, data: bytes = b"") -> None:
        """Send the last piece of a stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def _begin(self, status: int, headers: Mapping[str, str], content_type: str) -> None:
        self.status = status
        named = {"content-type": content_type, "x-request-id": self.id, **headers}
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})


def _too_large(largest: int) -> Refusal:
    return Refusal(
        413,
        "request_too_large",
        f"The body is larger than {largest:,} bytes. Send less at once, for example fewer messages or texts.",
    )
