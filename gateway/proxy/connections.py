"""The connections to all backends. They stay open between calls, and an open one may be dead."""

import asyncio
import time
from types import SimpleNamespace, TracebackType
from typing import Self

import aiohttp

from gateway.proxy.metrics import Metrics

# Common engines close an idle connection after five seconds; this is shorter.
_KEPT_SECONDS = 4.0
# A dead connection fails at once; a backend that dies at work usually fails later.
_STALE_SECONDS = 1.0


class _Sending(SimpleNamespace):
    """One attempt: whether it used a connection that had been used before."""

    is_reused = False


class Connections:
    """Sends calls to backends. Bodies pass through unchanged, compressed or not.

    A backend may close an idle connection at the very moment when a call is sent over it. The gateway then
    sends the call once more over a new connection, but only if nothing at all came back, the connection had been
    used before, it failed within a second, and the last answer from that address was not a failure.
    Everything else counts as a failure of the backend.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Addresses whose last answer was a failure; never more than are configured.
        self._failing: set[str] = set()
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        kept = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, keepalive_timeout=_KEPT_SECONDS)
        self._kept = _session(kept, [tracing])
        self._fresh = _session(aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, force_close=True), [])

    async def post(
        self, url: str, *, data: bytes, headers: dict[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Send a call without following redirects. Raises aiohttp's errors: ClientError or TimeoutError.

        Args:
            url: address of the backend.
            data: the body.
            headers: the headers.
            timeout: time limits of the call.
        """
        sending, began = _Sending(), time.monotonic()
        try:
            return self._noted(url, await self._send(self._kept, url, data, headers, timeout, sending))
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            has_failed_late = time.monotonic() - began > _STALE_SECONDS
            is_doubtful = has_failed_late or url in self._failing or _has_answered(error)
            if not sending.is_reused or is_doubtful:
                self._failing.add(url)
                raise
        self._metrics.calls_resent.inc()
        self._failing.add(url)  # until it answers
        return self._noted(url, await self._send(self._fresh, url, data, headers, timeout, _Sending()))

    async def _send(
        self,
        session: aiohttp.ClientSession,
        url: str,
        data: bytes,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
        sending: _Sending,
    ) -> aiohttp.ClientResponse:
        return await session.post(
            url,
            data=data,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            trace_request_ctx=sending,
        )

    def _noted(self, url: str, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        if response.status >= 500:
            self._failing.add(url)
        else:
            self._failing.discard(url)
        return response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(self._kept.close(), self._fresh.close())


def _session(connector: aiohttp.TCPConnector, tracing: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        trace_configs=tracing,
    )


def _has_answered(error: aiohttp.ClientError) -> bool:
    """Whether part of an answer came, or the connection was never made."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        # Otherwise it holds the incomplete head of an answer.
        return not isinstance(error.message, str)
    return isinstance(error, aiohttp.ClientConnectorError)


async def _note_reuse(
    _: aiohttp.ClientSession,
    context: SimpleNamespace,
    __: aiohttp.TraceConnectionReuseconnParams,
) -> None:
    context.trace_request_ctx.is_reused = True
