"""Who is calling: the key of a request, and whether it may be used now, from this address, for this call."""

import ipaddress
import time
from collections.abc import Mapping, Sequence

from gateway.contract import digest, looks_like_key
from gateway.proxy.errors import Refusal, bad_request, invalid_key
from gateway.proxy.index import Index, Key
from gateway.proxy.settings import Network

Headers = Mapping[str, str]
_FORWARDED = "x-forwarded-for"


def read_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """A request's headers as texts, by their names, which are in lower case. The last of repeated headers counts, but
    all of `X-Forwarded-For`: each proxy may add a line of its own.
    """
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(headers) < len(raw) and _FORWARDED in headers:
        lines = [value.decode("latin-1") for name, value in raw if name == _FORWARDED.encode()]
        headers[_FORWARDED] = ",".join(lines)
    return headers


def shown_key(headers: Headers) -> str:
    """The digest of the key that a request shows; empty if it cannot be a key. Raises Refusal if it shows none."""
    scheme, _, secret = credential(headers).partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise invalid_key(
            "You didn't provide an API key. Send it as `Authorization: Bearer qm_…`, or as `x-api-key: qm_…`."
        )
    # Malformed keys are refused before anything is hashed.
    return digest(secret) if looks_like_key(secret) else ""


def authenticate(index: Index, headers: Headers, client_ip: str, shown: str | None = None) -> Key:
    """Find the key of a request. Raises Refusal if there is none that may be used now and from this address.

    Args:
        index: the configuration.
        headers: of the request.
        client_ip: where it comes from.
        shown: what `shown_key` says of these headers, if it was asked already.
    """
    if shown is None:
        shown = shown_key(headers)
    key = index.keys.get(shown) if shown else None
    if key is None:
        raise invalid_key("Incorrect API key provided. Check it for missing characters, or claim a new one.")
    if key.has_ended(time.time()):
        raise invalid_key(
            f"The API key {key.config.prefix}… has expired. Request access again and claim a new one."
        )
    if key.networks and not _is_inside(client_ip, key.networks):
        raise Refusal(
            401,
            "ip_not_authorized",
            f"The API key {key.config.prefix}… may not be used from {client_ip}. Use it from one of its "
            "networks, or ask to add this one.",
        )
    if "x-tenant-id" in headers:
        _check_claim(headers, "x-tenant-id", "tenant", (key.config.tenant_id, key.config.tenant_slug))
    if "x-project-id" in headers:
        _check_claim(headers, "x-project-id", "project", (key.config.project_id, key.config.project_slug))
    return key


def require_endpoint(key: Key, path: str) -> None:
    """Raises Refusal (403) if a key is for other paths than this one, or one above it."""
    allowed = key.config.endpoints
    if allowed and not any(path == one or path.startswith(f"{one}/") for one in allowed):
        raise Refusal(
            403,
            "endpoint_not_allowed",
            f"The API key {key.config.prefix}… may call {', '.join(allowed)} only. Ask for a key for this endpoint.",
        )


def credential(headers: Headers) -> str:
    """What a request gives as `Authorization`, or else as `x-api-key`, as older clients of Anthropic do; empty for
    nothing.
    """
    given = headers.get("authorization", "")
    if not given and (key := headers.get("x-api-key", "")):
        return f"Bearer {key}"
    return given


def client_address(peer: str, headers: Headers, trusted_proxies: tuple[Network, ...]) -> str:
    """Where a request comes from: the peer, or the address that trusted proxies report, read from the nearest back."""
    if not trusted_proxies or not _is_inside(peer, trusted_proxies):
        return peer
    for hop in reversed(headers.get(_FORWARDED, "").split(",")):
        address = hop.strip()
        if not address:
            continue
        peer = address
        if not _is_inside(address, trusted_proxies):
            break
    return peer


def is_loopback(address: str) -> bool:
    """Whether an address belongs to this machine itself."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_inside(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks; False for an invalid address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in network for network in networks)


def _check_claim(headers: Headers, header: str, noun: str, truths: tuple[str, str]) -> None:
    claimed = headers[header]
    if claimed not in truths:
        raise bad_request(
            f"{header} says {claimed!r}, but this key belongs to another {noun}. Omit it, or use a key of "
            f"that {noun}.",
            code=f"{noun}_mismatch",
        )
