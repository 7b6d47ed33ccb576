"""A limit of time for a whole conversation."""

from __future__ import annotations

import threading
from contextlib import suppress
from socket import SHUT_RDWR, socket


class Alarm:
    """Ends a connection that takes too long altogether, however often a byte of it arrives."""

    def __init__(self, sock: socket, seconds: float) -> None:
        self.rang = False
        self._sock = sock
        # The descriptor lives on when the socket is wrapped for TLS, so keep one of our own.
        self._own = sock.dup()
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._own.close()

    def _ring(self) -> None:
        self.rang = True
        with suppress(OSError):
            self._own.shutdown(SHUT_RDWR)
