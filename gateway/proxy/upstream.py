"""Asking backends: the first that answers, and errors that betray nothing about them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp

from gateway.contract import SettingsConfig
from gateway.proxy.backend_errors import (
    LARGEST_ERROR,
    BackendError,
    account_trouble,
    read_error,
    refusal_for,
)
from gateway.proxy.body import Body
from gateway.proxy.connections import Connections
from gateway.proxy.errors import Refusal, retry_after, unavailable
from gateway.proxy.index import Backend, Route
from gateway.proxy.routing import Router
from gateway.proxy.scrub import scrubber_of
from gateway.proxy.separation import Apart

_NEXT_PLEASE = (502, 503, 504)  # another backend may do better
_OURS = (401, 402, 403, 404, 405, 407)  # the client did nothing wrong: our route or credentials did


@dataclass
class Attempts:
    """How far a call got; filled while it is tried, read when it has failed."""

    reached: Backend | None = None  # the last backend that got the call


@contextlib.asynccontextmanager
async def ask(
    connections: Connections,
    router: Router,
    route: Route,
    path: str,
    body: Body,
    headers: dict[str, str],
    settings: SettingsConfig,
    attempts: Attempts,
    apart: Apart,
) -> AsyncIterator[tuple[Backend, aiohttp.ClientResponse]]:
    """Send a call to one backend after the other until one answers with 2xx; leaving closes the connection to
    it.

    The next one is tried if a backend cannot be connected to, hangs up before its first byte, or says 502,
    503 or 504. Raises Refusal: 503 if no backend could be reached, 502 or 504 if those reached failed, 4xx as
    the backend said it.
    """
    timeout = aiohttp.ClientTimeout(
        total=None,
        sock_connect=settings.connect_timeout_seconds,
        sock_read=settings.response_timeout_seconds,
    )
    last: Refusal | None = None
    for backend in router.candidates(route):
        payload = body.encode(apart.fields(backend.config))
        url = backend.config.url + path
        before, attempts.reached = attempts.reached, backend
        try:
            response = await connections.post(url, data=payload, headers=headers, timeout=timeout)
        except aiohttp.ConnectionTimeoutError:
            attempts.reached = before
            router.failed(backend, "connect")
            continue
        except TimeoutError:
            router.failed(backend, "timeout")
            raise Refusal(
                504, "backend_timeout", "The model did not answer in time. Try again.", kind="server_error"
            ) from None
        except aiohttp.ClientConnectorError:
            attempts.reached = before
            router.failed(backend, "connect")
            continue
        except aiohttp.ClientError:
            router.failed(backend, "disconnect")
            last = _backend_failed()
            continue
        try:
            if response.status in _NEXT_PLEASE:
                router.failed(backend, str(response.status))
                last = _backend_failed()
                continue
            router.answered(backend)
            if response.status // 100 != 2:
                error = await _read_error(response)
                trouble = account_trouble(response.status, error)
                if trouble is not None:  # ours, not the caller's: another backend may do better
                    router.alarms.account_refused(backend.id, route.config.model, response.status, trouble)
                    last = _backend_failed()
                    continue
                raise _refusal(response, error, backend, route, apart)
            yield backend, response
            router.succeeded(backend)
            return
        finally:
            response.close()
    if last is not None:
        raise last
    raise unavailable(
        "No backend of this model can be reached at the moment. Try again shortly.",
        "no_backend_available",
        router.seconds_until_probe(route),
    )


def _refusal(
    response: aiohttp.ClientResponse, error: BackendError, backend: Backend, route: Route, apart: Apart
) -> Refusal:
    """A backend's refusal as ours: its sentence for the client's faults, our own for everything else."""
    status = response.status
    if status >= 500 or status < 400 or status in _OURS:
        return _backend_failed()
    scrubber = scrubber_of(backend.config, route.config.model)
    return refusal_for(
        status, error, scrubber, retry_after=response.headers.get("retry-after"), secrets=apart.secrets
    )


def _backend_failed() -> Refusal:
    return Refusal(
        502,
        "backend_failed",
        "The model failed to answer. Try again; if it persists, give the operators this x-request-id.",
        kind="server_error",
        headers=retry_after(1.0),
    )


async def _read_error(response: aiohttp.ClientResponse) -> BackendError:
    """What a backend says about its refusal; empty if that does not come."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        return read_error(await response.content.read(LARGEST_ERROR))
    return BackendError()
