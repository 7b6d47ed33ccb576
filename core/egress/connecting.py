"""Connections: one look-up, every address checked, and the socket goes to a checked one."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final, TypeAlias

from core.egress.destinations import Destination
from core.egress.networks import Address, Networks, check_address
from core.egress.racing import Answered, connected, first_to_answer, head_start_within
from core.egress.words import EgressRefused, gettext_noop

# What `getaddrinfo` returns, as far as we use it: texts of addresses.
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
AsyncResolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
LONGEST_CA: Final = 65_536
_LONGEST_PROXY_ANSWER: Final = 8_192


def connect(
    destination: Destination,
    networks: Networks,
    *,
    timeout_seconds: float,
    resolve: Resolver | None = None,
) -> socket.socket:
    """Open a TCP connection to a checked address of `destination`. TLS is the caller's next step (`client_tls`).

    The time-out covers all addresses together, so that a silent one has only its share, and stays set on the socket.
    The system's look-up has its own.

    Args:
        destination: from `read_url`.
        networks: the networks that an operator has allowed.
        timeout_seconds: for the connection.
        resolve: looks a name up; by default the system's resolver.

    Raises:
        EgressRefused: an address of the answer may not be reached. Then none of them is tried.
        OSError: the name is not known (socket.gaierror), or nothing answers there.
    """
    addresses = look_up(destination, networks, resolve=resolve)
    until = monotonic() + timeout_seconds
    failure: OSError = OSError(f"{destination.host} has no address.")
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        sock = _socket_for(address)
        try:
            sock.settimeout(max(0.01, (until - monotonic()) / left))
            sock.connect((str(address), destination.port))
            _check_peer(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            sock.settimeout(timeout_seconds)
            return sock
    raise failure


async def connect_async(
    destination: Destination,
    networks: Networks,
    *,
    timeout_seconds: float,
    resolve: AsyncResolver | None = None,
    answered: Answered | None = None,
) -> socket.socket:
    """Like `connect`, on the running event loop: `loop.create_connection(..., sock=…, server_hostname=host)` is next.

    While one address is silent, the next is tried as well: the first that answers is taken.

    Args:
        destination: from `read_url`.
        networks: the networks that an operator has allowed.
        timeout_seconds: for look-up and connection together.
        resolve: looks a name up; by default the loop's resolver.
        answered: what earlier connections found out about silent addresses, and this one adds to.

    Raises:
        EgressRefused: an address of the answer may not be reached. Then none of them is tried.
        OSError: the name is not known, nothing answers there, or it took too long (TimeoutError).
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_seconds):
        if destination.literal is not None:
            found: Sequence[str] = [destination.host]
        elif resolve is not None:
            found = await resolve(destination.host, destination.port)
        else:
            answer = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
            found = [str(entry[4][0]) for entry in answer]
        place, answered = (destination.host, destination.port), answered or Answered()
        addresses = answered.ordered(place, [str(one) for one in _checked(destination, found, networks)])
        address, sock = await first_to_answer(
            addresses,
            lambda address: _connected_as_checked(address, destination.port),
            lambda late: late[1].close(),
            head_start=head_start_within(timeout_seconds),
        )
        answered.note(place, addresses, address)
        return sock


def look_up(
    destination: Destination, networks: Networks, *, resolve: Resolver | None = None
) -> list[Address]:
    """The addresses of a destination, each checked. Raises EgressRefused if one may not be reached, or gaierror."""
    if destination.literal is not None:
        return _checked(destination, [destination.host], networks)
    return _checked(destination, (resolve or _system)(destination.host, destination.port), networks)


def connect_through_proxy(
    destination: Destination,
    proxy: Destination,
    networks: Networks,
    *,
    timeout_seconds: float,
    resolve: Resolver | None = None,
) -> socket.socket:
    """Open a tunnel (CONNECT) to an https destination through a proxy. The proxy looks the name up, and may refuse it.

    The proxy's own address is checked like any other. TLS then runs through the tunnel, with the destination's name.

    Args:
        destination: from `read_url`; https only, because a proxy would read http.
        proxy: from `read_proxy_url`.
        networks: the networks that an operator has allowed.
        timeout_seconds: for the connection, and again for the whole of the proxy's answer.
        resolve: looks the proxy's name up; by default the system's resolver.

    Raises:
        EgressRefused: the proxy's address may not be reached, or the destination is not https.
        OSError: the proxy does not answer, or refuses the tunnel.
    """
    if not destination.is_tls:
        raise EgressRefused("scheme", gettext_noop("Only https goes through a proxy."))
    sock = connect(proxy, networks, timeout_seconds=timeout_seconds, resolve=resolve)
    try:
        host = f"[{destination.host}]" if ":" in destination.host else destination.host
        target = f"{host}:{destination.port}"
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        _read_tunnel_answer(sock, monotonic() + timeout_seconds)
        sock.settimeout(timeout_seconds)
    except BaseException:
        sock.close()
        raise
    return sock


def client_tls(private_ca: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, with the server's name and chain verified: by `private_ca` (PEM) alone, else by the system's.

    Raises EgressRefused for PEM text that holds no certificate.
    """
    if private_ca:
        try:
            context = ssl.create_default_context(cadata=private_ca)
        except (ssl.SSLError, ValueError) as error:
            raise EgressRefused(
                "private_ca", gettext_noop("The private CA is no certificate in PEM form.")
            ) from error
    else:
        context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def read_private_ca(said: str) -> str:
    """The certificates of a private CA as PEM, without anything between them. Empty stays empty.

    Raises EgressRefused for a private key, for text without a valid certificate, and for one that is no authority.
    """
    text = said.replace("\r\n", "\n").strip()
    if not text:
        return ""
    if "PRIVATE KEY" in text:
        raise EgressRefused(
            "private_ca", gettext_noop("This contains a private key. Paste only the CA's certificate.")
        )
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [part.partition(end)[0].strip() for part in text.split(begin)[1:]]
    pem = "".join(f"{begin}\n{block}\n{end}\n" for block in blocks)
    if not blocks or len(pem) > LONGEST_CA:
        raise EgressRefused(
            "private_ca",
            gettext_noop(
                "Paste the CA's certificates in PEM form (-----BEGIN CERTIFICATE-----), at most 64 kB."
            ),
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise EgressRefused("private_ca", gettext_noop("One of the certificates cannot be read.")) from error
    if not context.cert_store_stats()["x509_ca"]:
        raise EgressRefused(
            "private_ca", gettext_noop("This is no certificate of an authority (CA:TRUE is missing).")
        )
    return pem


def _system(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _checked(destination: Destination, found: Sequence[str], networks: Networks) -> list[Address]:
    """Each address once, in order. One bad address refuses the whole answer: it is how a rebinding answer looks."""
    addresses = list(dict.fromkeys(ip_address(text) for text in found))
    for address in addresses:
        check_address(address, networks)
        if not destination.is_tls and not networks.hold(address):
            raise EgressRefused(
                "scheme",
                gettext_noop(
                    "http is possible only within the allowed networks, and %(address)s is in none of them."
                ),
                address=address,
            )
    return addresses


async def _connected_as_checked(address: str, port: int) -> tuple[str, socket.socket]:
    """A checked address with a connection to it. Raises OSError, or EgressRefused if another one was reached."""
    sock = await connected(address, port)
    try:
        _check_peer(sock, ip_address(address))
    except BaseException:
        sock.close()
        raise
    return address, sock


def _socket_for(address: Address) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.socket(family, socket.SOCK_STREAM)


def _check_peer(sock: socket.socket, address: Address) -> None:
    """The last word is the connection's own: whom it reached, whatever stood between."""
    peer: Any = sock.getpeername()[0]
    if ip_address(peer) != address:
        raise EgressRefused(
            "peer",
            gettext_noop("The connection to %(address)s reached %(peer)s."),
            address=address,
            peer=peer,
        )


def _read_tunnel_answer(sock: socket.socket, until: float) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        if (left := until - monotonic()) <= 0:
            raise TimeoutError("The proxy's answer takes too long.")
        sock.settimeout(left)
        # One byte at a time: what follows the head belongs to TLS.
        byte = sock.recv(1)
        answer += byte
        if not byte or len(answer) > _LONGEST_PROXY_ANSWER:
            raise ConnectionError("The proxy's answer is no answer to CONNECT.")
    status = answer.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
        said = status[1].decode("latin-1")[:3] if len(status) > 1 else "nothing"
        raise ConnectionError(f"The proxy refuses the connection (it answers {said}).")
