"""Where a Redis or Valkey is, and how to be let in: what a `GATEWAY_REDIS_URL` says."""

import hashlib
import socket
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

_PORT = 6379
_NUMBERS = ("db",)
_TEXTS = ("username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


class Address(NamedTuple):
    """A host and port, or the path of a socket."""

    host: str
    port: int = 0

    @property
    def is_socket(self) -> bool:
        return self.port == 0

    @classmethod
    def read(cls, text: str, near: "Address") -> "Address":
        """The address that a server names as `host:port`; without a host, it is on the host of `near`."""
        host, _, port = text.rpartition(":")
        return cls(host.strip("[]") or near.host, int(port))


@dataclass(frozen=True, slots=True)
class Access:
    """The same for every server of a cluster. Without `tls` connections are not encrypted."""

    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    tls: ssl.SSLContext | None = None


def read_url(url: str) -> tuple[Address, Access]:
    """The address in a URL, and how to be let in there. Raises ValueError, without the password in the message.

    Besides user, password and number, the query may name `db`, `username` and `password` (for a socket), and for TLS
    the files `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`. The server's certificate is always verified.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    unknown = sorted(options.keys() - {*_NUMBERS, *_TEXTS})
    if unknown:
        raise ValueError(f"{unknown[0]} is not an option here")
    number = options.get("db", "0" if parts.scheme == "unix" else parts.path.strip("/") or "0")
    if not (number.isascii() and number.isdigit()):
        raise ValueError("the number of the database must be a whole number")
    access = Access(
        username=options.get("username", unquote(parts.username or "")),
        password=options.get("password", unquote(parts.password or "")),
        database=int(number),
        tls=_tls(options) if parts.scheme == "rediss" else None,
    )
    if parts.scheme == "unix":
        return Address(unquote(parts.path)), access
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("it must be redis://, rediss:// or unix:///")
    return Address(unquote(parts.hostname), parts.port or _PORT), access


def place_name(url: str) -> str:
    """A name for where a URL leads, which is the same for all who count there; empty for no URL.

    It reveals neither the address nor the password. Addresses that only this machine can reach are of this machine.
    Two names of one server count as two places.
    """
    if not url:
        return ""
    address, access = read_url(url)
    is_here = address.is_socket or address.host == "localhost" or address.host.startswith("127.")
    parts = (socket.gethostname() if is_here or address.host == "::1" else "", *address, access.database)
    return hashlib.sha256("\n".join(map(str, parts)).lower().encode()).hexdigest()[:16]


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    """Raises ValueError if a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"a file for TLS cannot be used: {error}") from error
    return context
