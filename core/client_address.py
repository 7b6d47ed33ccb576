"""The caller's address of a request that came through proxies."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The caller's address; None if the server does not know it.

    Every proxy appends the address of its client to `X-Forwarded-For`. With n trusted proxies (TRUSTED_PROXIES), one
    of ours wrote the n-th entry from the right; anybody may have made up the entries left of it. Without proxies the
    header means nothing. If the header is too short or not an address, the result is None.
    """
    direct = _readable(request.META.get("REMOTE_ADDR", ""))
    if not settings.TRUSTED_PROXIES:
        return direct
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(forwarded) < settings.TRUSTED_PROXIES:
        return direct
    return _readable(forwarded[-settings.TRUSTED_PROXIES]) or direct


def caller_place(request: HttpRequest) -> str | None:
    """The key for counting tries: the caller's address, or for IPv6 its /64 network, the least that one caller gets.

    With whole IPv6 addresses, a caller could make every try from another of 2^64.
    """
    address = client_address(request)
    if address is None or ":" not in address:
        return address
    return str(ip_network(f"{address}/64", strict=False).network_address)


def _readable(text: str) -> str | None:
    """The address in its canonical spelling, without brackets, port or zone."""
    bare = text.strip().partition("%")[0]
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
