"""Sending one body to an address that a person typed (POST), in bounded time and memory."""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from core.egress.alarm import Alarm
from core.egress.connecting import Resolver, client_tls, connect
from core.egress.destinations import Destination, read_url
from core.egress.networks import Networks
from core.egress.words import EgressRefused, gettext_noop

# What of an answer is read, for those who want to see what a receiver said.
MOST_BYTES: Final = 4_096
_QUERY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{1,1500}")


@dataclass(frozen=True)
class Endpoint:
    """Where something is sent: a destination, and what is asked for there."""

    destination: Destination
    # Path and query, as in the first line of a request.
    target: str


@dataclass(frozen=True)
class Reply:
    """An answer of any status: redirects are answers like others."""

    status: int
    retry_after: str
    body: bytes
    milliseconds: int


def read_endpoint(url: str, networks: Networks) -> Endpoint:
    """Read an address that may end in a query, where services like to have their tokens. Looks nothing up.

    Raises EgressRefused as `read_url` does, and for a query with characters that have no place there.
    """
    place, mark, query = url.partition("?")
    destination = read_url(place, networks)
    if mark and not _QUERY.fullmatch(query):
        raise EgressRefused("url", gettext_noop("What follows the question mark is too long, or no query."))
    # A slash at its end is part of an address here, unlike in the base URL of a provider.
    path = destination.path + ("/" if place.endswith("/") and destination.path else "")
    return Endpoint(destination, f"{path or '/'}{mark}{query}")


def post(
    endpoint: Endpoint,
    body: bytes,
    headers: Mapping[str, str],
    networks: Networks,
    *,
    seconds: float,
    resolve: Resolver | None = None,
) -> Reply:
    """Send `body` to an endpoint once. The name is looked up here, and every address of the answer is checked.

    Args:
        endpoint: from `read_endpoint`.
        body: what is sent.
        headers: besides Host, Content-Length, User-Agent and Connection, which are ours.
        networks: the networks beyond the public Internet that may be reached.
        seconds: for everything after the look-up, however slowly bytes arrive.
        resolve: looks the name up; by default the system's resolver.

    Raises:
        EgressRefused: we do not connect there.
        TimeoutError: it took too long.
        OSError: nothing answers there, or not with TLS that we trust.
        http.client.HTTPException: what answers does not speak HTTP.
    """
    began = monotonic()
    sock = connect(endpoint.destination, networks, timeout_seconds=seconds, resolve=resolve)
    alarm = Alarm(sock, max(0.1, seconds - (monotonic() - began)))
    try:
        with alarm:
            if endpoint.destination.is_tls:
                sock = client_tls("").wrap_socket(sock, server_hostname=endpoint.destination.host)
            connection = http.client.HTTPConnection(endpoint.destination.host, endpoint.destination.port)
            connection.sock = sock
            connection.putrequest("POST", endpoint.target, skip_host=True, skip_accept_encoding=True)
            own = {"host": endpoint.destination.host_header, "content-length": str(len(body))}
            own |= {"user-agent": "quartermaster", "accept-encoding": "identity", "connection": "close"}
            for name, value in {**headers, **own}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            said = response.read(MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        if alarm.rang and not isinstance(error, TimeoutError):
            raise TimeoutError(f"No answer within {seconds:g} seconds.") from error
        raise
    finally:
        sock.close()
    if alarm.rang:
        raise TimeoutError(f"No answer within {seconds:g} seconds.")
    milliseconds = round((monotonic() - began) * 1000)
    return Reply(response.status, response.getheader("retry-after") or "", said, milliseconds)
