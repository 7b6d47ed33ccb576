"""A call as one target needs it: its URL, body and headers, and how to connect there."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import msgspec

from core.egress import read_networks
from deployments.providers.dialects import ENDPOINT_OF_MODE, PATHS, url_of
from gateway.contract import SettingsConfig
from gateway.proxy.dialects.anthropic_backend.request import MessagesModel, messages_request
from gateway.proxy.dialects.surfaces import changes_for
from gateway.proxy.http.pool import Trust
from gateway.proxy.index import Backend
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.separation import Apart
from gateway.proxy.tracing import TRACE_HEADERS
from gateway.proxy.vault import Vault

_PATHS = {mode: f"/{PATHS[name]}" for mode, name in ENDPOINT_OF_MODE.items()}


class Outgoing(msgspec.Struct, frozen=True):
    """What is sent to one target."""

    url: str
    payload: bytes
    headers: Mapping[str, str]
    connect_seconds: float
    response_seconds: float
    # None: one of our own engines, wherever it is.
    trust: Trust | None = None
    # What of it no client may see, even if the target repeats it: the credential.
    secrets: tuple[str, ...] = ()


def outgoing(
    backend: Backend,
    parsed: ParsedRequest,
    headers: dict[str, str],
    settings: SettingsConfig,
    apart: Apart,
    vault: Vault,
) -> Outgoing:
    """A client's call for one target. Raises Refusal (400) for a field that its dialect cannot say, and NoCredential.

    Args:
        backend: the target's address.
        parsed: the client's call.
        headers: what every target gets.
        settings: the configuration's settings.
        apart: keeps tenants apart at backends.
        vault: the credentials of providers.
    """
    mode, body = parsed.mode, parsed.body
    fields = apart.fields(backend.config)
    provider, dialect = backend.config.provider, backend.dialect
    if provider is None or dialect is None:
        return Outgoing(
            backend.url + _PATHS[mode],
            body.encode(fields),
            headers,
            backend.connect_seconds(settings),
            backend.first_byte_seconds(settings),
        )
    if not provider.receives_traces:
        # A trace is ours: it tells others which of our calls belong together.
        headers = {name: value for name, value in headers.items() if name not in TRACE_HEADERS}
    own = {**headers, **dialect.headers, **provider.headers}
    auth = vault.header(dialect, backend.id, provider.credentials)
    if auth is not None:
        own[auth[0]] = auth[1]
    endpoint = ENDPOINT_OF_MODE[mode]
    if dialect.speech == "anthropic":
        endpoint = "messages"
        if parsed.relayed is not None:
            payload = parsed.relayed.payload(backend.config.upstream_model)
            own |= {**parsed.relayed.headers, **provider.headers}
        else:
            payload = messages_request(body.encode(), MessagesModel(backend.config.upstream_model))
    else:
        payload = body.encode({**changes_for(body, dialect, mode), **fields})
    url = url_of(
        dialect,
        backend.url,
        endpoint,
        model=backend.config.upstream_model,
        version=provider.api_version,
    )
    return Outgoing(
        url,
        payload,
        own,
        backend.connect_seconds(settings),
        backend.first_byte_seconds(settings),
        trust_of(provider.private_ca, provider.proxy_url, tuple(settings.allowed_networks)),
        (auth[1].removeprefix(dialect.auth_prefix),) if auth is not None else (),
    )


@functools.lru_cache(1024)
def trust_of(private_ca: str, proxy_url: str, allowed_networks: tuple[str, ...]) -> Trust:
    """How to connect to a provider: made once for equal facts."""
    return Trust(private_ca, proxy_url, read_networks(allowed_networks))
