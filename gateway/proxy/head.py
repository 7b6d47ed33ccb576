"""Checks of a request's head alone: whether its size and kind are acceptable, and what is known from it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.proxy.auth import client_address, read_headers
from gateway.proxy.errors import Refusal, bad_request, unavailable
from gateway.proxy.http.exchange import Exchange, Fault
from gateway.proxy.http.server import LARGEST_HEAD
from gateway.proxy.index import Key
from gateway.proxy.settings import Network

if TYPE_CHECKING:
    from gateway.proxy.endpoint import Endpoint

MESSAGES_PATH = "/v1/messages"
# The most bytes of path and query.
LARGEST_TARGET = 8 * 1024
# The most bytes of all names and values.
LARGEST_HEADERS = 32 * 1024
MOST_HEADERS = 80
LARGEST_AUTHORIZATION = 4 * 1024
# Characters of a path in messages and logs.
_SHOWN = 200
# If one of these headers is repeated, some readers use the first and others the last.
_ONCE = frozenset(
    (b"authorization", b"x-api-key", b"x-tenant-id", b"x-project-id", b"x-trace-id", b"x-routing-strategy",
     b"x-session-id", b"content-length", b"transfer-encoding", b"host")
)  # fmt: skip


class Known:
    """What follows from the head of a request and its connection alone, if nothing speaks against it.

    Kept as long as the connection has further requests with this head. `endpoint` and the key are for `app`.
    """

    __slots__ = ("client_ip", "endpoint", "headers", "is_messages", "key", "key_digest", "key_of", "path")

    def __init__(self, path: str, headers: dict[str, str], client_ip: str) -> None:
        """Note the path, percent-decoded, the headers by names in lower case, without Content-Length, and where the
        request comes from.
        """
        self.path = path
        self.headers = headers
        self.client_ip = client_ip
        # Clients of the Messages API read errors in another shape.
        self.is_messages = path == MESSAGES_PATH or path.startswith(f"{MESSAGES_PATH}/")
        # Where the calls go, once the path and the method are known to be right.
        self.endpoint: Endpoint | None = None
        # Of the key that they show (`auth.shown_key`); None: not looked at.
        self.key_digest: str | None = None
        # The key, if it may call here, by the configuration with this mark; only its end is still to be looked at.
        self.key: Key | None = None
        self.key_of: object = None


def known_of(exchange: Exchange, trusted_proxies: tuple[Network, ...]) -> Known:
    """What is known from a request's head: read once for all requests of a connection that have the same.

    Raises Refusal if the head cannot be accepted: it is not HTTP (400), it is too long (414, 431), announces an
    unsupported kind of body (415, 417), or could be read in two ways (400).
    """
    if exchange.fault:
        raise _problem_of_fault(exchange.fault)
    head = exchange.head
    target = head.target
    if len(target.raw_path) + len(target.query) > LARGEST_TARGET:
        raise _closing(414, "uri_too_long", f"The path and query are longer than {LARGEST_TARGET:,} bytes.")
    if head.count > MOST_HEADERS:
        raise _closing(431, "headers_too_large", f"The request has more than {MOST_HEADERS} headers.")
    if head.size > LARGEST_HEADERS:
        raise _closing(431, "headers_too_large", f"The headers are larger than {LARGEST_HEADERS:,} bytes.")
    if (problem := _problem_of_headers(head.fields)) is not None:
        raise problem
    headers = read_headers(head.fields)
    if head.version == "1.0" and "transfer-encoding" in headers:
        raise _closing(400, "unsupported_encoding", "HTTP/1.0 has no Transfer-Encoding.")
    known = head.known = Known(target.path, headers, client_address(exchange.peer, headers, trusted_proxies))
    return known


def declared_length(announced: bytes | None, headers: Mapping[str, str], largest: int) -> int | None:
    """The announced length of the body in bytes, or None if it comes without one.

    `announced` is the value of Content-Length. Raises Refusal (413) for more than `largest`.
    """
    if announced is None:
        return None if "transfer-encoding" in headers else 0
    # Of bytes, only 0 to 9 are digits.
    if not announced.isdigit():
        raise bad_request("Content-Length must be a whole number.", code="invalid_request")
    if len(announced) > 15 or (length := int(announced)) > largest:
        raise too_large(largest)
    return length


def too_large(largest: int) -> Refusal:
    """413 for a body that is too large."""
    return _closing(
        413,
        "request_too_large",
        f"The body is larger than {largest:,} bytes. Send less at once, for example fewer messages or texts.",
    )


def shown(path: str) -> str:
    """A path, shortened for messages and logs."""
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"


def _problem_of_headers(raw: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
    seen: set[bytes] = set()
    for name, value in raw:
        if name in _ONCE:
            if name in seen:
                return _closing(400, "repeated_header", f"{name.decode()} is there twice. Send it once.")
            seen.add(name)
        if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            return _closing(400, "unsupported_encoding", "The only supported Transfer-Encoding is chunked.")
        if name in (b"authorization", b"x-api-key") and len(value) > LARGEST_AUTHORIZATION:
            return _closing(
                431,
                "headers_too_large",
                f"{name.decode().capitalize()} is larger than {LARGEST_AUTHORIZATION:,} bytes.",
            )
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return _closing(
                415, "unsupported_encoding", "Send the body uncompressed, without Content-Encoding."
            )
        if name == b"expect" and value.strip().lower() != b"100-continue":
            return _closing(417, "expectation_failed", "The only supported Expect is 100-continue.")
    return None


def _problem_of_fault(fault: Fault) -> Refusal:
    if fault == "too_large":
        return _closing(431, "headers_too_large", f"The head is larger than {LARGEST_HEAD:,} bytes.")
    if fault == "no_room":
        return unavailable("Too many clients are connected. Try again shortly.", "overloaded")
    return _closing(400, "invalid_http", "This is not a valid HTTP/1.1 request.")


def _closing(status: int, code: str, message: str) -> Refusal:
    return Refusal(status, code, message, headers={"connection": "close"})
