"""The open connections to backends, by address: kept for a few seconds after a call, and bounded in number."""

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections import Counter
from typing import NamedTuple
from urllib.parse import urlsplit

from core.egress import (
    Answered,
    Destination,
    EgressRefused,
    Networks,
    client_tls,
    first_to_answer,
    head_start_within,
)
from gateway.proxy.http.backend import BackendConnection
from gateway.proxy.http.errors import ConnectError, NoRoom
from gateway.proxy.http.outside import connect_outside

_RESOLVED_SECONDS = 30.0
_MOST_RESOLVED = 1024


class Trust(NamedTuple):
    """What holds for the connections to a provider, unlike to our own engines: checked addresses, verified TLS."""

    # PEM; empty: the authorities that the system trusts.
    private_ca: str
    # Of an HTTP proxy; empty: none.
    proxy_url: str
    # The networks beyond the public Internet that may be reached.
    networks: Networks


class Address(NamedTuple):
    """Where a backend listens. `host` is a name or an IP address, without brackets. `trust` is None for our own."""

    host: str
    port: int
    is_tls: bool
    trust: Trust | None = None


class Place(NamedTuple):
    """A URL as a request needs it: the address, and the beginning of the request's head."""

    address: Address
    start: bytes


@functools.lru_cache(4096)
def place_of(url: str, trust: Trust | None = None) -> Place:
    """Read the URL of a call. Raises ConnectError if it is not an http(s) URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise ValueError("not http(s)://host")
        is_tls = parts.scheme == "https"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        named = host if host.isascii() else host.encode("idna").decode()
        shown = f"[{named}]" if ":" in named else named
        if port is not None and port != (443 if is_tls else 80):
            shown = f"{shown}:{port}"
        start = f"POST {target} HTTP/1.1\r\nhost: {shown}\r\n".encode("ascii")
    except ValueError as error:
        raise ConnectError(f"the URL of the backend cannot be used: {error}") from None
    return Place(Address(named, port or (443 if is_tls else 80), is_tls, trust), start)


class Pool:
    """Connections to any number of addresses, each kept `kept_seconds` after its last call.

    At most `most` in all, of which one address has at most three quarters.
    """

    def __init__(self, *, most: int, kept_seconds: float) -> None:
        self._most = most
        self._most_each = max(1, most - most // 4)
        self._kept_seconds = kept_seconds
        # Open, or being opened.
        self._counts: Counter[Address] = Counter()
        # All that are open; the address of each.
        self._open: dict[BackendConnection, Address] = {}
        self._dialing = 0
        # Those without a call, by address; the newest last.
        self._idle: dict[Address, dict[BackendConnection, None]] = {}
        self._resolved: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._answered = Answered()

    def kept(self, address: Address) -> BackendConnection | None:
        """Take the connection that was used last and is still open, if there is one."""
        idle = self._idle.get(address)
        while idle:
            connection, _ = idle.popitem()
            if connection.is_usable:
                return connection
        return None

    async def dial(self, address: Address, seconds: float) -> BackendConnection:
        """Open a new connection within `seconds`. Raises ConnectError; NoRoom if there are too many."""
        if self._counts[address] >= self._most_each:
            raise NoRoom(f"all {self._most_each} connections to one address are in use")
        self._make_room()
        loop = asyncio.get_running_loop()
        self._dialing += 1
        self._counts[address] += 1
        connection: BackendConnection | None = None
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect(loop, address, seconds)
            return connection
        except TimeoutError:
            raise ConnectError("connecting took too long") from None
        except (OSError, UnicodeError) as error:
            raise ConnectError(str(error)) from error
        finally:
            self._dialing -= 1
            if connection not in self._open:
                self._uncount(address)

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            connection.leave()

    @property
    def size(self) -> int:
        """The number of open connections."""
        return len(self._open)

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, address: Address, seconds: float
    ) -> BackendConnection:
        """Connect to the first IP address that answers, within `seconds`. Raises OSError if none does."""
        if address.trust is not None:
            return await self._connect_outside(loop, address, address.trust, seconds)
        place = address.host, address.port
        found = self._answered.ordered(place, await self._resolve(loop, *place))
        ip, connection = await first_to_answer(
            found,
            lambda ip: self._connect_to(loop, address, ip),
            lambda late: late[1].close(),
            head_start=head_start_within(seconds),
        )
        # The next connection does not wait for those that are silent.
        self._answered.note(place, found, ip)
        # Otherwise it was lost already, and tells so when it is used.
        if connection.is_usable:
            self._open[connection] = address
        return connection

    async def _connect_to(
        self, loop: asyncio.AbstractEventLoop, address: Address, ip: str
    ) -> tuple[str, BackendConnection]:
        """Connect to one IP address, and return it too. Raises OSError."""
        _, connection = await loop.create_connection(
            lambda: BackendConnection(loop, self._became_idle, self._was_lost),
            ip,
            address.port,
            ssl=_verifying() if address.is_tls else None,
            server_hostname=address.host if address.is_tls else None,
        )
        return ip, connection

    async def _connect_outside(
        self, loop: asyncio.AbstractEventLoop, address: Address, trust: Trust, seconds: float
    ) -> BackendConnection:
        """Connect to a provider: only to an address that may be reached, looked up once. Raises OSError."""
        try:
            to = Destination("https" if address.is_tls else "http", address.host, address.port, "")
            sock = await connect_outside(
                to, trust.proxy_url, trust.networks, timeout_seconds=seconds, answered=self._answered
            )
            tls = _provider_tls(trust.private_ca) if address.is_tls else None
        except EgressRefused as error:
            raise OSError(str(error)) from error
        try:
            _, connection = await loop.create_connection(
                lambda: BackendConnection(loop, self._became_idle, self._was_lost),
                sock=sock,
                ssl=tls,
                server_hostname=address.host if tls else None,
            )
        except BaseException:
            sock.close()
            raise
        if connection.is_usable:
            self._open[connection] = address
        return connection

    async def _resolve(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[str]:
        """The IP addresses of a name, remembered for half a minute."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        known = self._resolved.get((host, port))
        if known is not None and loop.time() < known[0]:
            return known[1]
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if len(self._resolved) >= _MOST_RESOLVED:
            self._resolved.clear()
        self._resolved[host, port] = (loop.time() + _RESOLVED_SECONDS, addresses)
        return addresses

    def _make_room(self) -> None:
        """Close an idle connection if there are too many. Raises NoRoom if all are in use."""
        if len(self._open) + self._dialing < self._most:
            return
        for idle in self._idle.values():
            for connection in idle:
                del idle[connection]
                self._forget(connection)
                connection.close()
                return
        raise NoRoom(f"all {self._most} connections to backends are in use")

    def _became_idle(self, connection: BackendConnection) -> None:
        address = self._open.get(connection)
        if address is None:
            connection.close()
            return
        connection.keep(self._kept_seconds)
        self._idle.setdefault(address, {})[connection] = None

    def _was_lost(self, connection: BackendConnection) -> None:
        address = self._forget(connection)
        idle = self._idle.get(address) if address is not None else None
        if address is None or idle is None:
            return
        idle.pop(connection, None)
        if not idle:
            del self._idle[address]

    def _forget(self, connection: BackendConnection) -> Address | None:
        """Count a connection as closed, once. Returns its address."""
        address = self._open.pop(connection, None)
        if address is not None:
            self._uncount(address)
        return address

    def _uncount(self, address: Address) -> None:
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]


@functools.lru_cache(256)
def _provider_tls(private_ca: str) -> ssl.SSLContext:
    return client_tls(private_ca)


@functools.cache
def _verifying() -> ssl.SSLContext:
    """TLS that verifies the server's name and certificate against the authorities that the system trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
