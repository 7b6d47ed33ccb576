"""The connections to all backends. They stay open between calls, and an open one may be dead."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from gateway.proxy.http.answer import Answer
from gateway.proxy.http.errors import ConnectError, Disconnected, TransportError
from gateway.proxy.http.pool import Address, Pool, Trust, place_of
from gateway.proxy.metrics import Metrics

# Common engines close an idle connection after five seconds; this is shorter.
_KEPT_SECONDS = 4.0
# A dead connection fails at once; a backend that dies at work usually fails later.
_STALE_SECONDS = 1.0


class Connections:
    """Sends calls to backends, follows no redirects, and returns answers as they come, compressed or not.

    A backend may close an idle connection at the very moment when a call is sent over it. The gateway then
    sends the call once more over a new connection, but only if nothing at all came back, the connection had been
    used before, it failed within a second, and the last answer from that address was not a failure.
    Everything else counts as a failure of the backend.
    """

    def __init__(self, metrics: Metrics, *, most: int) -> None:
        """`most` is the number of connections to all backends together."""
        self._metrics = metrics
        # URLs of calls whose last answer was a failure, never more than are configured; and of other requests, whose
        # URLs are countless, the addresses.
        self._failing: set[str | Address] = set()
        self._pool = Pool(most=most, kept_seconds=_KEPT_SECONDS)

    async def post(
        self,
        url: str,
        *,
        data: bytes,
        lines: bytes,
        connect_seconds: float,
        response_seconds: float,
        trust: Trust | None = None,
        may_repeat: bool = True,
        method: str = "POST",
    ) -> Answer:
        """Send a call. Raises TimeoutError if the backend got it and says nothing, and TransportError.

        Args:
            url: address of the backend.
            data: the body.
            lines: the headers, as `lines_of` writes them, without those that describe the body and the connection.
            connect_seconds: the longest wait for a connection.
            response_seconds: the longest wait for the head of the answer, and for each further part of it.
            trust: what holds for the connection to a provider; None: one of our own engines.
            may_repeat: if not, it is sent over a new connection, which cannot have died unnoticed.
            method: of the request.
        """
        place = place_of(url, trust)
        address, start = place
        name: str | Address = url
        if method != "POST":
            name, start = address, method.encode() + start.removeprefix(b"POST")
        head = b"%b%bcontent-length: %d\r\n\r\n" % (start, lines, len(data))
        kept = self._pool.kept(address) if may_repeat else None
        if kept is not None:
            try:
                answer = await kept.ask(head, data, response_seconds)
                if self._failing or answer.status >= 500:
                    self._note(name, answer)
                return answer
            except TransportError as error:
                is_stale = isinstance(error, Disconnected) and not error.has_begun
                has_failed_late = kept.seconds_since_asked > _STALE_SECONDS
                if not is_stale or has_failed_late or name in self._failing:
                    self._failing.add(name)
                    raise
            self._metrics.calls_resent.inc()
            # Until it answers.
            self._failing.add(name)
        try:
            new = await self._pool.dial(address, connect_seconds)
            answer = await new.ask(head, data, response_seconds)
            self._note(name, answer)
            return answer
        except TransportError as error:
            self._failing.add(name)
            if isinstance(error, ConnectError):
                error.may_be_sent = kept is not None
            raise

    async def look(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        connect_seconds: float,
        response_seconds: float,
        trust: Trust | None = None,
    ) -> int:
        """GET a URL over a new connection; the status. Raises TimeoutError and TransportError.

        Args:
            url: at the address of a backend.
            headers: the headers.
            connect_seconds: the longest wait for a connection.
            response_seconds: the longest wait for the answer.
            trust: what holds for the connection to a provider; None: one of our own engines.
        """
        place = place_of(url, trust)
        start = place.start.removeprefix(b"POST")
        head = b"GET%b%bcontent-length: 0\r\n\r\n" % (start, lines_of(headers))
        connection = await self._pool.dial(place.address, connect_seconds)
        answer = await connection.ask(head, b"", response_seconds)
        try:
            return answer.status
        finally:
            # The list itself is of no interest.
            answer.close()

    def _note(self, name: str | Address, answer: Answer) -> None:
        if answer.status >= 500:
            self._failing.add(name)
        else:
            self._failing.discard(name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()


def lines_of(headers: Mapping[str, str]) -> bytes:
    """The headers of a request as bytes. Raises ValueError if one has a line end in it."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header has a line end in it")
    return lines.encode("latin-1", "replace")
