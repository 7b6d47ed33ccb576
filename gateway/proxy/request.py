"""One request as the gateway sees it: read within bounds, answered once, with an id."""

from collections.abc import Callable, Mapping

from gateway.proxy.auth import client_address
from gateway.proxy.dialects.anthropic_client.errors import refusal_body
from gateway.proxy.errors import Refusal
from gateway.proxy.head import Known, declared_length, known_of
from gateway.proxy.http.exchange import Exchange
from gateway.proxy.ids import new_call_id
from gateway.proxy.intake import SMALL, Share, read_body
from gateway.proxy.settings import Network

JSON = "application/json"
_UNBUFFERED = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
# The longest time in which a client takes nothing of an answer that waits for it.
_STUCK_SECONDS = 60.0


class Request:
    """A request, its id, and its only answer. `status` is None until the answer has begun."""

    __slots__ = (
        "_exchange", "_is_events", "asked_model", "head_problem", "headers", "id", "is_ended", "is_recorded", "key_id",
        "known", "model", "on_begin", "path", "status", "tenant",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, trusted_proxies: tuple[Network, ...]) -> None:
        self._exchange = exchange
        self.id = new_call_id()
        self.head_problem: Refusal | None = None
        known: Known | None = exchange.head.known
        if known is None:
            try:
                known = known_of(exchange, trusted_proxies)
            except Refusal as problem:
                self.head_problem = problem
                known = Known(
                    exchange.head.target.path, {}, client_address(exchange.peer, {}, trusted_proxies)
                )
        self.known = known
        self.path = known.path
        # By names in lower case, without Content-Length. Not to be changed.
        self.headers = known.headers
        # The slug of the key's tenant, once known; the key's id, empty without a valid one; the name of the model that
        # the client gave, once its body is read; the public name of that model, once the gateway has found it.
        self.tenant = self.key_id = self.asked_model = self.model = ""
        self.status: int | None = None
        # The last part of the answer is being sent; the call is on record as a usage event.
        self.is_ended = self.is_recorded = False
        self._is_events = True
        # Called once, when the answer begins.
        self.on_begin: Callable[[], None] | None = None

    @property
    def method(self) -> str:
        """As the client sent it."""
        return self._exchange.head.method

    @property
    def client_ip(self) -> str:
        """Where it comes from."""
        return self.known.client_ip

    @property
    def is_gone(self) -> bool:
        """Whether the client has gone."""
        return self._exchange.is_gone

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """Call `on_gone` when the client goes away; None: no longer."""
        self._exchange.on_gone = on_gone

    def length(self, largest: int) -> int | None:
        """The announced length of the body in bytes; None if it comes without one. Raises Refusal (413) for more than
        `largest`.
        """
        return declared_length(self._exchange.length, self.headers, largest)

    def whole_body(self, largest: int) -> bytes | None:
        """The body, if it is small and all of it is here; else None. `largest` is the most bytes that it may have."""
        return self._exchange.whole_body(min(SMALL, largest))

    async def body(self, largest: int, share: Share, grace_seconds: float) -> bytes:
        """Read the body. Raises Refusal as `intake.read_body`."""
        return await read_body(self._exchange.next_part, self.length(largest), largest, share, grace_seconds)

    async def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, content_type: str = JSON
    ) -> None:
        """Send a whole answer. Returns when the client has taken most of it.

        Args:
            status: HTTP status.
            body: the whole body.
            headers: further headers.
            content_type: value of Content-Type.
        """
        named = {"content-type": content_type, **self._ids(), **(headers or {})}
        self._begin(status)
        self.is_ended = True
        exchange = self._exchange
        exchange.answer(status, named, body)
        if exchange.is_stuck:
            try:
                await exchange.drain(_STUCK_SECONDS)
            except TimeoutError:
                exchange.abort()

    async def refuse(self, refusal: Refusal, headers: Mapping[str, str] | None = None) -> None:
        """Send an error, in the shape that the client reads."""
        body = refusal_body(refusal, self.id) if self.known.is_messages else refusal.body()
        await self.answer(refusal.status, body, {**(headers or {}), **refusal.headers})

    def begin_stream(self, headers: Mapping[str, str], first: bytes = b"") -> None:
        """Begin an answer of server-sent events, or of what `headers` say, with its first part."""
        self._begin(200)
        self._is_events = "content-type" not in headers
        self._exchange.begin(200, {**_UNBUFFERED, **self._ids(), **headers}, first)

    def send_piece(self, data: bytes) -> bool:
        """Send a piece of a stream. Returns whether the client is slow: then `drain` before the next one."""
        return self._exchange.send(data)

    async def drain(self, seconds: float) -> None:
        """Wait while the client takes its stream. Raises TimeoutError if it takes nothing for `seconds`."""
        await self._exchange.drain(seconds)

    def end_stream(self, data: bytes = b"") -> None:
        """Send the last piece of a stream."""
        self.is_ended = True
        self._exchange.end(data)

    def break_off(self) -> None:
        """End a stream that is not complete: its events lack the last one; of anything else the connection breaks."""
        if self._is_events:
            self.end_stream()
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection to the client at once."""
        self._exchange.abort()

    def _ids(self) -> dict[str, str]:
        """The id of the call, also in the header in which Anthropic's clients look for it."""
        ids = {"x-request-id": self.id}
        return {**ids, "request-id": self.id} if self.known.is_messages else ids

    def _begin(self, status: int) -> None:
        self.status = status
        if self.on_begin is not None:
            self.on_begin()
