"""Whose address a request came from, when proxies stand in between."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The caller's address; None when the server does not know one.

    Every proxy appends whom it heard from to `X-Forwarded-For`, so with n trusted proxies (TRUSTED_PROXIES)
    the n-th entry from the right was written by one of ours; everything left of it anybody may have made up.
    Without proxies the header means nothing. A header that is too short or no address counts as none.
    """
    direct = _readable(request.META.get("REMOTE_ADDR", ""))
    if not settings.TRUSTED_PROXIES:
        return direct
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(forwarded) < settings.TRUSTED_PROXIES:
        return direct
    return _readable(forwarded[-settings.TRUSTED_PROXIES]) or direct


def caller_place(request: HttpRequest) -> str | None:
    """Where tries are counted: the caller's address, of IPv6 its /64 network, which is the least that one caller gets.

    Counted by whole IPv6 addresses every try could come from another of 2^64.
    """
    address = client_address(request)
    if address is None or ":" not in address:
        return address
    return str(ip_network(f"{address}/64", strict=False).network_address)


def _readable(text: str) -> str | None:
    """The address in its one canonical spelling, without brackets, port or zone."""
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
