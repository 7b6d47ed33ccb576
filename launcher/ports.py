"""Loopback ports."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Linux gives outgoing connections ports from 32768, other systems from 49152.
_BELOW_OUTGOING = range(16_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return a free loopback port: the preferred one if it is free, else any.

    The system gives outgoing connections ports of its own range. Ours lie below it, so that no connection takes the
    port of a server that restarts.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    for candidate in random.sample(_BELOW_OUTGOING, 100):
        if is_free(candidate):
            return candidate
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
