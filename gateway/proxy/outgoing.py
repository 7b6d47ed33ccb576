"""A call as one target needs it: its URL, body and headers, and how to connect there."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from core.egress import read_networks
from deployments.providers.dialects import ENDPOINT_OF_MODE, PATHS, Dialect, url_of
from gateway.contract import ProviderConfig, SettingsConfig
from gateway.proxy.connections import lines_of
from gateway.proxy.dialects.anthropic_backend.request import MessagesModel, messages_request
from gateway.proxy.dialects.surfaces import changes_for
from gateway.proxy.http.pool import Trust
from gateway.proxy.index import Backend
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.separation import Apart
from gateway.proxy.vault import Vault

_JSON = "application/json"
_PATHS = {mode: f"/{PATHS[name]}" for mode, name in ENDPOINT_OF_MODE.items()}


class Sent(msgspec.Struct, frozen=True):
    """The headers that every target gets of one call. `trace` is ours, not the client's own."""

    content_type: str
    accept: str
    request_id: str
    trace: Mapping[str, str]

    def named(self, *, with_trace: bool) -> dict[str, str]:
        """These headers by name. A trace tells others which of our calls belong together."""
        headers = {**_kind(self.content_type, self.accept), "x-request-id": self.request_id}
        return {**headers, **self.trace} if with_trace else headers

    def lines(self) -> bytes:
        """These headers as bytes."""
        kind = _KNOWN_KINDS.get(self.accept) if self.content_type == _JSON else None
        if kind is None or self.trace:
            return lines_of(self.named(with_trace=True))
        return b"%bx-request-id: %b\r\n" % (kind, self.request_id.encode())


def _kind(content_type: str, accept: str) -> dict[str, str]:
    return {"content-type": content_type, "accept": accept, "accept-encoding": "identity"}


# The lines of most calls, by what they accept.
_KNOWN_KINDS = {accept: lines_of(_kind(_JSON, accept)) for accept in (_JSON, "text/event-stream")}


class Outgoing(msgspec.Struct, frozen=True):
    """What is sent to one target."""

    url: str
    payload: bytes
    # Its headers, without those that describe the body and the connection.
    lines: bytes
    connect_seconds: float
    response_seconds: float
    # None: one of our own engines, wherever it is.
    trust: Trust | None = None
    # What of it no client may see, even if the target repeats it: the credential.
    secrets: tuple[str, ...] = ()


def outgoing(
    backend: Backend,
    parsed: ParsedRequest,
    sent: Sent,
    settings: SettingsConfig,
    apart: Apart,
    vault: Vault,
) -> Outgoing:
    """A client's call for one target. Raises Refusal (400) for a field that its dialect cannot say, and NoCredential.

    Args:
        backend: the target's address.
        parsed: the client's call.
        sent: what every target gets.
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
            sent.lines(),
            backend.connect_seconds(settings),
            backend.first_byte_seconds(settings),
        )
    headers = sent.named(with_trace=provider.receives_traces)
    own, secrets = _to_provider(backend, dialect, provider, headers, vault)
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
        lines_of(own),
        backend.connect_seconds(settings),
        backend.first_byte_seconds(settings),
        trust_of(provider.private_ca, provider.proxy_url, tuple(settings.allowed_networks)),
        secrets,
    )


def stored_call(
    backend: Backend, response_id: str, headers: dict[str, str], settings: SettingsConfig, vault: Vault
) -> Outgoing:
    """A request about an answer that a target has stored. Raises NoCredential.

    Args:
        backend: the target's address.
        response_id: the target's own id of the answer.
        headers: what every target gets.
        settings: the configuration's settings.
        vault: the credentials of providers.
    """
    part = f"/{quote(response_id, safe='')}"
    provider, dialect = backend.config.provider, backend.dialect
    seconds = backend.connect_seconds(settings), backend.first_byte_seconds(settings)
    if provider is None or dialect is None:
        return Outgoing(backend.url + _PATHS["responses"] + part, b"", lines_of(headers), *seconds)
    own, secrets = _to_provider(backend, dialect, provider, headers, vault)
    url = url_of(dialect, backend.url, "responses", version=provider.api_version)
    path, mark, query = url.partition("?")
    trust = trust_of(provider.private_ca, provider.proxy_url, tuple(settings.allowed_networks))
    return Outgoing(f"{path}{part}{mark}{query}", b"", lines_of(own), *seconds, trust, secrets)


def _to_provider(
    backend: Backend, dialect: Dialect, provider: ProviderConfig, headers: dict[str, str], vault: Vault
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers for a provider, and what of them no client may see.

    Args:
        backend: the target's address.
        dialect: the provider's.
        provider: how to call it.
        headers: what every target gets.
        vault: the credentials of providers.
    """
    own = {**headers, **dialect.headers, **provider.headers}
    auth = vault.header(dialect, backend.id, provider.credentials)
    if auth is None:
        return own, ()
    own[auth[0]] = auth[1]
    return own, (auth[1].removeprefix(dialect.auth_prefix),)


@functools.lru_cache(1024)
def trust_of(private_ca: str, proxy_url: str, allowed_networks: tuple[str, ...]) -> Trust:
    """How to connect to a provider: made once for equal facts."""
    return Trust(private_ca, proxy_url, read_networks(allowed_networks))
