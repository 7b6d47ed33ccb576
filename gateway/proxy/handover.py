"""A listening socket that outlives this process: systemd holds it, and hands it to each gateway that it starts.

While one gateway ends and the next one starts, clients that connect wait in that socket instead of being refused
(sd_listen_fds(3): `LISTEN_PID`, `LISTEN_FDS`).
"""

import os
import socket
from collections.abc import Mapping

from gateway.proxy.settings import SettingsError

_FIRST = 3


def handed_over(environ: Mapping[str, str] = os.environ, *, workers: int = 1) -> socket.socket | None:
    """The listening socket for this process; None if nobody hands it one.

    Args:
        environ: where LISTEN_PID and LISTEN_FDS are.
        workers: how many processes are to serve; only one can take the socket.

    Raises SettingsError if it is not exactly one listening TCP or Unix socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environ.get("LISTEN_FDS") != "1":
        raise SettingsError("LISTEN_FDS must be 1: the gateway listens on one socket.")
    if workers > 1:
        raise SettingsError("A socket that is handed over is for one process: set GATEWAY_WORKERS=1.")
    try:
        taken = socket.socket(fileno=_FIRST)
        is_listening = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError as error:
        raise SettingsError(f"The socket that is handed over cannot be used: {error.strerror}.") from error
    if not is_listening or taken.type != socket.SOCK_STREAM:
        raise SettingsError("The socket that is handed over must listen for connections (ListenStream).")
    taken.set_inheritable(False)
    taken.setblocking(False)
    return taken
