"""One HTTP request over raw ASGI: read it within bounds, answer it, and notice when the client has gone."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.proxy.auth import client_address, read_headers
from gateway.proxy.errors import Refusal
from gateway.proxy.head import declared_length, problem_of
from gateway.proxy.ids import new_call_id
from gateway.proxy.intake import Share, read_body
from gateway.proxy.settings import Network

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = "application/json"


class Request:
    """A request, its id, and its only answer. `status` is None until the answer has begun."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, trusted_proxies: tuple[Network, ...]
    ) -> None:
        self.id = new_call_id()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        # The slug of the key's tenant, once known.
        self.tenant = ""
        self.head_problem = problem_of(scope)
        self.headers = read_headers(scope["headers"]) if self.head_problem is None else {}
        peer = str((scope.get("client") or ("", 0))[0])
        self.client_ip = client_address(peer, self.headers, trusted_proxies)
        self.status: int | None = None
        # The public name of the requested model, once the gateway has found it.
        self.model = ""
        # The last part of the answer is being sent.
        self.is_ended = False
        self.is_recorded = False  # as a usage event
        # Called once, when the answer begins.
        self.on_begin: Callable[[], None] | None = None
        self._receive = receive
        self._send = send

    async def body(self, largest: int, share: Share, grace_seconds: float) -> bytes:
        """Read the body. Raises Refusal as `intake.read_body`."""
        announced = declared_length(self.headers, largest)
        return await read_body(self._receive, announced, largest, share, grace_seconds)

    async def hangup(self) -> None:
        """Return when the client has gone. Call it only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, content_type: str = JSON
    ) -> None:
        """Send a whole answer.

        Args:
            status: HTTP status.
            body: the whole body.
            headers: further headers.
            content_type: value of Content-Type.
        """
        await self._begin(status, {"content-length": str(len(body)), **(headers or {})}, content_type)
        self.is_ended = True
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
        self.is_ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def _begin(self, status: int, headers: Mapping[str, str], content_type: str) -> None:
        self.status = status
        if self.on_begin is not None:
            self.on_begin()
        named = {"content-type": content_type, "x-request-id": self.id, **headers}
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})
