"""Requests to the control plane: for configuration, and with usage and reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import urlencode

from gateway.proxy.connections import lines_of
from gateway.proxy.http.answer import Answer
from gateway.proxy.http.errors import Disconnected, TransportError
from gateway.proxy.http.pool import Address, Pool, place_of

# Each of the few things that a gateway asks for or sends has one at a time.
_MOST_CONNECTIONS: Final = 32
# Servers usually keep theirs for longer. A closed one only costs another connection.
_KEPT_SECONDS: Final = 10.0
# After an answer whose body nobody reads.
_LINGER_SECONDS: Final = 1.0


class WrongStatus(TransportError):
    """The control plane answered with a status that is of no use here, such as 503, or a redirect."""


class Patience(NamedTuple):
    """How long a request may take, in seconds: all of it, the connection, and the longest silence."""

    total: float
    connect: float = 3.0
    silence: float = 300.0


# For what names none of its own.
_USUAL: Final = Patience(300.0)


class ControlAnswer:
    """An answer of the control plane, whose body comes while it is read.

    Args:
        answer: as it comes.
        query: of the request.
        sent: the headers that were sent for this request alone.
    """

    def __init__(self, answer: Answer, query: Mapping[str, str], sent: Mapping[str, str]) -> None:
        self._answer = answer
        self.query = query
        self.sent = sent
        self.status = answer.status
        # By lower-case name.
        self.headers = answer.headers

    @property
    def content_type(self) -> str:
        """The type of the body, without parameters; empty if none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def require_useful(self) -> None:
        """Raises WrongStatus unless the status is 200 or 204. Redirects are not followed: they are not useful."""
        if self.status not in (200, 204):
            raise WrongStatus(f"status {self.status}")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises TimeoutError after too long a silence, and TransportError."""
        while piece := await self._answer.read():
            yield piece

    async def read(self) -> bytes:
        """The whole body. Raises as `pieces`."""
        return b"".join([piece async for piece in self.pieces()])


class Control:
    """The control plane at one address. TLS is verified against the authorities that the system trusts.

    Args:
        url: http(s)://host:port, without a path.
        headers: sent with each request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._pool = Pool(most=_MOST_CONNECTIONS, kept_seconds=_KEPT_SECONDS)

    def get(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        patience: Patience = _USUAL,
    ) -> AbstractAsyncContextManager[ControlAnswer]:
        """Ask for something. Raises TransportError and TimeoutError, also while the block reads the answer.

        Args:
            path: of what is asked for.
            query: names and values.
            headers: besides those of each request.
            patience: how long it may take.
        """
        return self._request(f"GET {path}?{urlencode(query)}", b"", query, headers, patience)

    def post(
        self,
        path: str,
        *,
        data: bytes,
        headers: Mapping[str, str] | None = None,
        patience: Patience = _USUAL,
    ) -> AbstractAsyncContextManager[ControlAnswer]:
        """Send something that may arrive twice. Raises as `get`.

        Args:
            path: where to.
            data: the body.
            headers: besides those of each request.
            patience: how long it may take.
        """
        return self._request(f"POST {path}", data, {}, headers or {}, patience)

    @asynccontextmanager
    async def _request(
        self, line: str, data: bytes, query: Mapping[str, str], headers: Mapping[str, str], patience: Patience
    ) -> AsyncIterator[ControlAnswer]:
        place = place_of(self._url)
        host = place.start.partition(b"\r\n")[2]
        lines = lines_of({**self._headers, **headers, "content-length": str(len(data))})
        head = b"%b HTTP/1.1\r\n%b%b\r\n" % (line.encode("ascii"), host, lines)
        async with asyncio.timeout(patience.total):
            answer = await self._ask(place.address, head, data, patience)
            try:
                yield ControlAnswer(answer, query, headers)
            except BaseException:
                answer.close()
                raise
            answer.finish(_LINGER_SECONDS)

    async def _ask(self, address: Address, head: bytes, data: bytes, patience: Patience) -> Answer:
        kept = self._pool.kept(address)
        if kept is not None:
            try:
                return await kept.ask(head, data, patience.silence)
            except Disconnected as error:
                # The server closed it meanwhile. Whatever is sent here may arrive twice.
                if error.has_begun:
                    raise
        connection = await self._pool.dial(address, patience.connect)
        return await connection.ask(head, data, patience.silence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()
