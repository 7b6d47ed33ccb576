"""Asking a provider one question (GET), with everything that egress requires, in bounded time and memory."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from socket import socket
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from core.egress import (
    Alarm,
    Destination,
    Networks,
    client_tls,
    connect,
    connect_through_proxy,
    gettext_noop,
    read_proxy_url,
    read_url,
)
from core.egress.connecting import Resolver
from deployments.providers.dialects import DIALECTS, Dialect
from deployments.providers.faults import ProviderFault, of_connection, of_status

# Of one answer; the longest list of models known has 2 MB.
MOST_BYTES: Final = 8 * 1024 * 1024
# For one question, whatever the provider's time-outs: somebody waits in front of a page.
MOST_SECONDS: Final = 20.0
AGENT: Final = "quartermaster"


@dataclass(frozen=True)
class Upstream:
    """A provider as it is called: its place, dialect, credential in clear text, and patience."""

    base_url: str
    dialect: str
    credential: str = field(default="", repr=False)
    # The gateway has it (a file, an environment variable), and we do not.
    is_credential_elsewhere: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    api_version: str = ""
    proxy_url: str = ""
    private_ca: str = field(default="", repr=False)
    connect_timeout_seconds: float = 5
    first_byte_timeout_seconds: float = 10
    idle_timeout_seconds: float = 10

    @property
    def spoken(self) -> Dialect:
        """The row of its dialect."""
        return DIALECTS[self.dialect]


@dataclass(frozen=True)
class Answer:
    """A JSON answer with status 200."""

    document: Any
    milliseconds: int


def ask(upstream: Upstream, networks: Networks, url: str, *, resolve: Resolver | None = None) -> Answer:
    """Ask a provider for a JSON document. No redirect is followed, nothing is retried.

    Args:
        upstream: the provider.
        networks: the networks that operators have allowed.
        url: below the provider's base URL (`dialects.models_url_of`); its path and query are asked for.
        resolve: looks names up; by default the system's resolver.

    Raises:
        EgressRefused: we do not connect there.
        ProviderFault: it was asked, or could not be; the sentence says what is wrong.
    """
    destination = read_url(upstream.base_url, networks)
    began = monotonic()
    patience = min(
        MOST_SECONDS,
        upstream.connect_timeout_seconds
        + upstream.first_byte_timeout_seconds
        + upstream.idle_timeout_seconds,
    )
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    sock = _connected(upstream, destination, networks, resolve)
    alarm = Alarm(sock, max(0.1, patience - (monotonic() - began)))
    try:
        with alarm:
            status, location, body = _exchange(
                _with_tls(sock, destination, upstream), destination, target, upstream
            )
    except (OSError, http.client.HTTPException) as error:
        if alarm.rang or isinstance(error, TimeoutError):
            raise too_slow(patience) from error
        if isinstance(error, OSError):
            raise of_connection(error, destination.host_header, patience) from error
        raise ProviderFault(
            "not_http", gettext_noop("%(host)s does not answer in HTTP."), host=destination.host_header
        ) from error
    finally:
        sock.close()
    if alarm.rang:
        raise too_slow(patience)
    if status != 200:
        fault = of_status(
            status, body, base_url=destination.url, credential=upstream.credential, location=location
        )
        fault.milliseconds = round((monotonic() - began) * 1000)
        raise fault
    if len(body) > MOST_BYTES:
        raise ProviderFault("too_long", gettext_noop("Its answer is longer than 8 MB."))
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProviderFault(
            "not_json",
            gettext_noop("It answers, but not in JSON. Is %(url)s the address of an API, or of a web page?"),
            url=destination.url,
        ) from error
    return Answer(document, round((monotonic() - began) * 1000))


def _connected(
    upstream: Upstream, destination: Destination, networks: Networks, resolve: Resolver | None
) -> socket:
    seconds = upstream.connect_timeout_seconds
    try:
        if upstream.proxy_url:
            proxy = read_proxy_url(upstream.proxy_url, networks)
            return connect_through_proxy(
                destination, proxy, networks, timeout_seconds=seconds, resolve=resolve
            )
        return connect(destination, networks, timeout_seconds=seconds, resolve=resolve)
    except OSError as error:
        raise of_connection(error, destination.host_header, seconds) from error


def _with_tls(sock: socket, destination: Destination, upstream: Upstream) -> socket:
    if not destination.is_tls:
        return sock
    return client_tls(upstream.private_ca).wrap_socket(sock, server_hostname=destination.host)


def _exchange(
    sock: socket, destination: Destination, target: str, upstream: Upstream
) -> tuple[int, str, bytes]:
    """Send the question and read the answer: status, Location, and at most MOST_BYTES + 1 bytes of body."""
    sock.settimeout(upstream.first_byte_timeout_seconds)
    connection = http.client.HTTPConnection(destination.host, destination.port)
    connection.sock = sock
    try:
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        own = {"host": destination.host_header, "accept": "application/json", "accept-encoding": "identity"}
        own |= {"user-agent": AGENT, "connection": "close"}
        for name, value in ({**upstream.headers} | _headers_of(upstream) | own).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        sock.settimeout(upstream.idle_timeout_seconds)
        return response.status, response.getheader("location") or "", response.read(MOST_BYTES + 1)
    finally:
        connection.close()


def _headers_of(upstream: Upstream) -> dict[str, str]:
    dialect = upstream.spoken
    return {**dialect.headers} | (dict([dialect.auth(upstream.credential)]) if upstream.credential else {})


def too_slow(seconds: float) -> ProviderFault:
    """The fault of a provider that did not answer in time."""
    return ProviderFault(
        "too_slow", gettext_noop("It took more than %(seconds)g seconds to answer."), seconds=seconds
    )
