"""URLs: what one means, read strictly enough that no two programs disagree about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from core.egress.networks import Address, Networks, check_address
from core.egress.words import EgressRefused, gettext_noop

LONGEST_URL: Final = 300
# Below 1024 live mail, shells, directories and file shares. A provider's API is at none of them.
_LOW_PORTS: Final = frozenset({80, 443})
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PROXY_SCHEME: Final = gettext_noop(
    "The URL of a proxy begins with http://. TLS is with the provider, through it."
)
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?")


@dataclass(frozen=True)
class Destination:
    """Where a URL leads, before any look-up. `host` is a name in lower case, or an address in its usual spelling."""

    scheme: str
    host: str
    port: int
    # Without a slash at the end; empty for none.
    path: str

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def literal(self) -> Address | None:
        """The address that the URL itself states; None if it states a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def host_header(self) -> str:
        """The value of the Host header: brackets around IPv6, the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in its one spelling."""
        return f"{self.scheme}://{self.host_header}{self.path}"


def read_url(url: str, networks: Networks) -> Destination:
    """Read the base URL of a provider. Looks nothing up; an address in the URL itself is checked here already.

    Raises EgressRefused for a scheme other than https (http needs an allowed network, which `connect` checks for
    names), for user information, a query, a fragment, a port below 1024 other than 80 and 443, an address that may not
    be reached, and every spelling that programs read in different ways: numbers in decimal, octal or hexadecimal,
    backslashes, white space, letters beyond ASCII, encoded paths.
    """
    destination = _read(url)
    if destination.scheme == "http" and not networks.allowed:
        raise EgressRefused(
            "scheme",
            gettext_noop(
                "http sends the credential in clear text. Use https, or allow the network that it is in."
            ),
        )
    if (address := destination.literal) is not None:
        check_address(address, networks)
        if not destination.is_tls and not networks.hold(address):
            raise EgressRefused(
                "scheme", gettext_noop("http is possible only within the allowed networks. Use https.")
            )
    return destination


def read_proxy_url(url: str, networks: Networks) -> Destination:
    """Read the URL of an HTTP proxy: like `read_url`, by http, and without a path. Raises EgressRefused."""
    try:
        proxy = read_url(url, networks)
    except EgressRefused as refused:
        if refused.code != "scheme" or "://" in url:
            raise
        raise EgressRefused("scheme", _PROXY_SCHEME) from refused
    if proxy.is_tls:
        raise EgressRefused("scheme", _PROXY_SCHEME)
    if proxy.path:
        raise EgressRefused(
            "path", gettext_noop("The URL of a proxy has no path: http://proxy.example.com:3128")
        )
    return proxy


def _read(url: str) -> Destination:
    if len(url) > LONGEST_URL:
        raise EgressRefused(
            "url", gettext_noop("The URL has more than %(most)d characters."), most=LONGEST_URL
        )
    if not url.isascii() and url.isprintable():
        raise EgressRefused(
            "url",
            gettext_noop("The URL has a character beyond ASCII. Write such a name in its form with xn--"),
        )
    if not url.isprintable() or any(mark in url for mark in ' \\"<>^`{|}'):
        raise EgressRefused(
            "url",
            gettext_noop(
                "The URL contains spaces, backslashes or other characters that have no place there."
            ),
        )
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise EgressRefused(
            "url", gettext_noop("This is not a URL. Write it as https://api.example.com/v1")
        ) from error
    try:
        port = parts.port
    except ValueError as error:
        raise EgressRefused("port", gettext_noop("The port is no number from 1 to 65535.")) from error
    if parts.scheme not in ("https", "http") or not url.startswith(f"{parts.scheme}://"):
        raise EgressRefused("scheme", gettext_noop("The URL begins with https://"))
    if "@" in parts.netloc:
        raise EgressRefused(
            "user_info", gettext_noop("The URL contains a user name. Credentials have a field of their own.")
        )
    if "?" in url or "#" in url:
        raise EgressRefused("url", gettext_noop("The URL has no query (?) and no fragment (#)."))
    if parts.netloc.endswith(":"):
        raise EgressRefused("port", gettext_noop("The URL has a colon without a port."))
    port = (443 if parts.scheme == "https" else 80) if port is None else port
    if port < 1 or (port < 1024 and port not in _LOW_PORTS):
        raise EgressRefused(
            "port",
            gettext_noop("Port %(port)d is not used for APIs. Possible are 80, 443, and 1024 to 65535."),
            port=port,
        )
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(parts.path) or any(part in (".", "..") for part in path.split("/")):
        raise EgressRefused(
            "path", gettext_noop("The path contains encoded characters, empty parts, '.' or '..'.")
        )
    return Destination(parts.scheme, _read_host(host), port, path)


def _read_host(host: str) -> str:
    """The host in its one spelling: an address, or a name whose last label is no number."""
    if not host or "%" in host:
        raise EgressRefused("host", gettext_noop("The URL names no host, or an interface of this machine."))
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise EgressRefused(
            "host", gettext_noop("Write an address as four decimal numbers, such as 192.0.2.10.")
        )
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise EgressRefused(
            "host", gettext_noop("This is not a host name. Write international names in their xn-- form.")
        )
    return name
