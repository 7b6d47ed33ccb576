"""Checks of a request's head alone: whether its size and kind are acceptable."""

from collections.abc import Iterable

from gateway.proxy.errors import Refusal, bad_request, unavailable
from gateway.proxy.http.exchange import Exchange, Fault
from gateway.proxy.http.server import LARGEST_HEAD

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


def problem_of(exchange: Exchange) -> Refusal | None:
    """Why a request is refused by its head: it is not HTTP (400), it is too long (414, 431), announces an unsupported
    kind of body (415, 417), or could be read in two ways (400). None if it may go on.
    """
    if exchange.fault:
        return _problem_of_fault(exchange.fault)
    if len(exchange.raw_path) + len(exchange.query) > LARGEST_TARGET:
        return _closing(414, "uri_too_long", f"The path and query are longer than {LARGEST_TARGET:,} bytes.")
    if exchange.head_count > MOST_HEADERS:
        return _closing(431, "headers_too_large", f"The request has more than {MOST_HEADERS} headers.")
    if exchange.head_size > LARGEST_HEADERS:
        return _closing(431, "headers_too_large", f"The headers are larger than {LARGEST_HEADERS:,} bytes.")
    if exchange.version == "1.0" and any(name == b"transfer-encoding" for name, _ in exchange.headers):
        return _closing(400, "unsupported_encoding", "HTTP/1.0 has no Transfer-Encoding.")
    return _problem_of_headers(exchange.headers)


def declared_length(headers: dict[str, str], largest: int) -> int | None:
    """The announced length of the body in bytes, or None if it comes without one.

    Raises Refusal (413) for more than `largest`.
    """
    announced = headers.get("content-length")
    if announced is None:
        return None if "transfer-encoding" in headers else 0
    if not (announced.isascii() and announced.isdigit()):
        raise bad_request("Content-Length must be a whole number.", code="invalid_request")
    if len(announced) > 15 or int(announced) > largest:
        raise too_large(largest)
    return int(announced)


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
