"""Connections to providers: to a checked address, directly or through a proxy."""

import asyncio
import socket

from core.egress import (
    Answered,
    Destination,
    EgressRefused,
    Networks,
    check_address,
    connect_async,
    read_proxy_url,
)
from core.egress.words import gettext_noop

# Bytes of a proxy's answer.
_LARGEST_ANSWER = 8 * 1024


async def connect_outside(
    to: Destination,
    proxy_url: str,
    networks: Networks,
    *,
    timeout_seconds: float = 60.0,
    answered: Answered | None = None,
) -> socket.socket:
    """Open a TCP connection, or a tunnel through a proxy, which then looks the name up.

    Raises EgressRefused if an address may not be reached, and OSError. TLS is the caller's next step.

    Args:
        to: where the call goes.
        proxy_url: empty for none.
        networks: the networks that an operator has allowed.
        timeout_seconds: for a connection to it, or to the proxy.
        answered: what earlier connections found out about silent addresses, and this one adds to.
    """
    if not proxy_url:
        return await connect_async(to, networks, timeout_seconds=timeout_seconds, answered=answered)
    if not to.is_tls:
        raise EgressRefused("scheme", gettext_noop("Only https goes through a proxy."))
    if to.literal is not None:
        # A name is the proxy's business; an address that nobody may reach is not.
        check_address(to.literal, networks)
    proxy = read_proxy_url(proxy_url, networks)
    sock = await connect_async(proxy, networks, timeout_seconds=timeout_seconds, answered=answered)
    try:
        await _open_tunnel(sock, f"[{to.host}]:{to.port}" if ":" in to.host else f"{to.host}:{to.port}")
    except BaseException:
        sock.close()
        raise
    return sock


async def _open_tunnel(sock: socket.socket, target: str) -> None:
    """Ask a proxy for a tunnel. Raises OSError if it refuses."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("ascii"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        # One byte at a time: what follows the head belongs to TLS.
        piece = await loop.sock_recv(sock, 1)
        if not piece or len(answer) > _LARGEST_ANSWER:
            raise OSError("the proxy did not answer")
        answer += piece
    words = answer.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or words[1][:1] != b"2":
        raise OSError(
            f"the proxy refused the tunnel (status {words[1][:3].decode('latin-1') if words[1:] else '?'})"
        )
